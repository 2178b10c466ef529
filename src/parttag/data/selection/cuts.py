"""Declarative cuts, ``data.cuts``: which jets are used at all, by quantities of the whole jet."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from parttag.data.selection.good_jets import JetCounts
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.columns import numpy_column
from parttag.jets.validity import source_name
from parttag.options import Name, Options


class Range(Options):
    """What is allowed, both ends included; an end that is not given is open."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _has_room(self) -> "Range":
        if self.min is None and self.max is None:
            raise ValueError("a cut needs a min or a max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value is at least {self.min:g} and at most {self.max:g}")
        return self

    def __str__(self) -> str:
        low, high = ("" if end is None else f"{end:g}" for end in (self.min, self.max))
        return f"[{low}, {high}]"


def _from_pair(value: Any) -> Any:
    """Let ``[500, 1000]`` stand for ``{min: 500, max: 1000}``, null for an open end."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return {"min": value[0], "max": value[1]}
    return value


_PAIR = {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2}
_ENDS = {
    "type": "object",
    "properties": {end: {"type": ["number", "null"]} for end in ("min", "max")},
    "additionalProperties": False,
}

Cut = Annotated[
    Range, BeforeValidator(_from_pair), WithJsonSchema({"anyOf": [_PAIR, _ENDS, {"type": "null"}]})
]
"""``[low, high]`` or ``{min: low, max: high}``."""


class CutOptions(Options):
    """Ranges that a jet must lie in; those of other jets are left out, and counted."""

    jet_pt: Cut | None = None
    """Transverse momentum in GeV."""
    jet_eta: Cut | None = None
    """Pseudorapidity."""
    jet_abs_eta: Cut | None = None
    """Its absolute value."""
    jet_mass: Cut | None = None
    """Mass in GeV."""
    jet_energy: Cut | None = None
    """Energy in GeV."""
    num_particles: Cut | None = None
    """Number of particles."""
    columns: dict[Name, Cut] = Field(default={})
    """Of other numbers of the jet, by the columns of ``jet_extra``, formulas of ``derived`` or
    branches that hold them."""

    @property
    def given(self) -> dict[str, Range]:
        """The cuts that there are, by the quantity."""
        own = {name: cut for name in _QUANTITIES if (cut := getattr(self, name)) is not None}
        return own | {f"columns.{name}": cut for name, cut in self.columns.items()}


def passing(
    jets: JetArrays, cuts: CutOptions, counts: JetCounts | None = None
) -> Bool[np.ndarray, " jets"]:
    """Return which jets pass all cuts; count the others by the first cut that they fail.

    Raises
    ------
    InputError
        If the jets lack a column that a cut is of.
    """
    passed = np.ones(len(jets), dtype=bool)
    for name, cut in cuts.given.items():
        values = _values(name, jets)
        # Written so that a value that is not a number fails.
        inside = np.ones(len(jets), dtype=bool)
        if cut.min is not None:
            inside &= values >= cut.min
        if cut.max is not None:
            inside &= values <= cut.max
        if counts is not None:
            counts.drop(f"outside {name} {cut}", int((passed & ~inside).sum()))
        passed &= inside
    return passed


def drop_outside(
    chunks: Iterable[JetArrays], cuts: CutOptions, counts: JetCounts
) -> Iterator[JetArrays]:
    """Yield the chunks without the jets that fail a cut, and count those."""
    for jets in chunks:
        passed = passing(jets, cuts, counts)
        yield jets if passed.all() else jets.take(np.flatnonzero(passed))


def _values(name: str, jets: JetArrays) -> np.ndarray:
    """Return a quantity of the jets, or the column that ``columns.NAME`` says."""
    if name in _QUANTITIES:
        return _QUANTITIES[name](jets)
    column = name.partition(".")[2]
    if column not in jets.jet_column_names:
        raise InputError(
            f"data.cuts.{name}: {source_name(jets)} has no column {column} of the jets (it has "
            f"{', '.join(jets.jet_column_names) or 'none'}); prepare it with that column"
        )
    return numpy_column(jets.jet_columns, jets.jet_column_types, column)


_QUANTITIES: dict[str, Callable[[JetArrays], np.ndarray]] = {
    "jet_pt": lambda jets: jets.pt,
    "jet_eta": lambda jets: jets.eta,
    "jet_abs_eta": lambda jets: np.abs(jets.eta),
    "jet_mass": lambda jets: jets.mass,
    "jet_energy": lambda jets: jets.jet_p4[:, 3].astype(np.float64),
    "num_particles": lambda jets: jets.lengths,
}
