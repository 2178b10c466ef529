"""Comparison of two samples of jets: distances of single variables, and a classifier's AUC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from parttag.errors import InputError
from parttag.inspection.chance import ByChance, by_chance
from parttag.inspection.inspect import NO_LABEL, SEVERAL_LABELS
from parttag.inspection.sample import JetSample
from parttag.jets.variables import JET_VARIABLES
from parttag.metrics import Estimate, auc, bootstrap_errors

ALL_JETS = "all jets"

# More jets make the classifier a little better and much slower.
_CLASSIFIER_JETS = 50_000
_FOLDS = 5
# Below so many jets of each sample the training's chance shows in the AUC, and is taken from
# classifiers of mixed samples.
_ENOUGH_JETS, _PERMUTATIONS = 1000, 20


@dataclass(frozen=True)
class Distance:
    """Of a variable in one sample from the same in a reference."""

    name: str
    mean: float
    reference_mean: float
    kolmogorov_smirnov: float
    """Greatest difference of the cumulative distributions: 0 if equal, 1 if disjoint."""
    wasserstein: float
    """How far values must move on average, in standard deviations of the reference."""
    by_chance: ByChance | None = None
    """Both, between two samples of these sizes that are drawn from the two together."""


@dataclass(frozen=True)
class Comparison:
    """Of the jets of one label, or of all, in a sample and a reference."""

    label: str
    num_jets: int
    num_reference: int
    distances: tuple[Distance, ...]
    auc: Estimate
    """Of a classifier that tells the samples apart: 0.5 if it cannot, 1 if always."""
    auc_by_chance: Estimate
    """Mean and spread of the same if there is nothing to tell: of 20 permutations of who is of
    which sample, or for 1,000 jets or more of each by the number of jets."""


def compare(sample: JetSample, reference: JetSample) -> list[Comparison]:
    """Compare two samples label by label, or as a whole if they share no label.

    Raises
    ------
    InputError
        If a sample has too few jets for a cross-validated classifier.
    """
    return [_compare(*pair) for pair in _pairs(sample, reference)]


def _pairs(sample: JetSample, reference: JetSample) -> Iterator[tuple[str, JetSample, JetSample]]:
    shared = [
        label
        for label in sample.present
        if label in reference.present and label not in (NO_LABEL, SEVERAL_LABELS)
    ]
    if not shared:
        yield ALL_JETS, sample, reference
    for label in shared:
        yield (
            label,
            sample.take(np.flatnonzero(sample.carrying(label))),
            reference.take(np.flatnonzero(reference.carrying(label))),
        )


def _compare(label: str, sample: JetSample, reference: JetSample) -> Comparison:
    if min(len(sample), len(reference)) < 2 * _FOLDS:
        raise InputError(
            f"{label}: there are {len(sample)} and {len(reference)} good jets to compare; give at "
            f"least {2 * _FOLDS} in each sample"
        )
    return Comparison(
        label=label,
        num_jets=len(sample),
        num_reference=len(reference),
        distances=tuple(
            _with_chance(
                variable.name,
                sample.variables[:, column],
                reference.variables[:, column],
                sample.jet_weights,
                reference.jet_weights,
            )
            for column, variable in enumerate(JET_VARIABLES)
        ),
        auc=discriminating_auc(sample, reference),
        auc_by_chance=auc_by_chance(sample, reference),
    )


def _with_chance(
    name: str,
    values: Float64[np.ndarray, " jets"],
    reference: Float64[np.ndarray, " reference_jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    reference_weights: Float64[np.ndarray, " reference_jets"],
) -> Distance:
    found = distance(name, values, reference, jet_weights, reference_weights)
    mean = np.average(reference, weights=reference_weights)
    variance = np.average((reference - mean) ** 2, weights=reference_weights)
    spread = float(np.sqrt(np.maximum(variance, 0)))
    chance = by_chance(
        np.concatenate([values, reference]),
        np.concatenate([w / w.mean() for w in (jet_weights, reference_weights)]),
        (len(values), len(reference)),
        spread=spread,
    )
    return replace(found, by_chance=chance)


def distance(
    name: str,
    values: Float64[np.ndarray, " jets"],
    reference: Float64[np.ndarray, " reference_jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    reference_weights: Float64[np.ndarray, " reference_jets"],
) -> Distance:
    """Return the distances of a weighted distribution from a reference."""
    points = np.unique(np.concatenate([values, reference]))
    gap = np.abs(
        _cumulative(values, jet_weights, points) - _cumulative(reference, reference_weights, points)
    )
    mean = np.average(reference, weights=reference_weights)
    variance = np.average((reference - mean) ** 2, weights=reference_weights)
    spread = np.sqrt(np.maximum(variance, 0))
    moved = float((gap[:-1] * np.diff(points)).sum())
    return Distance(
        name=name,
        mean=float(np.average(values, weights=jet_weights)),
        reference_mean=float(mean),
        kolmogorov_smirnov=float(gap.max()),
        wasserstein=moved / float(spread) if spread > 0 else (np.inf if moved > 0 else 0.0),
    )


def discriminating_auc(sample: JetSample, reference: JetSample, seed: int = 0) -> Estimate:
    """Return the AUC of gradient-boosted trees on the jet variables, cross-validated.

    As many jets of either sample are used as the smaller one has, at most 50,000. The error is that
    of the test jets alone, not of the training.
    """
    features, labels, jet_weights = _to_classify(sample, reference, seed)
    logits = _cross_validated(features, labels, jet_weights, seed)
    _, error = bootstrap_errors(logits, labels, jet_weights, seed=seed)
    return Estimate(auc(logits, labels, jet_weights), error, scale="logit")


def auc_by_chance(sample: JetSample, reference: JetSample, seed: int = 0) -> Estimate:
    """Return mean and spread of the AUC of a classifier that has nothing to learn.

    With 1,000 jets or more of each sample, they are 0.5 and √((n + m + 1)/(12 n m)), of the ranks
    of n and m jets (Mann and Whitney, Ann. Math. Stat. 18 (1947) 50).
    """
    features, labels, jet_weights = _to_classify(sample, reference, seed)
    number = len(labels) // 2
    if number >= _ENOUGH_JETS:
        return Estimate(0.5, float(np.sqrt((2 * number + 1) / (12 * number**2))))
    rng = np.random.default_rng(seed)
    found = []
    for permutation in range(_PERMUTATIONS):
        mixed = rng.permutation(labels)
        logits = _cross_validated(features, mixed, jet_weights, permutation)
        found.append(auc(logits, mixed, jet_weights))
    return Estimate(float(np.mean(found)), float(np.std(found, ddof=1)))


def _to_classify(
    sample: JetSample, reference: JetSample, seed: int
) -> tuple[
    Float64[np.ndarray, "jets variables"],
    Int64[np.ndarray, " jets"],
    Float64[np.ndarray, " jets"],
]:
    """Return variables, sample and weights of equally many jets of both."""
    rng = np.random.default_rng(seed)
    number = min(len(sample), len(reference), _CLASSIFIER_JETS)
    parts = [part.take(rng.permutation(len(part))[:number]) for part in (sample, reference)]
    features = np.concatenate([part.variables for part in parts])
    jet_weights = np.concatenate([part.jet_weights / part.jet_weights.mean() for part in parts])
    return features, np.repeat([0, 1], number), jet_weights


def _cross_validated(
    features: Float64[np.ndarray, "jets variables"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    seed: int,
) -> Float64[np.ndarray, "jets 2"]:
    """Return logits of each jet by a classifier that was trained without it."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    logits = np.zeros((len(labels), 2))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    # Weights that are all the same would cost scikit-learn ten times the time of the training.
    unequal = np.ptp(jet_weights) > 0
    for train, test in folds.split(features, labels):
        classifier = HistGradientBoostingClassifier(random_state=seed)
        sizes = np.abs(jet_weights[train]) if unequal else None  # trees cannot learn from signs
        classifier.fit(features[train], labels[train], sizes)
        logits[test, 1] = classifier.decision_function(features[test])
    return logits


def _cumulative(
    values: Float64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    points: Float64[np.ndarray, " points"],
) -> Float64[np.ndarray, " points"]:
    """Return the share of the weight at values up to each point."""
    order = np.argsort(values)
    sums = np.concatenate([[0.0], np.cumsum(jet_weights[order])])
    shares: Float64[np.ndarray, " points"] = (
        sums[np.searchsorted(values[order], points, side="right")] / sums[-1]
    )
    return shares
