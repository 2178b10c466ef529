"""``data.reweight``: weights that give every class the same spectrum of one or two jet variables.

A tagger that is trained on classes of different spectra learns the spectra. The weight of a jet is
its own, times what its class should have in its bin over what the class has there. It should have
a spectrum that is flat (or that of one class), with the sum that the class has in the bins that
count: so the balance between classes stays. All are then scaled to a mean of 1. Jets in bins that
do not hold every class, or beyond the edges, have weight 0: no weight makes classes alike there.
``data.flatten_pt`` is the form for pT alone that was there first: it refuses jets beyond the edges,
and lets a class keep its jets in bins where another has none. ``threshold`` is weaver's form, which
caps the weights instead: see ``capped.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from parttag.data.selection.capped import capped_factors
from parttag.data.selection.classes import assign_classes
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.columns import numpy_column
from parttag.jets.validity import source_name
from parttag.options import Name, Options, Texts

FLAT = "flat"

Quantity = Literal["jet_pt", "jet_eta", "jet_abs_eta", "jet_mass", "jet_energy"] | Name
"""Of the jet: pT, mass and energy in GeV; or a column of ``jet_extra``, a formula, a branch."""

_QUANTITIES: dict[str, Callable[[JetArrays], np.ndarray]] = {
    "jet_pt": lambda jets: jets.pt,
    "jet_eta": lambda jets: jets.eta,
    "jet_abs_eta": lambda jets: np.abs(jets.eta),
    "jet_mass": lambda jets: jets.mass,
    "jet_energy": lambda jets: jets.jet_p4[:, 3].astype(np.float64),
}

Edges = Annotated[tuple[float, ...], Field(min_length=2)]


class ReweightOptions(Options):
    """Bins of jet variables in which the weights of each class are summed, and what they become."""

    by: Annotated[dict[Quantity, Edges], Field(min_length=1, max_length=2)]
    """One or two variables, each with the rising edges of its bins; the bins of two are all
    rectangles."""
    to: str = FLAT
    """``flat``, the same weight per unit of the variables, or a class whose spectrum the others
    are given."""
    min_jets: PositiveInt = 1
    """Jets that a bin needs of each class. The weights of bins with few jets are of large errors,
    and too large on average."""
    classes: dict[Name, Texts] = Field(default={})
    """Classes of their own to weigh by, with their labels, as ``data.classes`` has them; jets of
    none have weight 0. By default those of ``data.classes``."""
    class_weights: dict[Name, PositiveFloat] = Field(default={})
    """What the sum of a class's weights is multiplied by; 1 for those not named. With
    ``threshold``, sums are the same before."""
    outside: Literal["drop", "edge"] = "drop"
    """Whether jets beyond the edges have weight 0, or count in the bin next to them."""
    threshold: float | None = Field(default=None, ge=0, le=100)
    """Weigh as weaver does, which draws jets so often: flat in jets per bin, but for the bins of
    fewest jets, so many percent of them, whose weights would be larger than all others'. Every
    class has the same sum of weights, and each has the bins that it has jets in."""
    factors: dict[Name, tuple[tuple[Annotated[float, Field(ge=0)], ...], ...]] | None = None
    """Known weights by class, first and second variable, as a file of weaver's keeps them; then
    nothing is measured."""

    @field_validator("by")
    @classmethod
    def _edges_rise(cls, by: dict[Quantity, Edges]) -> dict[Quantity, Edges]:
        for name, edges in by.items():
            _refuse_falling(edges, f" of {name}")
        return by

    @model_validator(mode="after")
    def _fits_together(self) -> ReweightOptions:
        if self.threshold is not None and self.min_jets > 1:
            raise ValueError("name one of threshold and min_jets")
        shape = [len(edges) - 1 for edges in self.by.values()]
        for name, rows in (self.factors or {}).items():
            if len(shape) != 2 or [len(rows), *{len(row) for row in rows}] != shape:
                raise ValueError(f"factors.{name} must have a number for each bin of two variables")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the jets that it is by, besides what parttag knows of every jet."""
        return tuple(name for name in self.by if name not in _QUANTITIES)


class FlattenOptions(Options):
    """Bins of pT in which the weights of each class are summed, and what they become."""

    bins: Edges
    """Rising edges in GeV. Every training jet must lie in them."""
    like: str | None = None
    """A class, whose spectrum the others are given; flat if not given."""

    @field_validator("bins")
    @classmethod
    def _edges_rise(cls, bins: Edges) -> Edges:
        _refuse_falling(bins)
        return bins


@dataclass(frozen=True, eq=False)
class Reweighting:
    """What jets' weights are multiplied with, by class and bin, and what that does.

    The sums are over the jets that made the weights.

    Parameters
    ----------
    classes
        Their names.
    edges
        Of the bins, by variable.
    factors
        Of a class (first axis) in a bin (the others).
    before, after
        Sums of the weights.
    num_jets
        Jets of each class.
    num_zero
        Those of them that have weight 0 afterwards.
    num_effective
        (Σ w)² / Σ w² of each class before, and afterwards: so many jets of equal weights have the
        same statistical error.
    labels
        Of the classes, if they are others than those of the training.
    keeps_outside
        Whether jets beyond the edges count in the bin next to them.
    """

    classes: tuple[str, ...]
    edges: Mapping[str, Float64[np.ndarray, " edges"]]
    factors: Float64[np.ndarray, "classes ..."]
    before: Float64[np.ndarray, "classes ..."]
    after: Float64[np.ndarray, "classes ..."]
    num_jets: tuple[int, ...]
    num_zero: tuple[int, ...]
    num_effective: tuple[tuple[float, ...], tuple[float, ...]]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keeps_outside: bool = False

    def reweighed(self, jets: JetArrays, classes: Int64[np.ndarray, " jets"]) -> JetArrays:
        """Return the jets, whose classes are known, with the new weights."""
        bins, inside = _bins_of(jets, self.edges)
        classes = assign_classes(jets, self.labels) if self.labels else classes
        inside = (inside | self.keeps_outside) & (classes >= 0)
        factors = np.where(inside, self.factors[(classes, *bins)], 0.0)
        weighed = (jets.jet_weights * factors).astype(np.float32)
        return replace(jets, jet_weights=weighed)

    def sentences(self) -> list[str]:
        """Return what the log of a training says of it, a sentence a class."""
        variables = " and ".join(self.edges)
        return [
            f"reweighted by {variables}: {name} has {number:,} jets, {zero:,} of them of weight 0; "
            f"they count as {after:,.0f} of equal weights ({before:,.0f} before)"
            for name, number, zero, before, after in zip(
                self.classes, self.num_jets, self.num_zero, *self.num_effective, strict=True
            )
        ]

    def to_json(self) -> dict[str, object]:
        """Return it as ``reweighting.json`` of a run holds it."""
        return {
            "edges": {name: edges.tolist() for name, edges in self.edges.items()},
            "classes": {
                name: {
                    "num_jets": self.num_jets[number],
                    "num_zero": self.num_zero[number],
                    "num_effective": {
                        "before": self.num_effective[0][number],
                        "after": self.num_effective[1][number],
                    },
                    "before": self.before[number].tolist(),
                    "after": self.after[number].tolist(),
                }
                for number, name in enumerate(self.classes)
            },
        }


class JetSpectra:
    """Sums the weights of the training jets by class and bin, chunk by chunk.

    Parameters
    ----------
    classes
        Names of the classes, in their order; without any, all jets are of one.

    Raises
    ------
    InputError
        If ``to`` or ``like`` is none of the classes.
    """

    def __init__(self, options: ReweightOptions | FlattenOptions, classes: Sequence[str]) -> None:
        self._key, self._like, by = _choices(options)
        self._is_flattening = isinstance(options, FlattenOptions)
        self._options = ReweightOptions(by=by) if isinstance(options, FlattenOptions) else options
        classes = tuple(self._options.classes) or classes
        for key in ("class_weights", "factors"):
            for name in getattr(self._options, key) or ():
                if name not in classes:
                    raise InputError(
                        f"data.reweight.{key} has {name}, but the classes are "
                        f"{', '.join(classes) or 'none'}"
                    )
        if self._like is not None and self._like not in classes:
            raise InputError(
                f"{self._key} is {self._like}, but the classes are {', '.join(classes) or 'none'}"
            )
        self.classes = tuple(classes) or ("of all jets",)
        self.edges = {name: np.array(edges) for name, edges in by.items()}
        shape = len(self.classes), *(len(edges) - 1 for edges in self.edges.values())
        self._counts, self._sums, self._squares = (np.zeros(shape) for _ in range(3))
        self._outside = np.zeros((3, len(self.classes)))  # counts, sums and squares

    def add(self, jets: JetArrays, classes: Int64[np.ndarray, " jets"]) -> None:
        """Add jets; those of class −1 do not count.

        Raises
        ------
        InputError
            If one lies outside the bins of ``data.flatten_pt``.
        """
        if self._options.classes:
            of_none = classes < 0
            classes = assign_classes(jets, self._options.classes)
            classes[of_none] = -1
        known = classes >= 0
        bins, inside = _bins_of(jets, self.edges)
        inside |= self._options.outside == "edge"
        if self._is_flattening and not inside[known].all():
            self._refuse(jets, known & ~inside)
        weights = jets.jet_weights.astype(np.float64)
        used = known & inside
        where = (classes[used], *(own[used] for own in bins))
        powers = (np.ones_like(weights), weights, weights**2)
        for total, power in zip((self._counts, self._sums, self._squares), powers, strict=True):
            np.add.at(total, where, power[used])
        beyond = known & ~inside
        for row, power in zip(self._outside, powers, strict=True):
            np.add.at(row, classes[beyond], power[beyond])

    def _refuse(self, jets: JetArrays, outside: Bool[np.ndarray, " jets"]) -> None:
        edges = self.edges["jet_pt"]
        raise InputError(
            f"data.flatten_pt.bins end at {edges[0]:g} and {edges[-1]:g} GeV, but a jet of "
            f"{jets.sources[0]} has pT {jets.pt[outside][0]:.4g} GeV: widen them, or leave such "
            "jets out with data.cuts.jet_pt"
        )

    def weights(self) -> Reweighting:
        """Return the weights, which have a mean of 1 over the jets that still count.

        Raises
        ------
        InputError
            If no jet of a class would count.
        """
        factors, counts = self._factors()
        bins = tuple(range(1, factors.ndim))
        num_counting = self._counts[counts].sum()
        factors = factors * num_counting / (factors * self._sums).sum()
        after, squares = factors * self._sums, factors**2 * self._squares
        zero = np.where(factors > 0, 0.0, self._counts).sum(axis=bins) + self._outside[0]
        number = self._counts.sum(axis=bins) + self._outside[0]
        effective = (
            _effective(
                self._sums.sum(axis=bins) + self._outside[1],
                self._squares.sum(axis=bins) + self._outside[2],
            ),
            _effective(after.sum(axis=bins), squares.sum(axis=bins)),
        )
        return Reweighting(
            classes=self.classes,
            edges=self.edges,
            factors=factors,
            before=self._sums,
            after=after,
            num_jets=tuple(number.astype(int).tolist()),
            num_zero=tuple(zero.astype(int).tolist()),
            num_effective=effective,
            labels=self._options.classes,
            keeps_outside=self._options.outside == "edge",
        )

    def _factors(
        self,
    ) -> tuple[Float64[np.ndarray, "classes ..."], Bool[np.ndarray, "classes ..."]]:
        """Return what the weights are multiplied with, but for their mean, and which bins count."""
        options = self._options
        given = np.array([options.class_weights.get(name, 1.0) for name in self.classes])
        if options.factors is not None or options.threshold is not None:
            return self._capped(given)
        wanted = self._wanted()
        bins = tuple(range(1, wanted.ndim))
        counts = self._is_flattening | (wanted > 0)
        kept = np.where(counts, self._sums, 0.0)
        share = kept.sum(axis=bins, keepdims=True) / wanted.sum(axis=bins, keepdims=True)
        wanted *= share * given.reshape(-1, *(1,) * len(bins))
        return np.divide(
            wanted, self._sums, out=np.zeros_like(wanted), where=self._sums != 0
        ), counts

    def _capped(
        self, class_weights: Float64[np.ndarray, " classes"]
    ) -> tuple[Float64[np.ndarray, "classes ..."], Bool[np.ndarray, "classes ..."]]:
        options = self._options
        if options.factors is not None:
            without = [name for name in self.classes if name not in options.factors]
            if without:
                raise InputError(f"data.reweight.factors has no numbers for {without[0]}")
            factors = np.array([options.factors[name] for name in self.classes])
        else:
            empty = ~(self._sums > 0).reshape(len(self.classes), -1).any(axis=1)
            if empty.any():
                raise InputError(
                    f"data.reweight: class {self.classes[int(empty.argmax())]} has no jet in any "
                    f"bin of {' and '.join(self.edges)}: choose other bins, or leave it out"
                )
            like = None if self._like is None else self.classes.index(self._like)
            factors = capped_factors(self._sums, options.threshold or 0.0, class_weights, like)
        return factors, (factors > 0) & (self._counts > 0)

    def _wanted(self) -> Float64[np.ndarray, "classes ..."]:
        """Return the spectrum that each class should have, but for its sum."""
        widths = [np.diff(edges) for edges in self.edges.values()]
        size = reduce(np.multiply.outer, widths)
        wanted = np.tile(size, (len(self.classes), *(1,) * len(widths))).astype(np.float64)
        if self._like is not None:
            wanted[:] = np.maximum(self._sums[self.classes.index(self._like)], 0)
        if self._is_flattening:
            wanted[self._sums <= 0] = 0
        else:
            few = (self._sums <= 0) | (self._counts < self._options.min_jets)
            wanted[:, few.any(axis=0)] = 0
        lost = [name for name, own in zip(self.classes, wanted, strict=True) if not own.any()]
        if lost and not self._is_flattening:
            raise InputError(
                f"data.reweight: there is no bin of {' and '.join(self.edges)} that holds "
                f"{self._options.min_jets} or more jets of every class: choose wider bins"
            )
        if lost:
            raise InputError(
                f"data.flatten_pt: class {lost[0]} has no jet in the bins where it should have "
                f"some ({self._like or 'any'}): choose other bins, or another class"
            )
        return wanted


def _choices(
    options: ReweightOptions | FlattenOptions,
) -> tuple[str, str | None, Mapping[str, Sequence[float]]]:
    """Return the key of the class to follow, that class if there is one, and the edges."""
    if isinstance(options, FlattenOptions):
        return "data.flatten_pt.like", options.like, {"jet_pt": options.bins}
    by = {str(name): edges for name, edges in options.by.items()}
    return "data.reweight.to", None if options.to == FLAT else options.to, by


def _bins_of(
    jets: JetArrays, edges: Mapping[str, Float64[np.ndarray, " edges"]]
) -> tuple[tuple[Int64[np.ndarray, " jets"], ...], Bool[np.ndarray, " jets"]]:
    """Return the bin of each jet, by variable, and which jets lie in one.

    The last edge belongs to the last bin.
    """
    inside = np.ones(len(jets), dtype=bool)
    bins = []
    for name, own in edges.items():
        values = _values(name, jets)
        inside &= (values >= own[0]) & (values <= own[-1])
        bins.append((np.searchsorted(own, values, side="right") - 1).clip(0, len(own) - 2))
    return tuple(bins), inside


def _values(name: str, jets: JetArrays) -> np.ndarray:
    """Return a quantity of the jets, or a column of theirs."""
    if name in _QUANTITIES:
        return _QUANTITIES[name](jets)
    if name not in jets.jet_column_names:
        raise InputError(
            f"data.reweight.by: {source_name(jets)} has no column {name} of the jets (it has "
            f"{', '.join(jets.jet_column_names) or 'none'}); choose one of "
            f"{', '.join(_QUANTITIES)} or prepare it with that column"
        )
    return numpy_column(jets.jet_columns, jets.jet_column_types, name)


def _effective(
    sums: Float64[np.ndarray, " classes"], squares: Float64[np.ndarray, " classes"]
) -> tuple[float, ...]:
    return tuple(np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0).tolist())


def _refuse_falling(edges: Sequence[float], of: str = "") -> None:
    if any(not low < high for low, high in pairwise(edges)):
        raise ValueError(f"the edges{of} must rise")
