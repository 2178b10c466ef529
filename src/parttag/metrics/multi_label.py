"""How good the scores are where a jet may be of several classes, or of none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from parttag.metrics.classification import auc, bootstrap_errors
from parttag.metrics.estimate import UNKNOWN, Estimate, from_json_number, json_number
from parttag.metrics.regression import share_of


@dataclass(frozen=True, eq=False)
class MultiLabelReport:
    """What the scores of each class are worth on their own."""

    accuracy: Mapping[str, Estimate]
    """Share of the jets whose score is on the right side of one half."""
    auc: Mapping[str, Estimate]
    """Area under the ROC of the jets of the class against all others."""
    num_jets: Mapping[str, int]
    """Jets of each class."""
    loss: float
    """Mean of −ln of the probability that is given to what is true, over jets and classes."""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "kind": "multi_label",
            "accuracy": {name: own.to_json() for name, own in self.accuracy.items()},
            "auc": {name: own.to_json() for name, own in self.auc.items()},
            "num_jets": dict(self.num_jets),
            "loss": json_number(self.loss),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MultiLabelReport:
        """Return what ``to_json`` has written."""
        return cls(
            accuracy={str(n): Estimate.from_json(e) for n, e in content["accuracy"].items()},
            auc={str(n): Estimate.from_json(e) for n, e in content["auc"].items()},
            num_jets={str(n): int(number) for n, number in content["num_jets"].items()},
            loss=from_json_number(content["loss"]),
        )

    def rows(self, name: str) -> list[tuple[str, Estimate]]:
        """Return the numbers of its table, by what they are."""
        accuracies = [(f"{name}: accuracy of {own}", e) for own, e in self.accuracy.items()]
        accuracies.append((f"{name}: loss", Estimate(self.loss)))
        return accuracies + [(f"{name}: AUC of {own}", e) for own, e in self.auc.items()]


def measure_multi_label(
    logits: Float[np.ndarray, "jets classes"],
    carried: Bool[np.ndarray, "jets classes"],
    jet_weights: Float64[np.ndarray, " jets"],
    classes: Sequence[str],
) -> MultiLabelReport:
    """Return what the scores of each class are worth on their own.

    Parameters
    ----------
    carried
        Whether each jet is of each class.
    """
    found = {}
    # −ln p = ln(1 + exp(∓logit)), for logits of any size.
    losses = np.logaddexp(0, np.where(carried, -1, 1) * logits.astype(np.float64))
    for number, name in enumerate(classes):
        own = carried[:, number]
        both = np.stack([-logits[:, number], logits[:, number]], axis=1)
        area = auc(both, own.astype(np.int64), jet_weights)
        error = bootstrap_errors(both, own.astype(np.int64), jet_weights)[1]
        found[name] = UNKNOWN if math.isnan(area) else Estimate(area, error, scale="logit")
    return MultiLabelReport(
        accuracy={
            name: share_of((logits[:, n] > 0) == carried[:, n], jet_weights)
            for n, name in enumerate(classes)
        },
        auc=found,
        num_jets={name: int(carried[:, n].sum()) for n, name in enumerate(classes)},
        loss=float(np.average(losses.mean(axis=1), weights=jet_weights)),
    )
