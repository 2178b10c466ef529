"""How far apart two equal samples are by chance: distances mean something only beyond it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from parttag.metrics import Estimate

_DRAWS = 200
# Larger samples are not drawn as they are: distances by chance fall as 1/√n.
_MOST_JETS = 10_000


@dataclass(frozen=True)
class ByChance:
    """Mean and spread of the distances between two samples of one distribution."""

    kolmogorov_smirnov: Estimate
    wasserstein: Estimate
    """In standard deviations of the distribution."""


def by_chance(
    values: Float64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    sizes: tuple[int, int],
    *,
    spread: float,
    seed: int = 0,
) -> ByChance:
    """Return the distances between samples that are drawn from the same jets, 200 times.

    Parameters
    ----------
    values, jet_weights
        Of the jets to draw from, with replacement; a jet keeps its weight.
    sizes
        Of the two samples. Of more than 10,000 jets so many are drawn, and the distances scaled
        with √(1/n + 1/m).
    spread
        The standard deviation in which the Wasserstein distance is given.
    """
    rng = np.random.default_rng(seed)
    drawn = [min(size, _MOST_JETS) for size in sizes]
    scale = math.sqrt(sum(1 / size for size in sizes) / sum(1 / size for size in drawn))
    if len(values) > sum(drawn):
        kept = rng.permutation(len(values))[: sum(drawn)]
        values, jet_weights = values[kept], jet_weights[kept]
    order = np.argsort(values, kind="stable")
    ordered, weights = values[order], jet_weights[order]
    last_of_tie = np.diff(ordered, append=np.inf) != 0
    steps = np.diff(ordered[last_of_tie])
    found = np.empty((_DRAWS, 2))
    for number in range(_DRAWS):
        first, second = (_shares(rng.integers(len(values), size=n), weights) for n in drawn)
        gap = np.abs(np.cumsum(first - second)[last_of_tie])
        found[number] = gap.max(), float(gap[:-1] @ steps)
    in_units = [scale, scale / spread if spread > 0 else 0.0]
    distances = [
        Estimate(float(column.mean()), float(column.std(ddof=1))) for column in (found * in_units).T
    ]
    return ByChance(*distances)


def _shares(
    rows: np.ndarray, weights: Float64[np.ndarray, " jets"]
) -> Float64[np.ndarray, " jets"]:
    """Return the share of each jet in the weight of the rows."""
    counts = weights * np.bincount(rows, minlength=len(weights))
    total = counts.sum()
    shares: Float64[np.ndarray, " jets"] = counts / total if total > 0 else counts
    return shares
