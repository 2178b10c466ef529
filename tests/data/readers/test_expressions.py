"""Formulas: what NumPy computes for the same text, and nothing that is not a formula."""

import math

import awkward as ak
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parttag.data.readers.expressions import Expression
from parttag.errors import InputError

RNG = np.random.default_rng(0)
FLAT = {"pt": RNG.exponential(50, 40), "eta": RNG.normal(size=40), "n": RNG.integers(0, 9, 40)}
LISTS = ak.Array([[1.0, 2.0, 3.0], [], [4.0, 5.0]])

# ---------------------------------------------------------------------- against NumPy's own reading

leaves = st.sampled_from(["pt", "eta", "n", "1", "2.5", "0.1", "3"])


def deeper(inner):
    one = st.sampled_from(
        ["np.sqrt", "np.abs", "np.tanh", "np.log1p", "np.exp", "np.sin", "np.sign"]
    )
    two = st.sampled_from(["np.hypot", "np.arctan2", "np.maximum", "np.minimum"])
    arithmetic = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    compare = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    return st.one_of(
        st.builds("({} {} {})".format, inner, arithmetic, inner),
        st.builds("(-{})".format, inner),
        st.builds("{}({})".format, one, inner),
        st.builds("{}({}, {})".format, two, inner, inner),
        st.builds("np.where({} {} {}, {}, {})".format, inner, compare, inner, inner, inner),
        st.builds("((({} {} {}) & ({} {} {})) * 1)".format, *[inner, compare, inner] * 2),
        st.builds("np.clip({}, 0, 2)".format, inner),
        st.builds("({} ** 2)".format, inner),
    )


@settings(max_examples=500, deadline=None)  # 2,000 were tried, which takes twenty seconds
@given(st.recursive(leaves, deeper, max_leaves=12))
@example("np.arctan2(n, np.clip((-n), 0, 2))")  # of -0, which is not clipped to 0
def test_formulas_are_what_numpy_computes(text):
    # The text is made above, of nothing but these pieces: Python may read it.
    names = {"np": np, **{name: own.astype(np.float64) for name, own in FLAT.items()}}
    with np.errstate(all="ignore"):
        try:
            expected = eval(text, {"__builtins__": {}}, names)
        except (ZeroDivisionError, OverflowError):  # of plain numbers, which NumPy makes infinite
            return
    found = Expression(text)({name: names[name] for name in FLAT})
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


# ------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ak.num(x)", [3, 0, 2]),
        ("ak.sum(x, axis=1)", [6.0, 0.0, 9.0]),
        ("ak.max(x, axis=-1)", [3.0, None, 5.0]),
        ("ak.fill_none(ak.max(x, axis=1), -1)", [3.0, -1, 5.0]),
        ("x / ak.sum(x, axis=1)", [[1 / 6, 2 / 6, 3 / 6], [], [4 / 9, 5 / 9]]),
        ("x[x > 1.5]", [[2.0, 3.0], [], [4.0, 5.0]]),
        ("x[:, :1]", [[1.0], [], [4.0]]),
        ("ak.firsts(x)", [1.0, None, 4.0]),
        ("where(x > 2, 1, 0)", [[0, 0, 1], [], [1, 1]]),
        ("2 < x <= 4", [[False, False, True], [], [True, False]]),
        ("not x > 2", [[True, True, False], [], [False, False]]),
        ("(x > 2) | (x < 2)", [[True, False, True], [], [True, True]]),
        ("x > 2 and x < 5", [[False, False, True], [], [True, False]]),
        ("clip(x, 2, 4)", [[2.0, 2.0, 3.0], [], [4.0, 4.0]]),
        ("ak.zeros_like(x)", [[0.0, 0.0, 0.0], [], [0.0, 0.0]]),
        ("1 if x > 2 else 0", [[0, 0, 1], [], [1, 1]]),
        ("Jet.PT * np.pi", [[math.pi], [], [math.pi, math.pi]]),
    ],
)
def test_lists_of_particles(text, expected):
    branches = {"x": LISTS, "Jet.PT": ak.Array([[1.0], [], [1.0, 1.0]])}
    assert ak.to_list(Expression(text)(branches)) == expected


def test_what_single_precision_gives_stays_single():
    found = Expression("log(x * 2 + 1.5)")({"x": np.ones(3, np.float32)})
    assert found.dtype == np.float32


def test_names_are_those_that_are_read():
    text = "np.log(part_pt / Jet.PT) + ak.sum(part_pt, axis=1) * math.pi"
    assert Expression(text).names == ("part_pt", "Jet.PT")


def test_zeros_and_overflows_are_no_tracebacks():
    found = Expression("1 / x + log(x) + 10.0 ** 400")({"x": np.zeros(2)})
    assert len(found) == 2
    assert Expression("9 ** 9 ** 9")({}) == math.inf
    assert np.isinf(Expression("1 / 0")({}))


# ----------------------------------------------------------------------------------------- refused

HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "x.__class__",
    "np.__builtins__",
    "np.load('file')",
    "np.fromfile('file')",
    "np.core.multiarray",
    "np.random.default_rng().bytes(1)",
    "np.ctypeslib",
    "np.lib.npyio.load('f')",
    "ak.from_parquet('f')",
    "ak.numba",
    "ak.to_list(x)",
    "open('/etc/passwd')",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "globals()",
    "getattr(x, 'y')",
    "print(x)",
    "input()",
    "lambda: 1",
    "(lambda: x)()",
    "[i for i in x]",
    "{i for i in x}",
    "{i: i for i in x}",
    "(i for i in x)",
    "[x, x]",
    "(x, x)",
    "{1: 2}",
    "{1, 2}",
    "'text'",
    "b'bytes'",
    "f'{x}'",
    "x := 1",
    "(y := x)",
    "await x",
    "yield x",
    "*x",
    "sum(*x)",
    "sum(x, **x)",
    "ak.sum(x, behavior=x)",
    "ak.sum(x, axis=x)",
    "x if True",
    "x is None",
    "x in x",
    "x @ x",
    "x << 1000000",
    "import os",
    "x; x",
    "x = 1",
    "1j",
    "...",
    "9" * 30,
    "-" * 5000 + "1",
    "(" * 300 + "x" + ")" * 300,
    "+".join(["x"] * 3000),
    "x" * 30_000,
    "\0",
    "",
    "x['y']",
    "x[:, y:2]",
    "__x",
    "x.real._y",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_everything_else_is_refused_in_one_sentence(text):
    with pytest.raises(InputError) as refusal:
        Expression(text)
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)


def test_there_are_fifty_of_them():
    assert len(set(HOSTILE)) >= 50


def test_misspelled_names_are_told_the_nearest():
    with pytest.raises(InputError, match=r"the function np\.sqr \(sqrt is\) is not allowed"):
        Expression("np.sqr(x)")
    with pytest.raises(InputError, match="there is no branch part_pT; is part_pt meant"):
        Expression("part_pT + 1")({"part_pt": np.ones(2)})


def test_branches_that_do_not_fit_are_one_sentence():
    with pytest.raises(InputError, match=r"^x \+ y cannot be computed: "):
        Expression("x + y")({"x": LISTS, "y": LISTS[:2]})
