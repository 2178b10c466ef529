"""Declarative cuts, ``data.cuts``: which jets are used at all, by quantities of the whole jet."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool
from pydantic import BeforeValidator, WithJsonSchema, model_validator

from parttag.data.selection.good_jets import JetCounts
from parttag.jets.arrays import JetArrays
from parttag.options import Options


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

    @property
    def given(self) -> dict[str, Range]:
        """The cuts that there are, by the quantity."""
        return {name: cut for name in _QUANTITIES if (cut := getattr(self, name)) is not None}


def passing(
    jets: JetArrays, cuts: CutOptions, counts: JetCounts | None = None
) -> Bool[np.ndarray, " jets"]:
    """Return which jets pass all cuts; count the others by the first cut that they fail."""
    passed = np.ones(len(jets), dtype=bool)
    for name, cut in cuts.given.items():
        values = _QUANTITIES[name](jets)
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


_QUANTITIES: dict[str, Callable[[JetArrays], np.ndarray]] = {
    "jet_pt": lambda jets: jets.pt,
    "jet_eta": lambda jets: jets.eta,
    "jet_abs_eta": lambda jets: np.abs(jets.eta),
    "jet_mass": lambda jets: jets.mass,
    "jet_energy": lambda jets: jets.jet_p4[:, 3].astype(np.float64),
    "num_particles": lambda jets: jets.lengths,
}
