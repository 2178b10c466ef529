"""Rejection in bins of jet pT: whether a tagger is as good, and one cut as tight, everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.metrics.discriminant import background_of, class_rocs, discriminants
from parttag.metrics.estimate import (
    UNKNOWN,
    Estimate,
    checked_weights,
    effective_number,
    efficiency,
    to_rejection,
)
from parttag.metrics.options import DEFAULTS, EvaluationOptions, point_key
from parttag.metrics.roc import Roc, roc, weight_over_nearest

_MOST_BINS = 5
# Background jets of a bin: fewer say nothing about a rejection.
_LEAST_JETS = 100
# Width of a bin over its pT: what is narrower is below the resolution of a jet's pT.
_LEAST_WIDTH = 0.03

Points = Mapping[str, Mapping[float, tuple[Estimate, ...]]]
"""Estimates bin by bin, by signal class and then by signal efficiency."""


@dataclass(frozen=True, eq=False)
class RejectionByPt:
    """Rejection of the background in bins of jet pT, by two kinds of cut.

    A bin has its lower edge and not its upper one; the last has both.
    """

    edges: Float64[np.ndarray, " edges"]
    """In GeV."""
    num_jets: Mapping[str, tuple[int, ...]]
    """Jets of each class in each bin."""
    rejection: Points
    """With a cut of its own in every bin, which keeps ε_S of the bin's signal jets."""
    one_cut_eps_s: Points
    """Signal efficiency of the one cut that keeps ε_S of all signal jets."""
    one_cut_rejection: Points
    """Rejection of that cut."""
    background: tuple[str, ...]
    """The classes whose jets are rejected."""

    def to_json(self) -> dict[str, Any]:
        """Return the layout of ``metrics.json``; one entry a bin in every list."""
        return {
            "pt_edges": self.edges.tolist(),
            "num_jets": {name: list(numbers) for name, numbers in self.num_jets.items()},
            "rejection": _to_json(self.rejection),
            "one_cut": {
                "eps_s": _to_json(self.one_cut_eps_s),
                "rejection": _to_json(self.one_cut_rejection),
            },
            "background": list(self.background),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RejectionByPt:
        """Return what ``to_json`` has written."""
        return cls(
            edges=np.array(content["pt_edges"], dtype=np.float64),
            num_jets={
                str(name): tuple(int(number) for number in numbers)
                for name, numbers in content["num_jets"].items()
            },
            rejection=_from_json(content["rejection"]),
            one_cut_eps_s=_from_json(content["one_cut"]["eps_s"]),
            one_cut_rejection=_from_json(content["one_cut"]["rejection"]),
            background=tuple(map(str, content["background"])),
        )


def _to_json(points: Points) -> dict[str, Any]:
    return {
        name: {
            point_key(eps_s): [estimate.to_json() for estimate in bins]
            for eps_s, bins in by_eps_s.items()
        }
        for name, by_eps_s in points.items()
    }


def _from_json(content: Mapping[str, Any]) -> Points:
    return {
        str(name): {
            float(eps_s): tuple(Estimate.from_json(estimate) for estimate in bins)
            for eps_s, bins in by_eps_s.items()
        }
        for name, by_eps_s in content.items()
    }


def measure_by_pt(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_pt: Float[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    options: EvaluationOptions = DEFAULTS,
) -> RejectionByPt | None:
    """Return the rejection in bins of jet pT; ``None`` for classes without a background.

    The bins hold about the same number of background jets each, because that number decides the
    errors: five bins at most, each of 100 background jets and 3 % of its pT at least, with round
    edges. All signal classes share them.

    Parameters
    ----------
    jet_pt
        In GeV.

    Raises
    ------
    InputError
        If a jet weight is not finite.
    """
    scores = discriminants(classes, options)
    if not scores or len(labels) == 0:
        return None
    jet_weights = checked_weights(jet_weights, len(labels))
    is_background = next(iter(scores.values())).is_background(labels)
    edges = pt_edges(jet_pt, is_background)
    bin_of_jet = np.searchsorted(edges[1:-1], jet_pt, side="right")
    num_bins = len(edges) - 1
    rocs = class_rocs(logits, labels, classes, jet_weights, options)
    own: dict[str, dict[float, tuple[Estimate, ...]]] = {}
    kept: dict[str, dict[float, tuple[Estimate, ...]]] = {}
    one: dict[str, dict[float, tuple[Estimate, ...]]] = {}
    for name, score in scores.items():
        if not score.working_points:
            continue
        is_signal = score.is_signal(labels)
        rows = is_signal | is_background
        bins = _Bins(
            score(logits[rows]),
            is_signal[rows],
            jet_weights[rows],
            [bin_of_jet[rows] == number for number in range(num_bins)],
        )
        own[name] = {eps_s: bins.rejection(eps_s) for eps_s in score.working_points}
        kept[name] = {eps_s: bins.kept_by(rocs[name], eps_s) for eps_s in score.working_points}
        one[name] = {eps_s: bins.rejected_by(rocs[name], eps_s) for eps_s in score.working_points}
    counts = {
        name: tuple(np.bincount(bin_of_jet[labels == number], minlength=num_bins).tolist())
        for number, name in enumerate(classes)
    }
    background = background_of(classes, options)
    return RejectionByPt(edges, counts, own, kept, one, background)


@dataclass(frozen=True, eq=False)
class _Bins:
    """The jets of one signal class and of the background, and which of them are in each bin."""

    scores: Float64[np.ndarray, " jets"]
    is_signal: Bool[np.ndarray, " jets"]
    jet_weights: Float64[np.ndarray, " jets"]
    members: Sequence[Bool[np.ndarray, " jets"]]

    def rejection(self, eps_s: float) -> tuple[Estimate, ...]:
        """Return the rejection where a cut keeps ``eps_s`` of the bin's signal."""
        return tuple(self._roc(inside).rejection(eps_s) for inside in self.members)

    def kept_by(self, curve: Roc, eps_s: float) -> tuple[Estimate, ...]:
        """Return the signal efficiency in each bin of the cut that keeps ``eps_s`` of all.

        The more of the signal a bin has, the less its efficiency can differ from that of all, which
        is given: the error is that of a share times √(1 − the bin's part of the signal).
        """
        threshold = curve.threshold(eps_s)
        total = float((self.jet_weights[self.is_signal] ** 2).sum())
        found = []
        for rows in (inside & self.is_signal for inside in self.members):
            weights = self.jet_weights[rows]
            if math.isnan(threshold) or not weights.any():
                found.append(UNKNOWN)
                continue
            kept = efficiency(self.scores[rows] >= threshold, weights)
            free = 1 - float((weights**2).sum()) / total
            found.append(replace(kept, error=kept.error * math.sqrt(max(free, 0.0))))
        return tuple(found)

    def rejected_by(self, curve: Roc, eps_s: float) -> tuple[Estimate, ...]:
        """Return the rejection in each bin of the cut that keeps ``eps_s`` of all signal jets."""
        whole = curve.rejection(eps_s)
        threshold = curve.threshold(eps_s)
        if math.isnan(threshold) or whole.reason:
            return (Estimate(math.nan, reason=whole.reason),) * len(self.members)
        half = float(curve.half_step(np.array([eps_s]))[0])
        around = [min(max(eps_s + side * half, 0.0), 1.0) for side in (1, -1)]
        cuts = [threshold, *map(curve.threshold, around)]
        step = curve.kept(around[0]) - curve.kept(around[1])
        of_cut = math.sqrt(eps_s * (1 - eps_s) / curve.num_signal)
        found = []
        for rows in (inside & ~self.is_signal for inside in self.members):
            scores, weights = self.scores[rows], self.jet_weights[rows]
            eps_b, looser, tighter = (efficiency(scores >= cut, weights) for cut in cuts)
            slope = (looser.value - tighter.value) / step if step > 0 else 0.0
            found.append(
                _rejection(
                    scores, weights, threshold, math.hypot(eps_b.error, slope * of_cut), eps_b.value
                )
            )
        return tuple(found)

    def _roc(self, inside: Bool[np.ndarray, " jets"]) -> Roc:
        return roc(self.scores[inside], self.is_signal[inside], self.jet_weights[inside])


def _rejection(
    scores: Float64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    threshold: float,
    error: float,
    eps_b: float,
) -> Estimate:
    """Return the rejection of background jets by a cut; NaN without any, or of a negative sum."""
    passing = (scores >= threshold) & (jet_weights != 0)
    if passing.any() or not jet_weights.any():
        number = effective_number(jet_weights[passing])
        return to_rejection(eps_b, error, float(len(scores)), number, is_limit=False)
    comparable = weight_over_nearest(scores, jet_weights)
    return to_rejection(eps_b, error, comparable, 0.0, is_limit=True)


def pt_edges(
    jet_pt: Float[np.ndarray, " jets"], is_background: Bool[np.ndarray, " jets"]
) -> Float64[np.ndarray, " edges"]:
    """Return edges of bins that hold every jet, and about equally many of the background's.

    Parameters
    ----------
    jet_pt
        Of one jet at least. Weights play no part: it is the number of jets that makes the errors.
    """
    background = jet_pt[is_background].astype(np.float64)
    most = max(1, min(_MOST_BINS, len(background) // _LEAST_JETS))
    for num_bins in range(most, 1, -1):
        quantiles = np.quantile(background, np.arange(num_bins + 1) / num_bins)
        step = _round_number(np.diff(quantiles).min() / 2)
        inner = np.round(quantiles[1:-1] / step) * step
        edges = np.concatenate([[_below(jet_pt, step)], inner, [_above(jet_pt, step)]])
        if (np.diff(edges) >= _LEAST_WIDTH * edges[1:]).all():
            return edges
    step = _round_number(float(np.ptp(jet_pt)) / 2)
    return np.array([_below(jet_pt, step), _above(jet_pt, step)])


def _below(jet_pt: Float[np.ndarray, " jets"], step: float) -> float:
    return float(np.floor(jet_pt.min() / step) * step)


def _above(jet_pt: Float[np.ndarray, " jets"], step: float) -> float:
    """Return an upper edge, above the lower one even if all jets are equal."""
    return float(max(np.ceil(jet_pt.max() / step) * step, _below(jet_pt, step) + step))


def _round_number(largest: float) -> float:
    """Return the largest of 1, 2 and 5, times a power of ten, that is not above ``largest``."""
    power = 10.0 ** np.floor(np.log10(max(largest, 1e-2)))
    return float(power * max(factor for factor in (1, 2, 5) if factor <= max(largest / power, 1)))
