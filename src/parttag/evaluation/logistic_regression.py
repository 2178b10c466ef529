"""Logistic regression with an L2 penalty, whose strength is chosen on a fifth of the jets."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Float64, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the fit, against the penalty: scikit-learn's C, which multiplies the sum of the losses."""

_MOST_ITERATIONS = 500


def regress(
    values: Float64[np.ndarray, "jets width"],
    labels: Int[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
) -> tuple[LogisticRegression, float]:
    """Return the regression that was fitted to all jets, and the strength of its fit."""
    strength = _choose_strength(values, labels, jet_weights)
    regression = _regression(strength)
    _fit(regression, values, labels, jet_weights)
    return regression, strength


def _choose_strength(
    values: Float64[np.ndarray, "jets width"],
    labels: Int[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
) -> float:
    rows = np.arange(len(labels))
    fitted, held = train_test_split(rows, test_size=0.2, stratify=labels, random_state=0)
    losses = []
    regression = _regression(STRENGTHS[0], warm_start=True)
    for strength in STRENGTHS:
        _fit(regression.set_params(C=strength), values[fitted], labels[fitted], jet_weights[fitted])
        chances = regression.predict_proba(values[held])
        losses.append(log_loss(labels[held], chances, sample_weight=jet_weights[held]))
    return STRENGTHS[int(np.argmin(losses))]


def _regression(strength: float, *, warm_start: bool = False) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS, warm_start=warm_start)


def _fit(
    regression: LogisticRegression,
    values: Float64[np.ndarray, "jets width"],
    labels: Int[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
) -> None:
    with warnings.catch_warnings():
        # A fit that ends before it has converged is a probe too, of a stronger penalty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(values, labels, sample_weight=jet_weights)
