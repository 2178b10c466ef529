"""A metric: the share of jets whose two highest logits are closer than one half."""

from collections.abc import Sequence

import numpy as np

from parttag.metrics import EvaluationOptions, register_metric


@register_metric("undecided")
def undecided(
    logits: np.ndarray,
    labels: np.ndarray,
    jet_weights: np.ndarray,
    classes: Sequence[str],
    options: EvaluationOptions,
) -> float:
    """Return the share, jets being weighted."""
    second, first = np.sort(logits, axis=1)[:, -2:].T
    return float(np.average(first - second < 0.5, weights=jet_weights))
