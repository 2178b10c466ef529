"""Formulas of branches, ``log(pt)``: parsed to a tree of allowed operations, never run as code.

Numbers, names of branches, arithmetic, comparisons, ``&``, ``|``, ``~``, ``and``, ``or``, ``not``,
slices, and the functions of ``FUNCTIONS``, plain (``sqrt``) or as NumPy and Awkward Array call them
(``np.sqrt``, ``ak.sum``). Comprehensions, attributes, lambdas, strings and everything else that
Python's grammar knows is refused.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from typing import Any, TypeAlias

import awkward as ak
import numpy as np

from parttag.errors import InputError

Value: TypeAlias = Any
"""An Awkward Array, a NumPy array or a plain number: what an operation of NumPy takes."""

MOST_LETTERS, MOST_DEPTH = 20_000, 60
"""Of a formula: its length, and how deep its brackets may be nested."""

_LIBRARIES = ("np", "numpy", "ak", "awkward", "math")


def _clip(values: Value, low: Value, high: Value) -> Value:
    if any(isinstance(value, ak.Array) for value in (values, low, high)):
        return np.minimum(np.maximum(values, low), high)
    return np.clip(values, low, high)  # which leaves -0 as it is


def _where(condition: Value, yes: Value, no: Value) -> Value:
    lists = any(isinstance(value, ak.Array) for value in (condition, yes, no))
    if lists:
        return ak.where(condition, yes, no)
    # A number has its own precision, as for Awkward Array, and not that of the array beside it.
    return np.where(condition, np.asarray(yes), np.asarray(no))


def _power(base: Value, exponent: Value) -> Value:
    try:
        if isinstance(base, int) and isinstance(exponent, int):
            is_short = 0 <= exponent * base.bit_length() < 64  # no integers without end
            return operator.pow(base if is_short else float(base), exponent)
        return operator.pow(base, exponent)
    except OverflowError:
        return math.inf


_UFUNCS = (
    "abs absolute sqrt cbrt square exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos "
    "arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh hypot sign floor ceil rint trunc "
    "maximum minimum fmin fmax isfinite isnan isinf logical_and logical_or logical_not logical_xor "
    "deg2rad rad2deg fmod mod remainder true_divide floor_divide add subtract multiply divide "
    "negative reciprocal greater greater_equal less less_equal equal not_equal fabs"
)

_OF_LISTS = (
    "num sum max min mean any all prod count count_nonzero argmax argmin argsort sort std var "
    "zeros_like ones_like firsts fill_none local_index nan_to_num flatten concatenate singletons "
    "pad_none is_none"
)

_LISTS = frozenset(_OF_LISTS.split())

FUNCTIONS: dict[str, Callable[..., Value]] = {
    **{name: getattr(np, name) for name in _UFUNCS.split()},
    **{name: getattr(ak, name) for name in _OF_LISTS.split()},
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "acosh": np.arccosh,
    "asinh": np.arcsinh,
    "atanh": np.arctanh,
    "clip": _clip,
    "pow": _power,
    "power": _power,
    "where": _where,
}
"""What a formula may call."""

_OPTIONS = frozenset(
    {"axis", "keepdims", "mask_identity", "ascending", "nan", "posinf", "neginf", "clip"}
)

_BINARY: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: _power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type[ast.unaryop], Callable[[Value], Value]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: np.invert,
    ast.Not: np.logical_not,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}

Node: TypeAlias = Callable[[Mapping[str, Value]], Value]


@dataclass(frozen=True)
class Expression:
    """A formula of branches.

    Parameters
    ----------
    text
        The formula.

    Raises
    ------
    InputError
        If it is no formula, or uses what is not allowed: the sentence names it.

    Examples
    --------
    >>> ratio = Expression("log(part_pt / jet_pt)")
    >>> ratio.names
    ('part_pt', 'jet_pt')
    >>> ratio({"part_pt": np.array([1.0, 2.0]), "jet_pt": np.array([1.0, 2.0])}).tolist()
    [0.0, 0.0]
    """

    text: str

    def __post_init__(self) -> None:
        names: dict[str, None] = {}
        parser = _Parser(self.text, names)
        self.__dict__["_node"] = parser.parse()
        self.__dict__["_names"] = tuple(names)
        self.__dict__["_is_elementwise"] = parser.is_elementwise

    @property
    def names(self) -> tuple[str, ...]:
        """The branches that it reads, in their order."""
        found: tuple[str, ...] = self.__dict__["_names"]
        return found

    @property
    def is_elementwise(self) -> bool:
        """Whether each number that comes of it depends on the numbers at its own place alone."""
        return bool(self.__dict__["_is_elementwise"])

    def __call__(self, branches: Mapping[str, Value]) -> Value:
        """Return its value, with one entry where the branches have one.

        Division by zero and the like give infinities and NaN, as in NumPy.

        Raises
        ------
        InputError
            If the branches do not fit each other, or what is done with them.
        """
        node: Node = self.__dict__["_node"]
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                return node(branches)
        except InputError:
            raise
        except (ValueError, TypeError, IndexError, ArithmeticError) as error:
            reason = str(error).strip().split("\n")[0][:200]
            raise InputError(f"{_short(self.text)} cannot be computed: {reason}") from error


class _Parser:
    """Turns Python's tree of a formula into functions of the branches."""

    def __init__(self, text: str, names: dict[str, None]) -> None:
        self.text, self.names, self.is_elementwise = text, names, True

    def parse(self) -> Node:
        if len(self.text) > MOST_LETTERS:
            raise InputError(
                f"{_short(self.text)} has {len(self.text):,} letters, more than {MOST_LETTERS:,}"
            )
        if "\0" in self.text:
            raise InputError(f"{_short(self.text)} is no formula: it holds a NUL")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(self.text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or "too deep or too long"
            raise InputError(f"{_short(self.text)} is no formula: {reason}") from error
        return self.node(tree.body, 0)

    def node(self, tree: ast.expr, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise InputError(f"{_short(self.text)} is nested deeper than {MOST_DEPTH} levels")
        handler = _HANDLERS.get(type(tree))
        if handler is None:
            raise self.refusal(tree)
        return handler(self, tree, depth + 1)

    def refusal(self, tree: ast.AST, what: str = "") -> InputError:
        kind = what or f"{_short(ast.unparse(tree), 60)} ({type(tree).__name__.lower()})"
        return InputError(
            f"{_short(self.text)}: {kind} is not allowed in a formula; it may have numbers, "
            "branches, arithmetic, comparisons, slices and functions such as sqrt, log, where"
        )

    # ------------------------------------------------------------------------------- the nodes

    def constant(self, tree: ast.Constant, _depth: int) -> Node:
        value = tree.value
        if isinstance(value, bool) or value is None:
            return lambda _: value
        if not isinstance(value, int | float):
            raise self.refusal(tree)
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise self.refusal(tree, f"the number {_short(tree.value.__format__('x'), 20)} (hex)")
        return lambda _: value

    def name(self, tree: ast.Name, _depth: int) -> Node:
        return self.branch(tree.id)

    def branch(self, name: str) -> Node:
        if name.startswith("__"):
            raise self.refusal(ast.Name(name))
        self.names[name] = None

        def read(branches: Mapping[str, Value]) -> Value:
            if name not in branches:
                like = get_close_matches(name, branches, 1)
                hint = f"; is {like[0]} meant?" if like else ""
                raise InputError(f"{_short(self.text)}: there is no branch {name}{hint}")
            return branches[name]

        return read

    def attribute(self, tree: ast.Attribute, _depth: int) -> Node:
        """``np.pi`` is a number; ``Jet.PT`` a branch of this name; else nothing."""
        name = _dotted(tree)
        if name is None or any(part.startswith("_") for part in name.split(".")):
            raise self.refusal(tree)
        library, _, rest = name.partition(".")
        if library not in _LIBRARIES:
            return self.branch(name)
        if rest not in _CONSTANTS:
            raise self.refusal(tree)
        number = _CONSTANTS[rest]
        return lambda _: number

    def binary(self, tree: ast.BinOp, depth: int) -> Node:
        """Return a chain, ``a | b | c``, which is as deep as its deepest part."""
        first: ast.expr = tree
        chain: list[ast.BinOp] = []
        while isinstance(first, ast.BinOp):
            if type(first.op) not in _BINARY:
                raise self.refusal(first)
            chain.insert(0, first)
            first = first.left
        begin = self.node(first, depth)
        steps = [(_BINARY[type(own.op)], self.node(own.right, depth)) for own in chain]

        def compute(branches: Mapping[str, Value]) -> Value:
            value = begin(branches)
            for function, right in steps:
                value = function(value, right(branches))
            return value

        return compute

    def unary(self, tree: ast.UnaryOp, depth: int) -> Node:
        function, of = _UNARY[type(tree.op)], self.node(tree.operand, depth)
        return lambda branches: function(of(branches))

    def boolean(self, tree: ast.BoolOp, depth: int) -> Node:
        function = np.logical_and if isinstance(tree.op, ast.And) else np.logical_or
        parts = [self.node(part, depth) for part in tree.values]
        return lambda branches: reduce(function, [part(branches) for part in parts])

    def comparison(self, tree: ast.Compare, depth: int) -> Node:
        functions = [_COMPARE.get(type(op)) for op in tree.ops]
        if None in functions:
            raise self.refusal(tree)
        parts = [self.node(part, depth) for part in (tree.left, *tree.comparators)]

        def compare(branches: Mapping[str, Value]) -> Value:
            values = [part(branches) for part in parts]
            found = [
                function(low, high)
                for function, low, high in zip(functions, values[:-1], values[1:], strict=True)
                if function is not None
            ]
            return reduce(np.logical_and, found)

        return compare

    def choice(self, tree: ast.IfExp, depth: int) -> Node:
        parts = [self.node(part, depth) for part in (tree.test, tree.body, tree.orelse)]
        return lambda branches: _where(*(part(branches) for part in parts))

    def call(self, tree: ast.Call, depth: int) -> Node:
        name = _dotted(tree.func)
        library, _, rest = (name or "").rpartition(".")
        if name is None or (library and library not in _LIBRARIES) or rest not in FUNCTIONS:
            near = get_close_matches(rest, FUNCTIONS, 1)
            hint = f" ({near[0]} is)" if near else ""
            raise self.refusal(tree, f"the function {_short(name or 'of an expression', 60)}{hint}")
        function = FUNCTIONS[rest]
        self.is_elementwise &= rest not in _LISTS
        arguments = [self.argument(part, depth) for part in tree.args]
        options: dict[str, object] = {}
        for keyword in tree.keywords:
            value = _literal(keyword.value)
            if keyword.arg not in _OPTIONS or value is NotImplemented:
                raise self.refusal(tree, f"the argument {keyword.arg or '**'}")
            options[keyword.arg] = value
        return lambda branches: function(*(part(branches) for part in arguments), **options)

    def argument(self, tree: ast.expr, depth: int) -> Node:
        """Return a value, or of ``concatenate`` a list of them."""
        if not isinstance(tree, ast.List | ast.Tuple):
            return self.node(tree, depth)
        parts = [self.node(part, depth) for part in tree.elts]
        return lambda branches: [part(branches) for part in parts]

    def part_of(self, tree: ast.Subscript, depth: int) -> Node:
        self.is_elementwise = False
        of = self.node(tree.value, depth)
        index = tree.slice
        steps = index.elts if isinstance(index, ast.Tuple) else [index]
        if all(_is_step(step) for step in steps):
            where = tuple(_step(step) for step in steps)
            return lambda branches: of(branches)[where]
        if len(steps) > 1:
            raise self.refusal(tree)
        chosen = self.node(steps[0], depth)
        return lambda branches: of(branches)[chosen(branches)]


_HANDLERS: dict[type[ast.expr], Callable[..., Node]] = {
    ast.Constant: _Parser.constant,
    ast.Name: _Parser.name,
    ast.Attribute: _Parser.attribute,
    ast.BinOp: _Parser.binary,
    ast.UnaryOp: _Parser.unary,
    ast.BoolOp: _Parser.boolean,
    ast.Compare: _Parser.comparison,
    ast.IfExp: _Parser.choice,
    ast.Call: _Parser.call,
    ast.Subscript: _Parser.part_of,
}


def _dotted(tree: ast.expr) -> str | None:
    """Return ``a.b.c`` of names joined by dots; none of anything else."""
    parts: list[str] = []
    while isinstance(tree, ast.Attribute):
        parts.append(tree.attr)
        tree = tree.value
    return ".".join([tree.id, *reversed(parts)]) if isinstance(tree, ast.Name) else None


def _literal(tree: ast.expr) -> object:
    """Return the value of a number, True, False or None; NotImplemented of anything else."""
    sign = 1
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        sign, tree = -1, tree.operand
    if not isinstance(tree, ast.Constant):
        return NotImplemented
    if tree.value is None or isinstance(tree.value, bool):
        return tree.value
    return sign * tree.value if isinstance(tree.value, int | float) else NotImplemented


def _is_step(tree: ast.expr) -> bool:
    if isinstance(tree, ast.Slice):
        ends = (tree.lower, tree.upper, tree.step)
        return all(end is None or isinstance(_literal(end), int) for end in ends)
    return isinstance(_literal(tree), int) and not isinstance(_literal(tree), bool)


def _step(tree: ast.expr) -> object:
    if isinstance(tree, ast.Slice):
        return slice(
            *(None if e is None else _literal(e) for e in (tree.lower, tree.upper, tree.step))
        )
    return _literal(tree)


def _short(text: str, most: int = 100) -> str:
    return text if len(text) <= most else f"{text[: most - 2]} …"
