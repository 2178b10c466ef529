"""Whether scores mean what they say: reliability, the calibration error, and a temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.classification import log_sum_exp
from parttag.metrics.estimate import UNKNOWN, Estimate, checked_weights, effective_number
from parttag.options import nearest

_MOST_BINS = 15
# Jets of a bin: fewer say little about a share.
_LEAST_JETS = 20
# A temperature beyond these says that there is none.
_LARGEST_FACTOR = 1e3
# The mean of |z| of a normal z, in units of its spread.
_MEAN_OF_NORMAL = math.sqrt(2 / math.pi)


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Shares of jets against their scores, in bins that hold about equally many jets."""

    score: Float64[np.ndarray, " bins"]
    """Mean score of each bin's jets."""
    share: Float64[np.ndarray, " bins"]
    """Share of them that are what the score says."""
    share_error: Float64[np.ndarray, " bins"]
    num_jets: Float64[np.ndarray, " bins"]
    """Effective jets of each bin."""
    error: Estimate
    """The expected calibration error: mean distance of share and score over the jets."""
    by_chance: Estimate
    """What it would be by chance if the scores were right; its error is its spread."""

    def to_json(self) -> dict[str, Any]:
        """Return the layout of ``metrics.json``."""
        return {
            "error": self.error.to_json(),
            "by_chance": self.by_chance.to_json(),
            "score": self.score.tolist(),
            "share": self.share.tolist(),
            "share_error": self.share_error.tolist(),
            "num_jets": self.num_jets.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ReliabilityCurve:
        """Return what ``to_json`` has written."""
        arrays = ("score", "share", "share_error", "num_jets")
        return cls(
            **{name: np.array(content[name], dtype=np.float64) for name in arrays},
            error=Estimate.from_json(content["error"]),
            by_chance=Estimate.from_json(content["by_chance"]),
        )


@dataclass(frozen=True, eq=False)
class Reliability:
    """What scores say of jets, beside what the jets are."""

    highest: ReliabilityCurve
    """Of the highest score of each jet: the share of jets of that class."""
    by_class: Mapping[str, ReliabilityCurve]
    """Of the score of each class, for all jets: the share of that class."""
    fractions: Mapping[str, float]
    """Of the classes, as the jets are weighted: those that the scores are meant for."""
    calibration: str | None = None
    """The name of the calibration that made the scores; ``None`` without one."""

    def to_json(self) -> dict[str, Any]:
        """Return the layout of ``metrics.json``."""
        return {
            "calibration": self.calibration,
            "fractions": dict(self.fractions),
            "highest": self.highest.to_json(),
            "by_class": {name: curve.to_json() for name, curve in self.by_class.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Reliability:
        """Return what ``to_json`` has written."""
        name = content["calibration"]
        return cls(
            highest=ReliabilityCurve.from_json(content["highest"]),
            by_class={
                str(name): ReliabilityCurve.from_json(c) for name, c in content["by_class"].items()
            },
            fractions={str(name): float(f) for name, f in content["fractions"].items()},
            calibration=None if name is None else str(name),
        )

    def sentence(self) -> str:
        """Return what the terminal says of it."""
        found, chance = self.highest.error, self.highest.by_chance
        if math.isnan(found.value):
            return "calibration error: not known, there are too few jets"
        made = f"calibrated, {self.calibration}" if self.calibration else "not calibrated"
        classes = ", ".join(f"{name} {value:.3g}" for name, value in self.fractions.items())
        return (
            f"calibration error {found.value:.4f} ± {found.error:.4f}, by chance "
            f"{chance.value:.4f} ± {chance.error:.4f}, at class fractions {classes} ({made})"
        )


def softmax(logits: Float[np.ndarray, "jets classes"]) -> Float64[np.ndarray, "jets classes"]:
    """Return the scores of logits, in float64."""
    wide = logits.astype(np.float64)
    scores: Float64[np.ndarray, "jets classes"]
    scores = np.exp(wide - log_sum_exp(wide)[:, None])
    return scores


def class_fractions(
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float64[np.ndarray, " jets"],
) -> dict[str, float]:
    """Return the share of each class in the weight of the jets."""
    sums = np.bincount(labels, weights=jet_weights, minlength=len(classes))
    return {name: float(s / sums.sum()) for name, s in zip(classes, sums, strict=True)}


def weights_for(
    priors: Mapping[str, float],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float64[np.ndarray, " jets"],
) -> Float64[np.ndarray, " jets"]:
    """Return weights with which the classes have these fractions, as far as there are jets."""
    present = class_fractions(labels, classes, jet_weights)
    factors = [priors[name] / present[name] if present[name] > 0 else 0.0 for name in classes]
    weights: Float64[np.ndarray, " jets"] = jet_weights * np.array(factors)[labels]
    return weights


def checked_priors(priors: Mapping[str, float], classes: Sequence[str]) -> dict[str, float]:
    """Return fractions of all classes in their order, whose sum is 1.

    Raises
    ------
    InputError
        If a class is missing or unknown, or a fraction is not above 0.
    """
    for name in priors:
        if name not in classes:
            raise InputError(
                f"evaluation.priors: {name!r} is none of the classes {', '.join(classes)}; the "
                f"nearest is {nearest(name, classes)}"
            )
    for name in classes:
        if name not in priors:
            raise InputError(
                f"evaluation.priors: the fraction of {name} is missing; give one of every class"
            )
        if not 0 < priors[name] < math.inf:
            raise InputError(
                f"evaluation.priors: {name} has {priors[name]:g}; give a fraction above 0"
            )
    total = math.fsum(priors.values())
    return {name: priors[name] / total for name in classes}


def measure_reliability(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    *,
    priors: Mapping[str, float] | None = None,
    calibration: str | None = None,
) -> Reliability:
    """Return what the scores say beside what the jets are.

    Parameters
    ----------
    priors
        The class fractions that the scores are meant for, to which the jets are weighted; without
        them those of the jets.
    calibration
        The name of the calibration that made the scores.

    Raises
    ------
    InputError
        If a jet weight is negative or not finite.
    """
    weights = checked_weights(jet_weights, len(labels))
    if priors is not None:
        weights = weights_for(priors, labels, classes, weights)
    scores = softmax(logits)
    highest = scores.argmax(axis=1)
    return Reliability(
        highest=reliability_curve(scores.max(axis=1), highest == labels, weights),
        by_class={
            name: reliability_curve(scores[:, number], labels == number, weights)
            for number, name in enumerate(classes)
        },
        fractions=class_fractions(labels, classes, weights),
        calibration=calibration,
    )


def reliability_curve(
    scores: Float64[np.ndarray, " jets"],
    is_right: Bool[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
) -> ReliabilityCurve:
    """Return shares of jets that are right in bins of their score, and the calibration error.

    Errors are those of the bins' shares given the scores, var = Σ w² (y − p − mean)² / (Σ w)²; by
    chance the distances are those of a normal number of variance Σ w² p (1 − p) / (Σ w)². Bins
    whose weights sum up to 0 or less, as negative ones may, are left out.
    """
    counted = jet_weights != 0
    scores, is_right, weights = scores[counted], is_right[counted], jet_weights[counted]
    bins = _bins(scores, weights)
    # A bin whose negative weights outweigh the others has no share.
    counted = (np.bincount(bins, weights=weights) > 0)[bins]
    scores, is_right, weights = scores[counted], is_right[counted], weights[counted]
    _, bins = np.unique(bins[counted], return_inverse=True)
    sums = np.bincount(bins, weights=weights)
    if (sums <= 0).any():
        kept = sums[bins] > 0
        return reliability_curve(scores[kept], is_right[kept], weights[kept])

    def mean(values: Float64[np.ndarray, " jets"]) -> Float64[np.ndarray, " bins"]:
        return np.bincount(bins, weights=weights * values) / sums

    def variance(squares: Float64[np.ndarray, " jets"]) -> Float64[np.ndarray, " bins"]:
        return np.bincount(bins, weights=weights**2 * squares) / sums**2

    score, share = mean(scores), mean(is_right.astype(np.float64))
    by_chance = variance(scores * (1 - scores))
    # Where all jets are right, or none, their spread says nothing of the error.
    measured = variance((is_right - scores - (share - score)[bins]) ** 2)
    error = np.sqrt(np.maximum(measured, by_chance))
    known = effective_number(weights) >= _LEAST_JETS
    parts, spread = sums / sums.sum(), np.sqrt(by_chance)
    return ReliabilityCurve(
        score=score,
        share=share,
        share_error=error,
        num_jets=sums**2 / np.bincount(bins, weights=weights**2),
        error=Estimate(
            float((parts * np.abs(share - score)).sum()),
            math.sqrt(float(((parts * error) ** 2).sum())),
        )
        if known
        else UNKNOWN,
        by_chance=Estimate(
            _MEAN_OF_NORMAL * float((parts * spread).sum()),
            math.sqrt((1 - _MEAN_OF_NORMAL**2) * float(((parts * spread) ** 2).sum())),
        )
        if known
        else UNKNOWN,
    )


def _bins(
    scores: Float64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> Int64[np.ndarray, " jets"]:
    """Return the bin of each jet, none of them empty; equal scores are in one."""
    order = np.argsort(scores, kind="stable")
    number = max(1, min(_MOST_BINS, int(effective_number(jet_weights) / _LEAST_JETS)))
    below = np.cumsum(np.abs(jet_weights[order]))
    edges = scores[order][np.searchsorted(below, below[-1:] * np.arange(1, number) / number)]
    bins: Int64[np.ndarray, " jets"]
    _, bins = np.unique(np.searchsorted(edges, scores, side="right"), return_inverse=True)
    return bins


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, so that the scores mean what they say."""

    value: float
    error: float
    """One standard deviation, of the jets that it was fitted to."""


def fit_temperature(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> Temperature:
    """Return the temperature at which the cross-entropy of ``logits / temperature`` is least.

    Raises
    ------
    InputError
        If there is none: the logits do not go with the classes, or every jet is of the class of its
        highest logit.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, arXiv:1706.04599. The cross-entropy is
    convex in 1/T, and its slope, Σ w (<z> − z_y), is zero at one place. The error is that of an
    estimator by such a sum: (Σ w² (<z> − z_y)²)^½ / Σ w (<z²> − <z>²).
    """
    weights = checked_weights(jet_weights, len(labels))
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    own = wide[np.arange(len(labels)), labels]

    def slopes(inverse: float) -> Float64[np.ndarray, " jets"]:
        slope: Float64[np.ndarray, " jets"]
        slope = (softmax(inverse * wide) * wide).sum(axis=1) - own
        return slope

    low, high = -math.log(_LARGEST_FACTOR), math.log(_LARGEST_FACTOR)
    if weights @ slopes(math.exp(low)) >= 0:
        raise InputError(
            "no temperature makes these scores right: they do not go with the classes; give jets "
            "that are like those of the training"
        )
    if weights @ slopes(math.exp(high)) <= 0:
        raise InputError(
            f"no temperature can be fitted to {len(labels)} jets: the tagger takes none of them "
            "for another class; give more jets"
        )
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if weights @ slopes(math.exp(middle)) > 0 else (middle, high)
    inverse = math.exp(0.5 * (low + high))
    scores = softmax(inverse * wide)
    curvature = weights @ ((scores * wide**2).sum(axis=1) - (scores * wide).sum(axis=1) ** 2)
    if not curvature > 0:
        raise InputError(
            "no temperature can be fitted: negative weights outweigh the others; take the jets "
            "without the signs of their weights, or give more jets"
        )
    error = math.sqrt(float((weights**2) @ slopes(inverse) ** 2)) / float(curvature)
    return Temperature(1 / inverse, error / inverse**2)
