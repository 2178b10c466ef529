"""What jets count with: ``data.negative_weights``, and sums that can be divided by.

Generators at next-to-leading order give a part of their events negative weights: sums of weights
are right, each jet alone is not one of the sample.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays
from parttag.jets.validity import jet_name

_LARGEST_SUM = 1e36

NegativeWeights = Literal["keep", "absolute", "refuse"]
"""Sum them up as they are, without their signs, or refuse jets that have any."""


def with_weights(
    jets: JetArrays, negative: NegativeWeights, *, of_evaluation: bool = False
) -> JetArrays:
    """Return jets with the weights that they count with.

    Parameters
    ----------
    of_evaluation
        Whether the message names the option of an evaluation, and not that of a training.

    Raises
    ------
    InputError
        If one is negative, and such are to be refused.
    """
    if negative == "keep":
        return jets
    if negative == "absolute":
        return replace(jets, jet_weights=np.abs(jets.jet_weights))
    below = np.flatnonzero(jets.jet_weights < 0)
    if len(below):
        first, choices = int(below[0]), ("keep", "absolute")
        keep, absolute = (
            option("negative_weights", choice)
            if of_evaluation
            else f"data.negative_weights={choice}"
            for choice in choices
        )
        raise InputError(
            f"{jet_name(jets, first)} has the weight {jets.jet_weights[first]:g}: "
            f"{'evaluate' if of_evaluation else 'train'} with {keep} to count such jets with the "
            f"signs of their weights, or with {absolute} to count them without"
        )
    return jets


def used_weights(
    jets: JetArrays, classes: Int64[np.ndarray, " jets"], negative_weights: NegativeWeights
) -> Float[np.ndarray, " used_jets"]:
    """Return the weights that the jets of a class count with; refuse those that may not be."""
    rows = np.flatnonzero(classes >= 0)
    weights = jets.jet_weights[rows]
    if not (weights < 0).any():
        return weights
    return with_weights(jets.take(rows), negative_weights).jet_weights


class WeightSums:
    """Whether the weights of the jets have sums that a mean can be divided by.

    Parameters
    ----------
    classes
        Names of the classes; without any, all jets are of one.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes) or ("of all jets",)
        self.sums, self.sizes = (np.zeros(len(self.classes)) for _ in range(2))
        self.largest = 0.0

    def add(self, weights: Float[np.ndarray, " jets"], classes: Int64[np.ndarray, " jets"]) -> None:
        """Add the weights of jets of these classes."""
        wide = weights.astype(np.float64)
        number = len(self.classes)
        self.sums += np.bincount(classes, weights=wide, minlength=number)
        self.sizes += np.bincount(classes, weights=np.abs(wide), minlength=number)
        self.largest = max(self.largest, float(weights.max(initial=0)))

    def check(self, names: str) -> None:
        """Refuse weights that cannot be learned with.

        Parameters
        ----------
        names
            Of the files.

        Raises
        ------
        InputError
            If all are 0, those of a class do not sum up to more than 0, or they are too large.
        """
        if not self.sizes.any():
            raise InputError(f"{names}: the weights of the jets are all 0; one must be larger")
        # Rounding may leave a little of weights that cancel.
        lost = (self.sizes > 0) & (self.sums <= 1e-6 * self.sizes)
        if lost.any():
            raise InputError(
                f"{names}: the weights of class {self.classes[int(lost.argmax())]} sum up to 0 or "
                "less, so that nothing can be learned of it: correct data.columns.jet_weight, or "
                "let negative weights count without their signs by data.negative_weights=absolute"
            )
        # A loss is summed in single precision.
        if not self.sizes.sum() < _LARGEST_SUM:
            raise InputError(
                f"{names}: the weights of the jets, up to {self.largest:.3g}, are too large for "
                "sums in single precision; divide them by a constant"
            )
