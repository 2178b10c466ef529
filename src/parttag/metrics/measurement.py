"""Every metric of a tagger at once, as ``metrics.json`` holds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from parttag.metrics.classification import accuracy, auc, bootstrap_errors, cross_entropy
from parttag.metrics.estimate import Estimate, by_class, json_number
from parttag.metrics.tasks import class_rocs, working_points


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
            name: {f"{eps_s:g}": json_number(value) for eps_s, value in points.items()}
            for name, points in self.threshold.items()
        }
        num_classes = len(self.num_jets)
        return {
            "accuracy": self.accuracy.to_json(),
            "auc": self.auc.to_json(),
            "rejection": by_class(rejection, num_classes),
            "threshold": by_class(threshold, num_classes),
            "num_jets": dict(self.num_jets),
            "loss": json_number(self.loss),
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


def _probability(odds: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * odds))
