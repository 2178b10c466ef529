"""A number with its error, and what efficiencies of weighted jets are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from parttag.errors import InputError

CONFIDENCE_LEVEL = 0.95
"""Of the lower limit on a rejection that no background jet survives."""


@dataclass(frozen=True, repr=False)
class Estimate:
    """A number with its statistical error; NaN where the jets do not determine it.

    Examples
    --------
    >>> from parttag.metrics import Estimate
    >>> Estimate(241.0, 52.0)
    Estimate(241.0 ± 52.0)
    >>> Estimate(1335.7, is_lower_limit=True)
    Estimate(> 1336 at 95 % CL)
    """

    value: float
    error: float = math.nan
    is_lower_limit: bool = False

    def __str__(self) -> str:
        """Return the number and its error, of which two digits or more are shown."""
        if self.is_lower_limit:
            return f"> {self.value:.4g} at {100 * CONFIDENCE_LEVEL:g} % CL"
        if not (math.isfinite(self.value) and math.isfinite(self.error)):
            return f"{self.value:.4g}"
        power = math.floor(math.log10(self.error)) if self.error > 0 else 0
        digits = max(1, 1 - power)
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"

    def __repr__(self) -> str:
        """Return it as it is read, not as it is typed."""
        return f"Estimate({self})"

    def to_json(self) -> dict[str, float | bool | None]:
        """Return it as ``metrics.json`` holds it: null for NaN, limits marked as such."""
        fields: dict[str, float | bool | None] = {
            "value": json_number(self.value),
            "error": json_number(self.error),
        }
        return fields | ({"lower_limit": True} if self.is_lower_limit else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Estimate:
        """Return what ``to_json`` has written."""
        value, error = (from_json_number(content[name]) for name in ("value", "error"))
        return cls(value, error, bool(content.get("lower_limit", False)))


UNKNOWN = Estimate(math.nan)
"""What the jets do not determine, or nobody has asked for."""


def efficiency(
    passing: Bool[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> Estimate:
    """Return the share of the jets' weight that passes, with its binomial error; NaN without jets.

    With weighted jets the variance is [(1 − ε)² Σ_pass w² + ε² Σ_fail w²] / (Σ w)².
    """
    total = jet_weights.sum()
    if total == 0:
        return Estimate(math.nan)
    value = jet_weights[passing].sum() / total
    squares, passing_squares = (jet_weights**2).sum(), (jet_weights[passing] ** 2).sum()
    variance = (1 - value) ** 2 * passing_squares + value**2 * (squares - passing_squares)
    return Estimate(float(value), math.sqrt(variance) / float(total))


def to_rejection(eps_b: float, error: float, num_background: float) -> Estimate:
    """Return 1/ε_B and its error, or a lower limit if ε_B is 0; NaN where ε_B is.

    Parameters
    ----------
    error
        Of ε_B.
    num_background
        Effective number of background jets in all. The limit is the rejection at which none of
        them survives with the probability 1 − ``CONFIDENCE_LEVEL``.
    """
    if eps_b > 0:
        return Estimate(1 / eps_b, error / eps_b**2)
    if eps_b == 0:
        largest = 1 - (1 - CONFIDENCE_LEVEL) ** (1 / num_background)
        return Estimate(1 / largest, is_lower_limit=True)
    return Estimate(math.nan)


def effective_number(jet_weights: Float64[np.ndarray, " jets"]) -> float:
    """Return how many jets of equal weight would count as much, (Σ w)² / Σ w²; 0 without jets."""
    squares = (jet_weights**2).sum()
    return float(jet_weights.sum() ** 2 / squares) if squares > 0 else 0.0


def checked_weights(
    jet_weights: Float[np.ndarray, " jets"] | None, num_jets: int
) -> Float64[np.ndarray, " jets"]:
    """Return the weights in float64, ones if there are none given.

    Raises
    ------
    InputError
        If a weight is negative or not finite.
    """
    if jet_weights is None:
        return np.ones(num_jets)
    bad = ~(np.isfinite(jet_weights) & (jet_weights >= 0))
    if bad.any():
        raise InputError(
            f"jet weights: {bad.sum()} of {num_jets} are negative or not finite; efficiencies "
            "need weights of at least 0"
        )
    return jet_weights.astype(np.float64)


def json_number(value: float) -> float | None:
    """Return the number as JSON can hold it: ``None`` for what is not finite."""
    return float(value) if math.isfinite(value) else None


def from_json_number(value: float | None) -> float:
    """Return what ``json_number`` has written: NaN for ``None``."""
    return math.nan if value is None else float(value)
