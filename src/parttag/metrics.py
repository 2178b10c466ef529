"""How good a tagger is, defined once: accuracy, AUC, ROC and background rejection with errors.

Everything is computed from logits in float64, because the softmax of float32 ties the best jets
at 1. Jets are weighted by ``jet_weights`` where given. Every function wants finite logits and a
class index for each jet: bad jets and jets of no class are the caller's to leave out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from parttag.errors import InputError

BACKGROUND = "QCD"
"""The class that others are told apart from, wherever a task has a class of this name."""

CONFIDENCE_LEVEL = 0.95
"""Of the lower limit on a rejection that no background jet survives."""

_TWO_CLASS_POINTS = (0.5, 0.3)
# The efficiencies of JetClass's two clean classes (arXiv:2202.03772, table 1); 50 % for the others.
_CLASS_POINTS = {"Hqql": (0.99,), "Tbl": (0.995,)}

# Scores are grouped into so many quantiles before they are resampled. What is lost, the order
# within one group, is of order 1/groups² in the AUC.
_SCORE_GROUPS = 2048


@dataclass(frozen=True)
class Estimate:
    """A number with its statistical error; NaN where the jets do not determine it."""

    value: float
    error: float = math.nan
    is_lower_limit: bool = False

    def to_json(self) -> dict[str, float | bool | None]:
        """Return it as ``metrics.json`` holds it: null for NaN, limits marked as such."""
        fields: dict[str, float | bool | None] = {
            "value": _json_number(self.value),
            "error": _json_number(self.error),
        }
        return fields | ({"lower_limit": True} if self.is_lower_limit else {})


@dataclass(frozen=True, eq=False)
class Roc:
    """Signal and background efficiency of every cut on a score, from the tightest to the loosest.

    A jet passes a cut if its score is at least the threshold. Jets of equal score pass together,
    so that each threshold appears once; the first is +∞, which no jet passes.

    ``background_variance`` is that of ``eps_b``: binomial, for the count of background jets that
    pass, with weighted jets [(1 − ε)² Σ_pass w² + ε² Σ_fail w²] / (Σ w)².
    """

    thresholds: Float64[np.ndarray, " points"]
    eps_s: Float64[np.ndarray, " points"]
    eps_b: Float64[np.ndarray, " points"]
    background_variance: Float64[np.ndarray, " points"]
    num_background: float
    """Effective number of background jets, (Σ w)² / Σ w²."""

    def background_efficiency(
        self, eps_s: Float64[np.ndarray, " cuts"]
    ) -> tuple[Float64[np.ndarray, " cuts"], Float64[np.ndarray, " cuts"]]:
        """Return ε_B at the given ε_S, linear between the points of the ROC, and its error.

        Where the curve is vertical, ε_B is that of the tightest cut that reaches ε_S.
        """
        if not self._is_defined:
            return np.full_like(eps_s, np.nan), np.full_like(eps_s, np.nan)
        above = self._first_reaching(eps_s)
        below = np.maximum(above - 1, 0)
        step = self.eps_s[above] - self.eps_s[below]
        part = np.divide(eps_s - self.eps_s[below], step, out=np.zeros_like(step), where=step > 0)
        eps_b, variance = (
            values[below] + part * (values[above] - values[below])
            for values in (self.eps_b, self.background_variance)
        )
        return eps_b, np.sqrt(variance)

    def rejection(self, eps_s: float) -> Estimate:
        """Return 1/ε_B at the given ε_S with the binomial error of the background count.

        If no background jet survives, the value is the lower limit at ``CONFIDENCE_LEVEL``.
        """
        eps_b, error = (float(array[0]) for array in self.background_efficiency(np.array([eps_s])))
        if eps_b > 0:
            return Estimate(1 / eps_b, error / eps_b**2)
        if eps_b == 0:
            largest = 1 - (1 - CONFIDENCE_LEVEL) ** (1 / self.num_background)
            return Estimate(1 / largest, is_lower_limit=True)
        return Estimate(math.nan)

    def threshold(self, eps_s: float) -> float:
        """Return the highest score at which a cut keeps at least ``eps_s`` of the signal."""
        if not self._is_defined:
            return math.nan
        return float(self.thresholds[self._first_reaching(np.array([eps_s]))[0]])

    @property
    def _is_defined(self) -> bool:
        return not (np.isnan(self.eps_s).any() or np.isnan(self.eps_b).any())

    def _first_reaching(self, eps_s: Float64[np.ndarray, " cuts"]) -> Int64[np.ndarray, " cuts"]:
        # Rounding may leave the last efficiency a hair under 1.
        return np.searchsorted(self.eps_s, eps_s, side="left").clip(max=len(self.eps_s) - 1)


def roc(
    scores: Float[np.ndarray, " jets"],
    is_signal: Bool[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> Roc:
    """Return the ROC of a score that is higher for signal; NaN efficiencies without either kind."""
    jet_weights = _checked_weights(jet_weights, len(scores))
    order = np.argsort(scores, kind="stable")[::-1]
    scores, is_signal, jet_weights = scores[order], is_signal[order], jet_weights[order]
    last_of_tie = np.diff(scores, append=-np.inf) != 0

    def passing(weights: Float64[np.ndarray, " jets"]) -> Float64[np.ndarray, " points"]:
        return np.concatenate([[0.0], np.cumsum(weights)[last_of_tie]])

    signal = passing(np.where(is_signal, jet_weights, 0))
    background = passing(np.where(is_signal, 0, jet_weights))
    squares = passing(np.where(is_signal, 0, jet_weights**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        eps_s, eps_b = signal / signal[-1], background / background[-1]
        variance = (1 - eps_b) ** 2 * squares + eps_b**2 * (squares[-1] - squares)
        return Roc(
            thresholds=np.concatenate([[np.inf], scores[last_of_tie]]),
            eps_s=eps_s,
            eps_b=eps_b,
            background_variance=variance / background[-1] ** 2,
            num_background=float(background[-1] ** 2 / squares[-1]),
        )


def discriminant(
    logits: Float[np.ndarray, "jets classes"], signal: int, background: int
) -> Float64[np.ndarray, " jets"]:
    """Return the score of signal against background: the difference of their logits.

    It orders jets as p_S/(p_S + p_B) does, of which it is the log odds.
    """
    wide = logits.astype(np.float64)
    difference: Float64[np.ndarray, " jets"] = wide[:, signal] - wide[:, background]
    return difference


def log_odds(logits: Float[np.ndarray, "jets classes"], label: int) -> Float64[np.ndarray, " jets"]:
    """Return ln(p/(1 − p)) of one class: its logit less the logarithm of the others' sum."""
    others = np.delete(logits, label, axis=1)
    odds: Float64[np.ndarray, " jets"] = logits[:, label] - _log_sum_exp(others)
    return odds


def accuracy(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> float:
    """Return the share of jets whose highest logit is that of their class; NaN without jets."""
    jet_weights = _checked_weights(jet_weights, len(labels))
    if jet_weights.sum() == 0:
        return math.nan
    return float(np.average(logits.argmax(axis=1) == labels, weights=jet_weights))


def cross_entropy(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> float:
    """Return the mean of −ln p of the true class; NaN without jets."""
    jet_weights = _checked_weights(jet_weights, len(labels))
    if jet_weights.sum() == 0:
        return math.nan
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return float(np.average(_log_sum_exp(logits) - own, weights=jet_weights))


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
    """
    from sklearn.metrics import roc_auc_score

    jet_weights = _checked_weights(jet_weights, len(labels))
    areas = []
    for signal, backgrounds in _signal_and_backgrounds(labels, jet_weights):
        odds = log_odds(logits, signal)
        for background in backgrounds:
            rows = ((labels == signal) | (labels == background)) & (jet_weights > 0)
            areas.append(
                roc_auc_score(labels[rows] == signal, odds[rows], sample_weight=jet_weights[rows])
            )
    return float(np.mean(areas)) if areas else math.nan


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
    jet_weights = _checked_weights(jet_weights, len(labels))
    weighted = jet_weights > 0
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
        accuracies.append(resampled @ correct / resampled.sum())
        areas.append(
            [_grouped_areas(index, resampled, signal, others) for signal, others, index in columns]
        )
    return _spread(accuracies), _spread([float(np.mean(area)) for area in areas if area])


def background_class(classes: Sequence[str]) -> str | None:
    """Return the class that the others are told apart from.

    It is QCD where there is one, else the second of two; ``None`` for several without QCD.
    """
    if BACKGROUND in classes:
        return BACKGROUND
    return classes[1] if len(classes) == 2 else None


def working_points(classes: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return the signal efficiencies at which each signal class's rejection is quoted."""
    background = background_class(classes)
    if background is None:
        return {}
    signals = [name for name in classes if name != background]
    if len(signals) == 1:
        return {signals[0]: _TWO_CLASS_POINTS}
    return {name: _CLASS_POINTS.get(name, (0.5,)) for name in signals}


def class_rocs(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> dict[str, Roc]:
    """Return the ROC of every signal class against the background class, on the jets of both.

    Thresholds are differences of logits, as ``discriminant`` gives them.
    """
    jet_weights = _checked_weights(jet_weights, len(labels))
    rocs = {}
    for name in working_points(classes):
        signal, background = classes.index(name), classes.index(str(background_class(classes)))
        rows = (labels == signal) | (labels == background)
        scores = discriminant(logits[rows], signal, background)
        rocs[name] = roc(scores, labels[rows] == signal, jet_weights[rows])
    return rocs


@dataclass(frozen=True)
class Metrics:
    """What an evaluation measures; ``rejection`` and ``threshold`` by signal class, then by ε_S.

    A threshold is on p_S/(p_S + p_B), which for two classes is the signal's softmax score.
    """

    accuracy: Estimate
    auc: Estimate
    rejection: dict[str, dict[float, Estimate]]
    threshold: dict[str, dict[float, float]]
    num_jets: dict[str, int]
    loss: float

    def to_json(self) -> dict[str, Any]:
        """Return the layout of ``metrics.json``.

        ``rejection`` and ``threshold`` are {ε_S: …} with two classes, {class: {ε_S: …}} with more.
        """
        rejection = {
            name: {f"{eps_s:g}": estimate.to_json() for eps_s, estimate in points.items()}
            for name, points in self.rejection.items()
        }
        threshold = {
            name: {f"{eps_s:g}": _json_number(value) for eps_s, value in points.items()}
            for name, points in self.threshold.items()
        }
        two_classes = len(self.num_jets) == 2
        return {
            "accuracy": self.accuracy.to_json(),
            "auc": self.auc.to_json(),
            "rejection": next(iter(rejection.values())) if two_classes else rejection,
            "threshold": next(iter(threshold.values())) if two_classes else threshold,
            "num_jets": dict(self.num_jets),
            "loss": _json_number(self.loss),
        }


def measure(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    *,
    seed: int = 0,
) -> Metrics:
    """Return every metric of a tagger from the logits of labelled jets.

    Raises
    ------
    InputError
        If a jet weight is negative or not finite.
    """
    accuracy_error, auc_error = bootstrap_errors(logits, labels, jet_weights, seed=seed)
    rocs = class_rocs(logits, labels, classes, jet_weights)
    points = working_points(classes)
    return Metrics(
        accuracy=Estimate(accuracy(logits, labels, jet_weights), accuracy_error),
        auc=Estimate(auc(logits, labels, jet_weights), auc_error),
        rejection={
            name: {eps_s: curve.rejection(eps_s) for eps_s in points[name]}
            for name, curve in rocs.items()
        },
        threshold={
            name: {eps_s: _probability(curve.threshold(eps_s)) for eps_s in points[name]}
            for name, curve in rocs.items()
        },
        num_jets={name: int((labels == number).sum()) for number, name in enumerate(classes)},
        loss=cross_entropy(logits, labels, jet_weights),
    )


def _checked_weights(
    jet_weights: Float[np.ndarray, " jets"] | None, num_jets: int
) -> Float64[np.ndarray, " jets"]:
    if jet_weights is None:
        return np.ones(num_jets)
    bad = ~(np.isfinite(jet_weights) & (jet_weights >= 0))
    if bad.any():
        raise InputError(
            f"jet weights: {bad.sum()} of {num_jets} are negative or not finite; efficiencies "
            "need weights of at least 0"
        )
    return jet_weights.astype(np.float64)


def _signal_and_backgrounds(
    labels: Int64[np.ndarray, " jets"], jet_weights: Float64[np.ndarray, " jets"]
) -> list[tuple[int, list[int]]]:
    """Return each class whose AUC enters the average, with the classes it is compared with."""
    present = [int(label) for label in np.unique(labels[jet_weights > 0])]
    pairs = [(label, [other for other in present if other != label]) for label in present]
    if len(present) > 2:
        return pairs
    # Of two classes, the AUC of one against the other is that of the other against the one.
    return pairs[:1] if len(present) == 2 else []


def _log_sum_exp(
    logits: Float[np.ndarray, "jets classes"],
) -> Float64[np.ndarray, " jets"]:
    wide = logits.astype(np.float64)
    peak = wide.max(axis=1)
    total: Float64[np.ndarray, " jets"] = peak + np.log(np.exp(wide - peak[:, None]).sum(axis=1))
    return total


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
    pairs = background.sum(axis=1) * counts[signal].sum()
    if (pairs == 0).any():
        return math.nan
    return float(np.mean(below @ counts[signal] / pairs))


def _spread(values: Sequence[float]) -> float:
    kept = np.array(values)[~np.isnan(values)]
    return float(kept.std(ddof=1)) if len(kept) > 1 else math.nan


def _probability(odds: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * odds))


def _json_number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
