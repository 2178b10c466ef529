"""``data.flatten_pt``: weights that give every class the same spectrum of the jets' pT.

A tagger that is trained on classes of different spectra learns the spectra. The weight of a jet is
its own, times what its class wants in its bin of pT over what the class has there. Wanted is a
spectrum that is flat in pT (or that of one class), of the sum that the class has: so the balance
between classes stays. All are then scaled to a mean of 1. A bin that a class has no jets in stays
empty, and its other bins share the sum.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import Field, field_validator

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.options import Options


class FlattenOptions(Options):
    """Bins of pT in which the weights of each class are summed, and what they become."""

    bins: Annotated[tuple[float, ...], Field(min_length=2)]
    """Rising edges in GeV. Every training jet must lie in them."""
    like: str | None = None
    """A class, whose spectrum the others are given; flat if not given."""

    @field_validator("bins")
    @classmethod
    def _edges_rise(cls, bins: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise(bins)):
            raise ValueError("the edges must rise")
        return bins


@dataclass(frozen=True, eq=False)
class PtWeights:
    """What a jet's weight is multiplied with, by its class and bin."""

    bins: Float64[np.ndarray, " edges"]
    factors: Float64[np.ndarray, "classes bins"]

    def reweighed(self, jets: JetArrays, classes: Int64[np.ndarray, " jets"]) -> JetArrays:
        """Return the jets, whose classes are known, with the new weights."""
        factors = self.factors[classes, _bin_of(jets.pt, self.bins)]
        weighed = (jets.jet_weights * factors).astype(np.float32)
        return replace(jets, jet_weights=weighed)


class PtSpectra:
    """Sums the weights of the training jets by class and bin, chunk by chunk.

    Parameters
    ----------
    classes
        Names of the classes, in their order; without any, all jets are of one.

    Raises
    ------
    InputError
        If ``options.like`` is none of the classes.
    """

    def __init__(self, options: FlattenOptions, classes: tuple[str, ...]) -> None:
        if options.like is not None and options.like not in classes:
            raise InputError(
                f"data.flatten_pt.like is {options.like}, but the classes are {', '.join(classes)}"
            )
        self.options = options
        self.classes = classes or ("of all jets",)
        self.bins = np.array(options.bins)
        self.sums = np.zeros((len(self.classes), len(self.bins) - 1))
        self.num_jets = 0

    def add(self, jets: JetArrays, classes: Int64[np.ndarray, " jets"]) -> None:
        """Add jets; those of class −1 do not count.

        Raises
        ------
        InputError
            If one lies outside the bins.
        """
        known = classes >= 0
        pt, own_classes = jets.pt[known], classes[known]
        outside = ~((pt >= self.bins[0]) & (pt <= self.bins[-1]))
        if outside.any():
            raise InputError(
                f"data.flatten_pt.bins end at {self.bins[0]:g} and {self.bins[-1]:g} GeV, but a "
                f"jet of {jets.sources[0]} has pT {pt[outside][0]:.4g} GeV: widen them, or leave "
                "such jets out with data.cuts.jet_pt"
            )
        where = own_classes, _bin_of(pt, self.bins)
        np.add.at(self.sums, where, jets.jet_weights[known].astype(np.float64))
        self.num_jets += int(known.sum())

    def weights(self) -> PtWeights:
        """Return the weights, which have a mean of 1 over the jets that were added.

        Raises
        ------
        InputError
            If a class has no jet where that of ``options.like`` has some.
        """
        wanted = np.tile(np.diff(self.bins), (len(self.classes), 1))
        if self.options.like is not None:
            wanted[:] = self.sums[self.classes.index(self.options.like)]
        wanted[self.sums == 0] = 0
        lost = [n for n, row in zip(self.classes, wanted, strict=True) if not row.any()]
        if lost:
            raise InputError(
                f"data.flatten_pt: class {lost[0]} has no jet in the bins where it should have "
                f"some ({self.options.like or 'any'}): choose other bins, or another class"
            )
        wanted *= self.sums.sum(axis=1, keepdims=True) / wanted.sum(axis=1, keepdims=True)
        factors = np.divide(wanted, self.sums, out=np.zeros_like(wanted), where=self.sums != 0)
        return PtWeights(self.bins, factors * self.num_jets / (factors * self.sums).sum())


def _bin_of(
    pt: Float64[np.ndarray, " jets"], bins: Float64[np.ndarray, " edges"]
) -> Int64[np.ndarray, " jets"]:
    """Return the bin of each jet; the last edge belongs to the last bin."""
    return (np.searchsorted(bins, pt, side="right") - 1).clip(0, len(bins) - 2)
