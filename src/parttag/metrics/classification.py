"""Scores from logits, and what they are worth over all classes: accuracy, loss, AUC."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.metrics.estimate import checked_weights, has_negative

# Scores are grouped into so many quantiles before they are resampled. What is lost, the order
# within one group, is of order 1/groups² in the AUC.
_SCORE_GROUPS = 2048


def log_odds(logits: Float[np.ndarray, "jets classes"], label: int) -> Float64[np.ndarray, " jets"]:
    """Return ln(p/(1 − p)) of one class: its logit less the logarithm of the others' sum."""
    others = np.delete(logits, label, axis=1)
    odds: Float64[np.ndarray, " jets"] = logits[:, label] - log_sum_exp(others)
    return odds


def log_sum_exp(
    logits: Float[np.ndarray, "jets classes"],
) -> Float64[np.ndarray, " jets"]:
    """Return ln Σ exp of the logits of each jet, in float64."""
    wide = logits.astype(np.float64)
    peak = wide.max(axis=1)
    total: Float64[np.ndarray, " jets"] = peak + np.log(np.exp(wide - peak[:, None]).sum(axis=1))
    return total


def accuracy(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> float:
    """Return the share of jets whose highest logit is that of their class; NaN without jets."""
    jet_weights = checked_weights(jet_weights, len(labels))
    if jet_weights.sum() <= 0:
        return math.nan
    return float(np.average(logits.argmax(axis=1) == labels, weights=jet_weights))


def cross_entropy(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> float:
    """Return the mean of −ln p of the true class; NaN without jets."""
    jet_weights = checked_weights(jet_weights, len(labels))
    if jet_weights.sum() <= 0:
        return math.nan
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return float(np.average(log_sum_exp(logits) - own, weights=jet_weights))


def auc(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> float:
    """Return the area under the ROC; with several classes, the macro average one against one.

    With two classes, jets are ranked by the difference of their logits. With several it is the
    figure of the JetClass and Particle Transformer papers, scikit-learn's
    ``roc_auc_score(multi_class="ovo", average="macro")``: the mean, over ordered pairs of classes
    (a, b), of the AUC of p_a on the jets of a and b; ranked by the log odds of p_a, which have no
    ties at 1. Classes without jets are left out; NaN if fewer than two remain.

    Where a weight is negative, it is Σ w_s w_b [s > b] / (Σ w_s Σ w_b), a tie counting one half;
    NaN if the weights of a class sum up to 0 or less.
    """
    jet_weights = checked_weights(jet_weights, len(labels))
    areas = []
    for signal, backgrounds in _signal_and_backgrounds(labels, jet_weights):
        odds = log_odds(logits, signal)
        for background in backgrounds:
            rows = ((labels == signal) | (labels == background)) & (jet_weights != 0)
            areas.append(_area(odds[rows], labels[rows] == signal, jet_weights[rows]))
    return float(np.mean(areas)) if areas else math.nan


def _area(
    scores: Float64[np.ndarray, " jets"],
    is_signal: Bool[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
) -> float:
    """Return the area under the ROC of jets of both kinds."""
    from sklearn.metrics import roc_auc_score

    if not has_negative(jet_weights):
        return float(roc_auc_score(is_signal, scores, sample_weight=jet_weights))
    of_signal, of_background = jet_weights[is_signal], jet_weights[~is_signal]
    if of_signal.sum() <= 0 or of_background.sum() <= 0:
        return math.nan
    above = share_below(scores[is_signal], scores[~is_signal], of_background)
    return float(np.average(above, weights=of_signal))


def share_below(
    values: Float64[np.ndarray, " jets"],
    others: Float64[np.ndarray, " other_jets"],
    weights: Float64[np.ndarray, " other_jets"],
) -> Float64[np.ndarray, " jets"]:
    """Return the share of the others' weight below each value, of equal ones the half."""
    order = np.argsort(others, kind="stable")
    ordered, sums = others[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    places = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    shares: Float64[np.ndarray, " jets"] = sum(sums[place] for place in places) / (2 * sums[-1])
    return shares


def bootstrap_errors(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the statistical errors of accuracy and AUC: their spread over resampled jets.

    Each resample draws as many jets as there are, with replacement. The relative precision of an
    error is 1/√(2·resamples), 5 % for the default. NaN where the quantity itself is.
    """
    jet_weights = checked_weights(jet_weights, len(labels))
    weighted = jet_weights != 0
    logits, labels, jet_weights = logits[weighted], labels[weighted], jet_weights[weighted]
    if len(labels) == 0:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    correct = (logits.argmax(axis=1) == labels).astype(np.float64)
    columns = [
        (signal, backgrounds, _group_index(log_odds(logits, signal), labels))
        for signal, backgrounds in _signal_and_backgrounds(labels, jet_weights)
    ]
    accuracies, areas = [], []
    for _ in range(resamples):
        drawn = rng.integers(0, len(labels), len(labels))
        resampled = jet_weights * np.bincount(drawn, minlength=len(labels))
        total = resampled.sum()
        accuracies.append(resampled @ correct / total if total > 0 else math.nan)
        areas.append(
            [_grouped_areas(index, resampled, signal, others) for signal, others, index in columns]
        )
    return _spread(accuracies), _spread([float(np.mean(area)) for area in areas if area])


def _signal_and_backgrounds(
    labels: Int64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> list[tuple[int, list[int]]]:
    """Return each class whose AUC enters the average, with the classes it is compared with."""
    present = [int(label) for label in np.unique(labels[jet_weights != 0])]
    pairs = [(label, [other for other in present if other != label]) for label in present]
    if len(present) > 2:
        return pairs
    # Of two classes, the AUC of one against the other is that of the other against the one.
    return pairs[:1] if len(present) == 2 else []


def _group_index(
    scores: Float64[np.ndarray, " jets"], labels: Int64[np.ndarray, " jets"]
) -> Int64[np.ndarray, " jets"]:
    """Return class · groups + group, where groups are quantiles of the scores, ties together."""
    edges = np.quantile(scores, np.linspace(0, 1, _SCORE_GROUPS + 1)[1:-1], method="lower")
    return labels * _SCORE_GROUPS + np.searchsorted(edges, scores, side="right")


def _grouped_areas(
    index: Int64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
    signal: int,
    backgrounds: list[int],
) -> float:
    """Return the mean AUC of the signal class against the others; NaN if a class has no weight."""
    num_classes = max(signal, *backgrounds) + 1
    counts = np.bincount(index, weights=jet_weights, minlength=num_classes * _SCORE_GROUPS)
    counts = counts.reshape(-1, _SCORE_GROUPS)
    background = counts[backgrounds]
    # A pair of equal scores counts one half.
    below = background.cumsum(axis=1) - 0.5 * background
    sums, own = background.sum(axis=1), counts[signal].sum()
    if not (own > 0 and (sums > 0).all()):
        return math.nan
    return float(np.mean(below @ counts[signal] / (sums * own)))


def _spread(values: Sequence[float]) -> float:
    kept = np.array(values)[~np.isnan(values)]
    return float(kept.std(ddof=1)) if len(kept) > 1 else math.nan
