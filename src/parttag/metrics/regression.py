"""How good a regressed quantity of jets is: bias, resolution, tails and quantiles, with errors.

All of it is of the response, prediction over truth where all true values are positive, else their
difference. Bias is the median of the response, less 1 for ratios; the resolution half the width of
its central 68 %; the tails are the share of jets farther than three resolutions from the median,
0.27 % of a Gaussian. Errors are those of sample quantiles, in which no shape is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.metrics.estimate import ONE_SIGMA, UNKNOWN, Estimate, effective_number

Response = Literal["ratio", "difference"]

PREDICTION = "prediction"
"""What the network's own numbers are called among those that stand beside them."""

_NUM_BINS = 5
_FEWEST = 5
_TAIL = 3.0
_LOW, _HIGH = (1 - ONE_SIGMA) / 2, (1 + ONE_SIGMA) / 2


@dataclass(frozen=True)
class Resolution:
    """How close predictions of some jets are to the truth."""

    num_jets: int
    bias: Estimate = UNKNOWN
    resolution: Estimate = UNKNOWN
    tails: Estimate = UNKNOWN

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "num_jets": self.num_jets,
            **{name: getattr(self, name).to_json() for name in _MEASURES},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Resolution:
        """Return what ``to_json`` has written."""
        found = {name: Estimate.from_json(content[name]) for name in _MEASURES}
        return cls(int(content["num_jets"]), **found)


_MEASURES = ("bias", "resolution", "tails")


@dataclass(frozen=True, eq=False)
class Binned:
    """The same in bins of a quantity: of each prediction, one a bin."""

    edges: tuple[float, ...]
    by: Mapping[str, tuple[Resolution, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        bins = {name: [own.to_json() for own in found] for name, found in self.by.items()}
        return {"edges": list(self.edges), **bins}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Binned:
        """Return what ``to_json`` has written."""
        by = {
            str(name): tuple(map(Resolution.from_json, found))
            for name, found in content.items()
            if name != "edges"
        }
        return cls(tuple(map(float, content["edges"])), by)


@dataclass(frozen=True, eq=False)
class RegressionReport:
    """What the prediction of a target is worth, and other quantities as predictions of it."""

    response: Response
    num_missing: int
    """Jets that lack the target."""
    overall: Mapping[str, Resolution]
    """Of the ``PREDICTION``, and of each quantity beside it."""
    by_target: Binned
    by_pt: Binned
    by_class: Mapping[str, Mapping[str, Resolution]]
    coverage: Mapping[str, Estimate] = field(default_factory=dict)
    """Share of jets whose true value is below each predicted quantile (``q16``); or, of a Gaussian,
    within its ``error``."""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "kind": "regression",
            "response": self.response,
            "num_missing": self.num_missing,
            **self.overall[PREDICTION].to_json(),
            "beside": {n: own.to_json() for n, own in self.overall.items() if n != PREDICTION},
            "by_target": self.by_target.to_json(),
            "by_pt": self.by_pt.to_json(),
            "by_class": {
                name: {n: own.to_json() for n, own in found.items()}
                for name, found in self.by_class.items()
            },
            "coverage": {name: share.to_json() for name, share in self.coverage.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RegressionReport:
        """Return what ``to_json`` has written."""
        beside = {str(n): Resolution.from_json(own) for n, own in content["beside"].items()}
        response: Response = "ratio" if content["response"] == "ratio" else "difference"
        return cls(
            response=response,
            num_missing=int(content["num_missing"]),
            overall={PREDICTION: Resolution.from_json(content), **beside},
            by_target=Binned.from_json(content["by_target"]),
            by_pt=Binned.from_json(content["by_pt"]),
            by_class={
                str(name): {str(n): Resolution.from_json(own) for n, own in found.items()}
                for name, found in content["by_class"].items()
            },
            coverage={str(n): Estimate.from_json(e) for n, e in content["coverage"].items()},
        )

    def rows(self, name: str) -> list[tuple[str, Estimate]]:
        """Return the numbers of its table, by what they are."""
        found = []
        for which, own in self.overall.items():
            title = name if which == PREDICTION else f"{name} as {which}"
            found += [(f"{title}: {measure}", getattr(own, measure)) for measure in _MEASURES]
        shares = self.coverage.items()
        return found + [(f"{name}: true value {_in_words(n)}", share) for n, share in shares]


def _in_words(name: str) -> str:
    return "within the error" if name == "error" else f"below {name}"


def measure_regression(
    truth: Float[np.ndarray, " jets"],
    predictions: Mapping[str, Float[np.ndarray, " jets"]],
    *,
    jet_pt: Float[np.ndarray, " jets"],
    labels: Int64[np.ndarray, " jets"],
    classes: tuple[str, ...],
    jet_weights: Float64[np.ndarray, " jets"],
    limits: Mapping[str, Float[np.ndarray, " jets"]] | None = None,
    bins: tuple[float, ...] | None = None,
) -> RegressionReport:
    """Return what predictions of a target are worth.

    Parameters
    ----------
    truth
        Of each jet; not finite where it lacks the target.
    predictions
        The ``PREDICTION`` and whatever stands beside it, in the unit of the truth.
    labels
        The class of each jet, −1 where it is of none.
    limits
        Predicted quantiles, by their names (``q16``), or the ``error``.
    bins
        Edges of bins of the truth; by default bins of about equally many jets.
    """
    known = np.isfinite(truth) & np.isfinite(predictions[PREDICTION])
    weights = jet_weights[known]
    true = truth[known].astype(np.float64)
    response: Response = "ratio" if len(true) and (true > 0).all() else "difference"

    def off(values: Float[np.ndarray, " jets"]) -> Float64[np.ndarray, " known"]:
        wide = values[known].astype(np.float64)
        difference: np.ndarray = wide / true - 1 if response == "ratio" else wide - true
        return difference

    found = {name: off(values) for name, values in predictions.items()}

    def measured(chosen: Bool[np.ndarray, " known"]) -> dict[str, Resolution]:
        return {n: measure_resolution(o[chosen], weights[chosen]) for n, o in found.items()}

    def binned(values: Float64[np.ndarray, " known"], edges: tuple[float, ...]) -> Binned:
        place = np.searchsorted(edges, values, side="right") - 1
        place[values == edges[-1]] = len(edges) - 2
        each = [measured(place == number) for number in range(len(edges) - 1)]
        return Binned(edges, {name: tuple(own[name] for own in each) for name in found})

    pt = jet_pt[known].astype(np.float64)
    own = labels[known]
    return RegressionReport(
        response=response,
        num_missing=int((~np.isfinite(truth)).sum()),
        overall=measured(np.ones(len(true), dtype=bool)),
        by_target=binned(true, bins or equal_bins(true)),
        by_pt=binned(pt, equal_bins(pt)),
        by_class={name: measured(own == number) for number, name in enumerate(classes)},
        coverage=_coverage(truth, predictions[PREDICTION], limits or {}, known, weights),
    )


def _coverage(
    truth: Float[np.ndarray, " jets"],
    prediction: Float[np.ndarray, " jets"],
    limits: Mapping[str, Float[np.ndarray, " jets"]],
    known: Bool[np.ndarray, " jets"],
    weights: Float64[np.ndarray, " known"],
) -> dict[str, Estimate]:
    found = {}
    for name, values in limits.items():
        is_inside = np.abs(truth - prediction) < values if name == "error" else truth < values
        found[name] = share_of(is_inside[known], weights)
    return found


def measure_resolution(
    off: Float64[np.ndarray, " jets"], weights: Float64[np.ndarray, " jets"]
) -> Resolution:
    """Return bias, resolution and tails of the differences of predictions from the truth.

    Parameters
    ----------
    off
        Of each jet; what is not finite is left out.
    """
    there = np.isfinite(off) & (weights != 0)
    off, weights = off[there], weights[there]
    number = effective_number(weights)
    if len(off) < _FEWEST or number < _FEWEST:
        return Resolution(len(off))
    order = np.argsort(off)
    values, shares = off[order], np.cumsum(weights[order])
    # Each jet stands for the middle of its weight, as in ``numpy.quantile`` of equal weights.
    # Of weights below 0 the sums may fall for a while; a quantile is where they rise beyond it.
    shares = np.maximum.accumulate((shares - weights[order] / 2) / shares[-1])

    def quantile(share: float) -> Estimate:
        step = math.sqrt(share * (1 - share) / number)
        low, middle, high = np.interp([share - step, share, share + step], shares, values)
        return Estimate(float(middle), float(high - low) / 2)

    low, middle, high = map(quantile, (_LOW, 0.5, _HIGH))
    width = (high.value - low.value) / 2
    # The two ends move together: the correlation of sample quantiles p and 1 − p is p/(1 − p).
    together = 2 * _LOW / _HIGH * low.error * high.error
    error = math.sqrt(max(low.error**2 + high.error**2 - together, 0.0)) / 2
    tails = share_of(np.abs(off - middle.value) > _TAIL * width, weights)
    return Resolution(len(off), middle, Estimate(width, error), tails)


def share_of(chosen: Bool[np.ndarray, " jets"], weights: Float64[np.ndarray, " jets"]) -> Estimate:
    """Return the share of the weight that is chosen, with its binomial error."""
    number = effective_number(weights)
    if not number:
        return UNKNOWN
    share = float(weights[chosen].sum() / weights.sum())
    error = math.sqrt(max(share * (1 - share), 0.0) / number)
    return Estimate(share, error, scale="share")


def equal_bins(values: Float64[np.ndarray, " jets"]) -> tuple[float, ...]:
    """Return edges of bins of about equally many jets; one bin where all values are alike."""
    if not len(values):
        return (0.0, 1.0)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _NUM_BINS + 1)))
    return tuple(edges.tolist()) if len(edges) > 1 else (float(edges[0]), float(edges[0]) + 1.0)
