"""weaver's formulas to those of ``columns.derived``, and to forms in which they can be compared.

weaver evaluates formulas as code; here they are trees. What has another spelling in
``columns.derived`` is spelled so: ``np.array(x)`` is x, ``awkward.JaggedArray.ones_like`` is
``ones_like``, ``x.astype('float32')`` is ``x * 1.0``, a component of ``_p4_from_ptetaphim(…)`` is
its formula.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping

from parttag.data.readers.expressions import Expression
from parttag.errors import InputError
from parttag.runs.weaver.source import WeaverFile

# Of one argument, which they return as it is, but for its type.
_SAME = frozenset(
    {"to_numpy", "copy", "array", "asarray", "Array", "float32", "float64", "float", "squeeze"}
)
_LIBRARIES = frozenset({"np", "numpy", "ak", "awkward", "math", "JaggedArray"})
_TYPES = {
    **dict.fromkeys(("float", "float32", "float64", "f4", "f8"), "float"),
    **dict.fromkeys(("int", "int32", "int64", "int8", "uint8", "bool"), "int"),
}
_P4 = {
    "_p4_from_pxpypze": ("px", "py", "pz", "energy"),
    "_p4_from_ptetaphie": ("pt", "eta", "phi", "energy"),
    "_p4_from_ptetaphim": ("pt", "eta", "phi", "mass"),
}
# Components of a four-momentum by those that are given.
_COMPONENTS = {
    "px": "{pt} * cos({phi})",
    "py": "{pt} * sin({phi})",
    "pz": "{pt} * sinh({eta})",
    "pt": "hypot({px}, {py})",
    "phi": "arctan2({py}, {px})",
    "eta": "arcsinh({pz} / hypot({px}, {py}))",
    "energy": "sqrt(({pt} * cosh({eta})) ** 2 + ({mass}) ** 2)",
}
_ALIASES = {"E": "energy", "e": "energy", "t": "energy", "m": "mass", "M": "mass", "rho": "pt"}


def parsed(text: str) -> ast.expr:
    """Return the tree of a formula.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{text[:100]} is no formula: {error}") from error


def called(tree: ast.expr) -> str | None:
    """Return the name of what a call calls, without the library: ``log`` of ``np.log(x)``."""
    if not isinstance(tree, ast.Call):
        return None
    parts, function = [], tree.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return None
    parts.append(function.id)
    return parts[0] if all(part in _LIBRARIES for part in parts[1:]) else None


class Formulas:
    """The new variables of a data configuration.

    Parameters
    ----------
    file
        The data configuration.
    """

    def __init__(self, file: WeaverFile) -> None:
        self._file = file
        self._magic = file.section("branch_magic")
        self._trees: dict[str, ast.expr] = {}
        self._texts: dict[str, str] = {}
        self._own = file.new_variables

    def is_new(self, name: str) -> bool:
        """Return whether a name is one of a new variable, and not of a branch."""
        return name in self._own

    def branch(self, name: str) -> str:
        """Return the branch that a name stands for in the files (``branch_magic``)."""
        for source, target in self._magic.items():
            name = name.replace(source, str(target))
        return name

    def tree(self, name: str) -> ast.expr:
        """Return the tree of a new variable.

        Raises
        ------
        InputError
            If it is no formula.
        """
        if name not in self._trees:
            try:
                self._trees[name] = parsed(self._own[name])
            except InputError as error:
                raise self._file.wrong(f"{name}: {error}", "new_variables", name) from None
        return self._trees[name]

    def text(self, formula: str, *keys: str) -> str:
        """Return a formula as ``columns.derived`` takes it.

        Raises
        ------
        InputError
            If it uses what is not allowed there; the message names it and the line.
        """
        try:
            tree = parsed(formula)
            spelled = _Spelling(self).visit(copy.deepcopy(tree))
            text = " ".join(formula.split())
            if ast.dump(spelled) != ast.dump(tree) or "#" in formula:
                text = ast.unparse(spelled)
            Expression(text)
        except RecursionError as error:
            raise self._file.wrong("a formula is nested too deep", *keys) from error
        except InputError as error:
            raise self._file.wrong(str(error), *keys) from None
        return text

    def of_new(self, name: str) -> str:
        """Return the formula of a new variable as ``columns.derived`` takes it."""
        if name not in self._texts:
            self._texts[name] = self.text(self._own[name], "new_variables", name)
        return self._texts[name]

    def names(self, text: str) -> tuple[str, ...]:
        """Return the names that a formula of ``columns.derived`` reads."""
        return Expression(text).names

    def expanded(self, tree: ast.expr, above: tuple[str, ...] = ()) -> ast.expr:
        """Return a tree with every new variable in place of its name.

        Raises
        ------
        InputError
            If they need each other in a circle.
        """
        return _Expansion(self, above).visit(copy.deepcopy(tree))  # type: ignore[no-any-return]

    def canonical(self, name_or_formula: str) -> str:
        """Return the form in which formulas of the same meaning, differently written, are equal."""
        tree = self.expanded(parsed(name_or_formula))
        spelled = _Spelling(self).visit(tree)
        return ast.unparse(_Canonical().visit(spelled))

    def circle(self, names: tuple[str, ...]) -> InputError:
        """Return the refusal of new variables that need each other in a circle."""
        return self._file.wrong(
            f"{' → '.join(names)} need each other in a circle", "new_variables", names[0]
        )


class _Expansion(ast.NodeTransformer):
    def __init__(self, formulas: Formulas, above: tuple[str, ...]) -> None:
        self._formulas, self._above = formulas, above

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not self._formulas.is_new(node.id):
            return node
        if node.id in self._above:
            raise self._formulas.circle((*self._above, node.id))
        return self._formulas.expanded(self._formulas.tree(node.id), (*self._above, node.id))


class _Spelling(ast.NodeTransformer):
    """What ``columns.derived`` spells differently."""

    def __init__(self, formulas: Formulas) -> None:
        self._formulas = formulas

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = called(node)
        if name in _SAME and len(node.args) == 1:
            return node.args[0]
        if name == "values_astype" and len(node.args) == 2:
            return _as_type(node, node.args[0], node.args[1])
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype" and node.args:
            return _as_type(node, node.func.value, node.args[0])
        if name is not None and "JaggedArray" in ast.unparse(node.func):
            node.func = ast.Name(name)
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "dtype"]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Numbers of a jet hold for its particles without a new axis."""
        self.generic_visit(node)
        steps = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
        new_axes = {"newaxis", "np.newaxis", "numpy.newaxis", "None"}
        if len(steps) == 2 and ast.unparse(steps[0]) == ":" and ast.unparse(steps[1]) in new_axes:
            return node.value
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        part = _ALIASES.get(node.attr, node.attr)
        of = node.value
        if isinstance(of, ast.Name) and self._formulas.is_new(of.id):
            of = self._formulas.tree(of.id)
        given = _P4.get(called(of) or "") if isinstance(of, ast.Call) else None
        if not isinstance(of, ast.Call) or given is None:
            self.generic_visit(node)
            return node
        texts = {
            name: f"({ast.unparse(_Spelling(self._formulas).visit(copy.deepcopy(argument)))})"
            for name, argument in zip(given, of.args, strict=False)
        }
        if part in texts:
            return parsed(texts[part])
        form = _COMPONENTS.get(part)
        try:
            return node if form is None else parsed(form.format_map(texts))
        except KeyError:
            return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self._formulas.branch(node.id))


def _as_type(node: ast.Call, value: ast.expr, kind: ast.expr) -> ast.expr:
    name = kind.value if isinstance(kind, ast.Constant) else ast.unparse(kind).split(".")[-1]
    known = _TYPES.get(str(name))
    if known is None:
        return node
    if known == "float":
        return ast.BinOp(value, ast.Mult(), ast.Constant(1.0))
    return ast.Call(ast.Name("trunc"), [value], [])


class _Canonical(ast.NodeTransformer):
    """One form of what can be written in several."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = called(node)
        if name is None:
            return node
        name = {"absolute": "abs", "fabs": "abs", "log": "log"}.get(name, name)
        arguments = list(node.args)
        if name == "sqrt" and len(arguments) == 1:
            squares = _squares(arguments[0])
            if squares is not None:
                name, arguments = "hypot", squares
        if name == "hypot":
            arguments.sort(key=ast.unparse)
        return ast.Call(ast.Name(name), arguments, node.keywords)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Sub) and called(left) == called(right) == "log":
            assert isinstance(left, ast.Call) and isinstance(right, ast.Call)
            quotient = ast.BinOp(left.args[0], ast.Div(), right.args[0])
            return ast.Call(ast.Name("log"), [quotient], [])
        if isinstance(node.op, ast.Mult) and ast.unparse(right) < ast.unparse(left):
            return ast.BinOp(right, node.op, left)
        return node


def _squares(tree: ast.expr) -> list[ast.expr] | None:
    """Return a and b of a² + b²."""
    if not isinstance(tree, ast.BinOp) or not isinstance(tree.op, ast.Add):
        return None
    roots = [_root(tree.left), _root(tree.right)]
    return [root for root in roots if root is not None] if all(roots) else None


def _root(tree: ast.expr) -> ast.expr | None:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Pow):
        is_two = isinstance(tree.right, ast.Constant) and tree.right.value == 2
        return tree.left if is_two else None
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        return tree.left if ast.dump(tree.left) == ast.dump(tree.right) else None
    return None


def is_ones(formulas: Formulas, name: str) -> bool:
    """Return whether a variable is 1 for every particle there is, as those of a mask are."""
    tree = formulas.expanded(parsed(name))
    return called(tree) == "ones_like"


def needed(formulas: Formulas, names: Mapping[str, None] | list[str]) -> dict[str, str]:
    """Return the formulas of the new variables among some names, and of all that those use."""
    found: dict[str, str] = {}
    pending = list(names)
    while pending:
        name = pending.pop(0)
        if name in found or not formulas.is_new(name):
            continue
        found[name] = formulas.of_new(name)
        pending += formulas.names(found[name])
    return found
