"""What a cut on the score makes of the background's jet mass: sculpting.

A tagger that has learned the mass keeps the background jets whose mass is that of the signal, and
the background then has a bump where the signal's is expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.metrics.discriminant import discriminants
from parttag.metrics.estimate import Estimate, checked_weights, effective_number
from parttag.metrics.options import DEFAULTS, EvaluationOptions

_MOST_BINS = 20
# Jets of a bin before the cut.
_LEAST_JETS = 10
_RESAMPLES = 200
# Jets below which the spread of a median is not estimated.
_LEAST_FOR_MEDIAN = 4.0


@dataclass(frozen=True)
class MassShape:
    """The background's jet mass in three numbers: how many jets, mean and median in GeV."""

    num_jets: int
    mean: Estimate
    median: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "num_jets": self.num_jets,
            "mean": self.mean.to_json(),
            "median": self.median.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MassShape:
        """Return what ``to_json`` has written."""
        mean, median = (Estimate.from_json(content[name]) for name in ("mean", "median"))
        return cls(int(content["num_jets"]), mean, median)


@dataclass(frozen=True)
class Sculpting:
    """The background's jet mass before a cut and after it."""

    eps_s: float
    """Signal efficiency of the cut."""
    before: MassShape
    after: MassShape
    jensen_shannon: Estimate
    """Distance of the two distributions: 0 if equal, 1 if disjoint. The error is the spread over
    bootstraps of the jets that pass."""
    by_chance: Estimate
    """Mean and spread of the distance of equally many jets picked at random: few jets always
    look different, so a distance means sculpting only where it is well above."""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "eps_s": self.eps_s,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "jensen_shannon": self.jensen_shannon.to_json(),
            "by_chance": self.by_chance.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Sculpting:
        """Return what ``to_json`` has written."""
        before, after = (MassShape.from_json(content[when]) for when in ("before", "after"))
        distances = (Estimate.from_json(content[key]) for key in ("jensen_shannon", "by_chance"))
        return cls(float(content["eps_s"]), before, after, *distances)


def measure_sculpting(
    jet_mass: Float[np.ndarray, " jets"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    passing: Mapping[str, Bool[np.ndarray, " jets"]],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    options: EvaluationOptions = DEFAULTS,
    *,
    seed: int = 0,
) -> dict[str, Sculpting]:
    """Return what each signal class's cut makes of the background's jet mass.

    Parameters
    ----------
    jet_mass
        In GeV.
    passing
        Which jets pass the cut of each signal class, as ``passing_jets`` gives it.

    Raises
    ------
    InputError
        If a jet weight is negative or not finite.

    References
    ----------
    The Jensen–Shannon distance as a measure of sculpting: ATL-PHYS-PUB-2018-014. Here it is the
    square root of the divergence to base 2, between all background jets and those that pass, in
    up to 20 bins that hold equally many jets before the cut.
    """
    scores = discriminants(classes, options)
    if not scores:
        return {}
    rows = next(iter(scores.values())).is_background(labels)
    weights = checked_weights(jet_weights, len(labels))[rows]
    mass = jet_mass[rows].astype(np.float64)
    return {
        name: _sculpting(options.sculpting_eps_s, mass, passed[rows], weights, seed)
        for name, passed in passing.items()
    }


def jensen_shannon(
    samples: Float64[np.ndarray, "samples bins"], reference: Float64[np.ndarray, " bins"]
) -> Float64[np.ndarray, " samples"]:
    """Return the distance of histograms from a reference; NaN for an empty one.

    It is the square root of the Jensen–Shannon divergence to base 2: from 0 to 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = samples / samples.sum(axis=1, keepdims=True), reference / reference.sum()
        middle = (p + q) / 2
        halves = [
            np.where(part == 0, 0, part * np.log2(part / middle)).sum(axis=1) for part in (p, q)
        ]
    distance: Float64[np.ndarray, " samples"] = np.sqrt(np.maximum((halves[0] + halves[1]) / 2, 0))
    return distance


def _sculpting(
    eps_s: float,
    mass: Float64[np.ndarray, " jets"],
    passed: Bool[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    seed: int,
) -> Sculpting:
    distance, by_chance = _distances(mass, passed, jet_weights, seed)
    return Sculpting(
        eps_s=eps_s,
        before=_shape(mass, jet_weights),
        after=_shape(mass[passed], jet_weights[passed]),
        jensen_shannon=distance,
        by_chance=by_chance,
    )


def _shape(
    mass: Float64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> MassShape:
    number = effective_number(jet_weights)
    if number == 0:
        return MassShape(len(mass), Estimate(math.nan), Estimate(math.nan))
    mean = float(np.average(mass, weights=jet_weights))
    squares = float(np.average((mass - mean) ** 2 * jet_weights, weights=jet_weights))
    variance = squares / float(jet_weights.sum())
    error = math.sqrt(variance * number / (number - 1)) if number > 1 else math.nan
    half = 0.5 / math.sqrt(number)
    low, median, high = _quantiles(mass, jet_weights, np.array([0.5 - half, 0.5, 0.5 + half]))
    spread = (high - low) / 2 if number >= _LEAST_FOR_MEDIAN else math.nan
    return MassShape(len(mass), Estimate(mean, error), Estimate(median, spread))


def _quantiles(
    values: Float64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    shares: Float64[np.ndarray, " shares"],
) -> list[float]:
    """Return quantiles of weighted values, linear between them."""
    order = np.argsort(values)
    weights = jet_weights[order]
    below = (np.cumsum(weights) - weights / 2) / weights.sum()
    return [float(quantile) for quantile in np.interp(shares, below, values[order])]


def _distances(
    mass: Float64[np.ndarray, " jets"],
    passed: Bool[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    seed: int,
) -> tuple[Estimate, Estimate]:
    """Return the distance of the jets that pass from all, and that of as many random jets."""
    num_bins = min(_MOST_BINS, len(mass) // _LEAST_JETS)
    number = int(passed.sum())
    if num_bins < 2 or number == 0:
        return Estimate(math.nan), Estimate(math.nan)
    edges = np.unique(np.quantile(mass, np.arange(1, num_bins) / num_bins))
    bins = np.searchsorted(edges, mass, side="right")

    def histogram(rows: np.ndarray) -> Float64[np.ndarray, " bins"]:
        counts = np.bincount(bins[rows], weights=jet_weights[rows], minlength=len(edges) + 1)
        return counts.astype(np.float64)

    everything = histogram(np.arange(len(mass)))
    survivors = np.flatnonzero(passed)
    rng = np.random.default_rng(seed)
    resampled, random = (
        jensen_shannon(np.stack([histogram(draw()) for _ in range(_RESAMPLES)]), everything)
        for draw in (
            lambda: rng.choice(survivors, number),
            lambda: rng.choice(len(mass), number, replace=False, shuffle=False),
        )
    )
    distance = float(jensen_shannon(histogram(survivors)[None], everything)[0])
    return (
        Estimate(distance, float(resampled.std(ddof=1))),
        Estimate(float(random.mean()), float(random.std(ddof=1))),
    )
