"""Which class is told apart from which, and at which signal efficiencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from parttag.metrics.classification import discriminant
from parttag.metrics.estimate import checked_weights
from parttag.metrics.roc import Roc, roc

BACKGROUND = "QCD"
"""The class that others are told apart from, wherever a task has a class of this name."""

_TWO_CLASS_POINTS = (0.5, 0.3)
# The efficiencies of JetClass's two clean classes (arXiv:2202.03772, table 1); 50 % for the others.
_CLASS_POINTS = {"Hqql": (0.99,), "Tbl": (0.995,)}


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
    jet_weights = checked_weights(jet_weights, len(labels))
    rocs = {}
    for name in working_points(classes):
        signal, background = classes.index(name), classes.index(str(background_class(classes)))
        rows = (labels == signal) | (labels == background)
        scores = discriminant(logits[rows], signal, background)
        rocs[name] = roc(scores, labels[rows] == signal, jet_weights[rows])
    return rocs


def passing_jets(
    logits: Float[np.ndarray, "jets classes"],
    classes: Sequence[str],
    rocs: Mapping[str, Roc],
    eps_s: float,
) -> dict[str, Bool[np.ndarray, " jets"]]:
    """Return which jets pass each signal class's cut: the tightest that keeps ``eps_s`` of it.

    Parameters
    ----------
    rocs
        Of ``class_rocs``; where there is no such cut, for lack of jets, none passes.
    """
    passing = {}
    for name, curve in rocs.items():
        signal, background = classes.index(name), classes.index(str(background_class(classes)))
        passing[name] = discriminant(logits, signal, background) >= curve.threshold(eps_s)
    return passing
