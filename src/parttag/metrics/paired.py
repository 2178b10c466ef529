"""Differences of two taggers on the same jets, with paired errors.

Jets that are hard for one tagger are hard for the other, so that two numbers on the same jets
differ by less than their errors in quadrature say. Each number is taken with the influence of every
jet on it, whose squares sum up to its variance; the squares of the differences of the influences
sum up to the variance of a difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.classification import accuracy, auc, log_odds, share_below
from parttag.metrics.discriminant import discriminants
from parttag.metrics.estimate import Estimate, checked_weights
from parttag.metrics.options import DEFAULTS, EvaluationOptions
from parttag.metrics.roc import roc

Quantity = tuple[str, float] | str
"""``"accuracy"``, ``"auc"``, or the rejection of a signal class at a signal efficiency."""


@dataclass(frozen=True, eq=False)
class Influences:
    """A number, and by how much each jet has moved it; the squares sum up to its variance."""

    value: float
    of_jets: Float64[np.ndarray, " jets"]

    @property
    def error(self) -> float:
        """The number's statistical error."""
        return float(np.sqrt((self.of_jets**2).sum()))

    def minus(self, other: Influences, more_variance: float = 0.0) -> Estimate:
        """Return the difference to another number of the same jets, with its paired error.

        Parameters
        ----------
        more_variance
            Of what is not of the jets: of the trainings.
        """
        variance = float(((self.of_jets - other.of_jets) ** 2).sum()) + more_variance
        return Estimate(self.value - other.value, math.sqrt(variance))

    def as_log_rejection(self) -> Influences:
        """Return ln 1/ε of an efficiency; NaN without one jet that passes."""
        if not self.value > 0:
            return Influences(math.nan, self.of_jets)
        return Influences(-math.log(self.value), -self.of_jets / self.value)


def mean_influences(seeds: Sequence[Influences]) -> Influences:
    """Return the mean of a number over trainings that were measured on the same jets."""
    return Influences(
        float(np.mean([seed.value for seed in seeds])),
        np.mean([seed.of_jets for seed in seeds], axis=0),
    )


def influences(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    options: EvaluationOptions = DEFAULTS,
) -> dict[Quantity, Influences]:
    """Return accuracy, AUC and the background efficiencies of the working points.

    A background efficiency is 0 where no jet passes, and NaN where the cut is not known.

    Raises
    ------
    InputError
        If a jet weight is not finite, or the options do not fit the classes.

    References
    ----------
    AUC: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; their variance has n − 1 in
    place of n. Efficiencies at a sample quantile: van der Vaart, Asymptotic Statistics, chapter 21.
    """
    weights = checked_weights(jet_weights, len(labels))
    share = weights / weights.sum() if weights.sum() > 0 else weights
    value = accuracy(logits, labels, weights)
    correct = logits.argmax(axis=1) == labels
    found: dict[Quantity, Influences] = {
        "accuracy": Influences(value, share * (correct - value)),
        "auc": Influences(auc(logits, labels, weights), _of_auc(logits, labels, weights)),
    }
    for name, score in discriminants(classes, options).items():
        is_signal, is_background = score.is_signal(labels), score.is_background(labels)
        values = score(logits)
        efficiencies = background_influences(
            values, is_signal, is_background, weights, score.working_points
        )
        found |= {(name, eps_s): one for eps_s, one in efficiencies.items()}
    return found


def background_influences(
    scores: Float64[np.ndarray, " jets"],
    is_signal: Bool[np.ndarray, " jets"],
    is_background: Bool[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    points: Sequence[float],
) -> dict[float, Influences]:
    """Return ε_B at signal efficiencies: background jets count it, signal jets place the cut."""
    rows = is_signal | is_background
    curve = roc(scores[rows], is_signal[rows], jet_weights[rows])
    found = {}
    for eps_s in points:
        of_jets = np.zeros(len(scores))
        estimate = curve.rejection(eps_s)
        if estimate.reason or estimate.is_limit:
            found[eps_s] = Influences(0.0 if estimate.is_limit else math.nan, of_jets)
            continue
        eps_b = 1 / estimate.value
        slope = float(curve.slope(np.array([eps_s]))[0])
        passed = scores >= curve.threshold(eps_s)
        for jets, kept, factor in ((is_background, eps_b, 1.0), (is_signal, eps_s, -slope)):
            of_jets[jets] = factor * jet_weights[jets] * (passed[jets] - kept)
            of_jets[jets] /= jet_weights[jets].sum()
        found[eps_s] = Influences(eps_b, of_jets)
    return found


def log_rejection_ratios(
    first: Float[np.ndarray, "jets classes"],
    second: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None,
    options: EvaluationOptions,
    points: Sequence[float],
) -> dict[str, list[Estimate]]:
    """Return ln of the ratio of the first's rejections to the second's, with paired errors.

    Returns
    -------
    dict
        By signal class, one for each signal efficiency of ``points``.
    """
    weights = checked_weights(jet_weights, len(labels))
    found = {}
    for name, score in discriminants(classes, options).items():
        ours, theirs = (
            background_influences(
                score(logits),
                score.is_signal(labels),
                score.is_background(labels),
                weights,
                points,
            )
            for logits in (first, second)
        )
        found[name] = [
            ours[eps_s].as_log_rejection().minus(theirs[eps_s].as_log_rejection())
            for eps_s in points
        ]
    return found


def _of_auc(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
) -> Float64[np.ndarray, " jets"]:
    """Return the influence of each jet on the mean of the AUCs of ordered pairs of classes."""
    present = [int(label) for label in np.unique(labels[jet_weights != 0])]
    total, pairs = np.zeros(len(labels)), 0
    for signal in present:
        odds = log_odds(logits, signal)
        for background in present:
            if background == signal:
                continue
            rows = [np.flatnonzero(labels == label) for label in (signal, background)]
            values, weights = ([column[own] for own in rows] for column in (odds, jet_weights))
            above = share_below(values[0], values[1], weights[1])
            area = float(np.average(above, weights=weights[0]))
            below = 1 - share_below(values[1], values[0], weights[0])
            total[rows[0]] += weights[0] * (above - area) / weights[0].sum()
            total[rows[1]] += weights[1] * (below - area) / weights[1].sum()
            pairs += 1
    return total / max(pairs, 1)


def correlations(
    first: Float[np.ndarray, "jets classes"],
    second: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    options: EvaluationOptions = DEFAULTS,
) -> dict[str, float]:
    """Return the rank correlation of two taggers' scores within each class; NaN below two jets.

    The score is that of the first signal class, or the log odds of the class itself where there is
    no background. Within a class, because between classes every two taggers agree.
    """
    known = list(discriminants(classes, options).values())
    found = {}
    for number, name in enumerate(classes):
        rows = labels == number
        pair = [
            known[0](logits[rows]) if known else log_odds(logits[rows], number)
            for logits in (first, second)
        ]
        ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in pair]
        several = int(rows.sum()) > 1
        found[name] = float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if several else math.nan
    return found


@dataclass(frozen=True)
class Disagreement:
    """Of two taggers about some jets: how often, and who is right."""

    of: str
    """Which jets: a class, or a range of pT or mass in GeV."""
    num_jets: int
    share: float
    """Of the jets' weight, to which the taggers give different classes."""
    first_right: float
    """Of the jets' weight: those where the first tagger alone is right."""
    second_right: float


def disagreements(
    first: Float[np.ndarray, "jets classes"],
    second: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None,
    parts: Mapping[str, Bool[np.ndarray, " jets"]],
) -> list[Disagreement]:
    """Return how often two taggers give a jet different classes, in each part of the jets."""
    if len(first) != len(second):
        raise InputError("the taggers were measured on other jets; compare them on the same")
    weights = checked_weights(jet_weights, len(labels))
    guesses = [logits.argmax(axis=1) for logits in (first, second)]
    differ = guesses[0] != guesses[1]
    shares = [differ, differ & (guesses[0] == labels), differ & (guesses[1] == labels)]
    found = []
    for name, rows in parts.items():
        total = weights[rows].sum()
        values = [
            float(weights[rows & which].sum() / total) if total else math.nan for which in shares
        ]
        found.append(Disagreement(name, int(rows.sum()), *values))
    return found
