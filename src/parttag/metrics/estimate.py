"""A number with its error, and what efficiencies of weighted jets are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, Float, Float64

from parttag.errors import InputError

CONFIDENCE_LEVEL = 0.95
"""Of the lower limit on a rejection that no background jet survives."""
ONE_SIGMA = math.erf(math.sqrt(0.5))
"""The probability of a normal number within one standard deviation, 68 %: of all intervals."""
FEWEST_PASSING = 10.0
"""Effective background jets that pass a cut, below which an interval of the rejection is rough."""

Scale = Literal["linear", "log", "logit", "share"]
"""On which scale an interval is symmetric: the number's own, its logarithm (rejections), the
logarithm of its odds (areas), or its own within 0 and 1 (efficiencies)."""


@dataclass(frozen=True, repr=False)
class Estimate:
    """A number with its statistical error; NaN where the jets do not determine it.

    Examples
    --------
    >>> from parttag.metrics import Estimate
    >>> Estimate(0.9293, 0.0012)
    Estimate(0.9293 ± 0.0012)
    >>> Estimate(241.0, 52.0, scale="log")
    Estimate(241 +58 −47)
    >>> Estimate(1335.7, is_limit=True)
    Estimate(> 1336 at 95 % CL)
    """

    value: float
    error: float = math.nan
    """One standard deviation, on the scale of the number."""
    is_limit: bool = False
    """Whether the value is a lower limit at ``CONFIDENCE_LEVEL``."""
    scale: Scale = "linear"
    num_passing: float = math.nan
    """Of a rejection: the effective number of background jets that pass, (Σ w)² / Σ w²."""
    reason: str = ""
    """Why the value is not known."""

    @property
    def low(self) -> float:
        """The lower end of the 68 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """The upper end of the 68 % interval; infinite for a limit."""
        return self.interval()[1]

    @property
    def is_rough(self) -> bool:
        """Whether so few jets decide it that its interval is only roughly one."""
        return self.num_passing < FEWEST_PASSING and not self.is_limit

    def interval(self, confidence: float = ONE_SIGMA) -> tuple[float, float]:
        """Return the interval that holds the truth with a probability; NaN without an error.

        Parameters
        ----------
        confidence
            The probability, between 0 and 1. A limit has one confidence only, its own.
        """
        if self.is_limit:
            return self.value, math.inf
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * self.error
        if self.scale == "log":
            factor = math.exp(min(reach / self.value, 700.0)) if self.value else 1.0
            return self.value / factor, self.value * factor
        if self.scale == "logit" and 0 < self.value < 1:
            odds = math.log(self.value / (1 - self.value))
            step = reach / (self.value * (1 - self.value))
            low, high = (0.5 * (1 + math.tanh(0.5 * x)) for x in (odds - step, odds + step))
            return low, high
        low, high = self.value - reach, self.value + reach
        if self.scale in ("share", "logit"):
            return max(low, 0.0), min(high, 1.0)
        return low, high

    def errors_text(self, style: str) -> str:
        """Return ``± 0.0011``, or ``+58 −47`` where the two differ as they are written.

        Parameters
        ----------
        style
            How numbers are written: ``".4f"``.
        """
        above, below = f"{self.high - self.value:{style}}", f"{self.value - self.low:{style}}"
        return f"± {above}" if above == below else f"+{above} −{below}"

    def __str__(self) -> str:
        """Return the number and its error, of which two digits or more are shown."""
        if self.is_limit:
            return f"> {self.value:.4g} at {100 * CONFIDENCE_LEVEL:g} % CL"
        if not (math.isfinite(self.value) and math.isfinite(self.error)):
            return f"{self.value:.4g}"
        smallest = self.value - self.low
        power = math.floor(math.log10(smallest)) if smallest > 0 else 0
        style = f".{max(1 if self.scale == 'linear' else 0, 1 - power)}f"
        return f"{self.value:{style}} {self.errors_text(style)}"

    def __repr__(self) -> str:
        """Return it as it is read, not as it is typed."""
        return f"Estimate({self})"

    def to_json(self) -> dict[str, float | bool | str | None]:
        """Return it as ``metrics.json`` holds it: null for NaN, limits marked as such."""
        fields: dict[str, float | bool | str | None] = {
            "value": json_number(self.value),
            "error": json_number(self.error),
        }
        if self.scale != "linear" and math.isfinite(self.value) and not self.is_limit:
            low, high = self.interval()
            fields |= {"low": json_number(low), "high": json_number(high), "scale": self.scale}
        if not math.isnan(self.num_passing):
            fields["num_passing"] = self.num_passing
        fields |= {"lower_limit": True} if self.is_limit else {}
        return fields | ({"reason": self.reason} if self.reason else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Estimate:
        """Return what ``to_json`` has written."""
        value, error = (from_json_number(content[name]) for name in ("value", "error"))
        is_limit = bool(content.get("lower_limit", False))
        return cls(
            value,
            error,
            is_limit,
            cast(Scale, str(content.get("scale", "log" if is_limit else "linear"))),
            from_json_number(content.get("num_passing")),
            str(content.get("reason", "")),
        )


UNKNOWN = Estimate(math.nan)
"""What the jets do not determine, or nobody has asked for."""


def efficiency(
    passing: Bool[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> Estimate:
    """Return the share of the jets' weight that passes, with its binomial error; NaN without jets.

    With weighted jets the variance is [(1 − ε)² Σ_pass w² + ε² Σ_fail w²] / (Σ w)². Where all or
    none pass, the error is that of Wilson's interval, 1/(n + 1) of n effective jets. With negative
    weights the share may lie outside of 0 and 1; it is NaN if they sum up to 0 or less.
    """
    total = jet_weights.sum()
    if total <= 0:
        return UNKNOWN
    value = jet_weights[passing].sum() / total
    squares, passing_squares = (jet_weights**2).sum(), (jet_weights[passing] ** 2).sum()
    variance = (1 - value) ** 2 * passing_squares + value**2 * (squares - passing_squares)
    error = math.sqrt(max(variance, 0.0)) / float(total)
    if not 0 < value < 1 and not (has_negative(jet_weights) and variance > 0):
        error = 1 / (effective_number(jet_weights) + 1)
    return Estimate(float(value), error, scale="share")


def to_rejection(
    eps_b: float, error: float, num_background: float, num_passing: float, *, is_limit: bool
) -> Estimate:
    """Return 1/ε_B and its error, or a lower limit; NaN where ε_B is.

    Its interval is symmetric in the logarithm: that of the count is skewed, and R ± error misses
    the truth on one side only where few jets pass.

    Parameters
    ----------
    error
        Of ε_B.
    num_background
        Background jets in all, each as heavy as those that the cut is near, Σw/w: the limit is the
        rejection at which none of them survives with the probability 1 − ``CONFIDENCE_LEVEL``.
    num_passing
        The effective number of background jets that pass.
    is_limit
        Whether less than one jet passes: then ε_B is not measured.
    """
    if is_limit and eps_b >= 0:
        largest = 1 - (1 - CONFIDENCE_LEVEL) ** (1 / num_background)
        return Estimate(1 / largest, is_limit=True, scale="log")
    if eps_b > 0:
        return Estimate(1 / eps_b, error / eps_b**2, scale="log", num_passing=num_passing)
    return UNKNOWN


def effective_number(jet_weights: Float64[np.ndarray, " jets"]) -> float:
    """Return how many jets of equal weight would count as much, (Σ w)² / Σ w²; 0 without jets.

    It is 0, too, for weights that sum up to less than nothing.
    """
    squares = (jet_weights**2).sum()
    return float(max(jet_weights.sum(), 0.0) ** 2 / squares) if squares > 0 else 0.0


def has_negative(jet_weights: Float[np.ndarray, " jets"]) -> bool:
    """Return whether a weight is below 0, as those of generators at next-to-leading order are."""
    return bool((jet_weights < 0).any())


def checked_weights(
    jet_weights: Float[np.ndarray, " jets"] | None, num_jets: int
) -> Float64[np.ndarray, " jets"]:
    """Return the weights in float64, ones if there are none given.

    They may be negative, as those of generators at next-to-leading order: sums of weights stand for
    numbers of jets all the same, and Σ w² for their variances.

    Raises
    ------
    InputError
        If a weight is not finite.
    """
    if jet_weights is None:
        return np.ones(num_jets)
    bad = ~np.isfinite(jet_weights)
    if bad.any():
        raise InputError(
            f"jet weights: {bad.sum()} of {num_jets} are not finite; leave these jets out"
        )
    return jet_weights.astype(np.float64)


def json_number(value: float) -> float | None:
    """Return the number as JSON can hold it: ``None`` for what is not finite."""
    return float(value) if math.isfinite(value) else None


def from_json_number(value: float | None) -> float:
    """Return what ``json_number`` has written: NaN for ``None``."""
    return math.nan if value is None else float(value)
