"""Mass sculpting: the background's jet mass before and after a cut on the score.

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
from parttag.metrics.estimate import (
    UNKNOWN,
    Estimate,
    checked_weights,
    effective_number,
    from_json_number,
    has_negative,
    json_number,
)
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
    jensen_shannon: float
    """Distance of the two distributions: 0 if equal, 1 if disjoint; few jets always look
    different, so that it is too large by what chance adds."""
    spread: float
    """Of the distance over bootstraps of the jets that pass: not its error, for it is biased."""
    by_chance: Estimate
    """Mean and spread of the distance of equally many jets picked at random: a distance means
    sculpting only where it is well above."""
    excess: float
    """The distance without what chance adds, √(JS² − chance²), or 0: to compare taggers by, of
    equally many bins."""
    num_bins: int
    """Of the mass, for the distances; 0 if there were too few jets."""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "eps_s": self.eps_s,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "jensen_shannon": json_number(self.jensen_shannon),
            "spread": json_number(self.spread),
            "by_chance": self.by_chance.to_json(),
            "excess": json_number(self.excess),
            "num_bins": self.num_bins,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Sculpting:
        """Return what ``to_json`` has written."""
        before, after = (MassShape.from_json(content[when]) for when in ("before", "after"))
        distance, spread, excess = (
            from_json_number(content[key]) for key in ("jensen_shannon", "spread", "excess")
        )
        return cls(
            eps_s=float(content["eps_s"]),
            before=before,
            after=after,
            jensen_shannon=distance,
            spread=spread,
            by_chance=Estimate.from_json(content["by_chance"]),
            excess=excess,
            num_bins=int(content["num_bins"]),
        )


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
        If a jet weight is not finite.

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

    It is the square root of the Jensen–Shannon divergence to base 2: from 0 to 1. Bins that
    negative weights bring below 0 count as empty.
    """
    samples, reference = np.maximum(samples, 0), np.maximum(reference, 0)
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
    distances = _distances(mass, passed, jet_weights, seed)
    return Sculpting(
        eps_s=eps_s,
        before=_shape(mass, jet_weights),
        after=_shape(mass[passed], jet_weights[passed]),
        jensen_shannon=distances.distance,
        spread=distances.spread,
        by_chance=distances.by_chance,
        excess=distances.excess,
        num_bins=distances.num_bins,
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
    # Where negative weights make it fall, the first value counts that reaches a share.
    below = np.maximum.accumulate(below)
    return [float(quantile) for quantile in np.interp(shares, below, values[order])]


@dataclass(frozen=True)
class _Distances:
    """Of the jets that pass from all, and of as many random ones."""

    distance: float = math.nan
    spread: float = math.nan
    by_chance: Estimate = UNKNOWN
    excess: float = math.nan
    num_bins: int = 0


def _distances(
    mass: Float64[np.ndarray, " jets"],
    passed: Bool[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    seed: int,
) -> _Distances:
    num_bins = min(_MOST_BINS, len(mass) // _LEAST_JETS)
    survivors = np.flatnonzero(passed & (jet_weights != 0))
    number = len(survivors)
    if num_bins < 2 or number == 0:
        return _Distances()
    edges = np.unique(np.quantile(mass, np.arange(1, num_bins) / num_bins))
    bins = np.searchsorted(edges, mass, side="right")

    def histogram(rows: np.ndarray, weights: np.ndarray) -> Float64[np.ndarray, " bins"]:
        counts = np.bincount(bins[rows], weights=weights, minlength=len(edges) + 1)
        return counts.astype(np.float64)

    def resampled() -> Float64[np.ndarray, " bins"]:
        rows = rng.choice(survivors, number)
        return histogram(rows, jet_weights[rows])

    # The weights of those that pass may be unlike those of all, and so few of them count: random
    # jets have their masses from all, with the probabilities of the weights, and these weights. A
    # sign belongs to the mass: with negative weights in both, sums of jets would not be those of
    # all otherwise.
    own, sizes = jet_weights[survivors], np.abs(jet_weights)
    share = None if np.ptp(jet_weights) == 0 else sizes / sizes.sum()
    signs, is_signed = np.sign(jet_weights), has_negative(jet_weights)

    def by_chance() -> Float64[np.ndarray, " bins"]:
        rows = rng.choice(len(mass), number, replace=share is not None, p=share, shuffle=False)
        return histogram(rows, signs[rows] * np.abs(own) if is_signed else own)

    everything = histogram(np.arange(len(mass)), jet_weights)
    rng = np.random.default_rng(seed)
    bootstraps, random = (
        jensen_shannon(np.stack([draw() for _ in range(_RESAMPLES)]), everything)
        for draw in (resampled, by_chance)
    )
    if share is not None:
        random = random * _part_of_all(jet_weights, survivors)
    distance = float(jensen_shannon(histogram(survivors, own)[None], everything)[0])
    return _Distances(
        distance,
        float(bootstraps.std(ddof=1)),
        Estimate(float(random.mean()), float(random.std(ddof=1))),
        math.sqrt(max(distance**2 - float((random**2).mean()), 0.0)),
        len(edges) + 1,
    )


def _part_of_all(
    jet_weights: Float64[np.ndarray, " jets"], survivors: Int64[np.ndarray, " passing"]
) -> float:
    """Return by how much the distance of a part from all it is of differs from that of other jets.

    A part with the share f of the weight is (1 − f) times as far from all as from the rest, and
    the rest is of finitely many jets too: (1 − f) √(1 + n/n_rest), n being effective numbers. With
    equal weights random jets are drawn without replacement, which is the same.
    """
    rest = np.delete(jet_weights, survivors)
    number = effective_number(rest)
    if number == 0:
        return 0.0
    own = jet_weights[survivors]
    return float(rest.sum() / jet_weights.sum()) * math.sqrt(1 + effective_number(own) / number)
