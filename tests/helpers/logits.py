"""Logits whose metrics are known: Gaussian scores of two classes, and of any number."""

import math

import numpy as np


def normal_cdf(x: float) -> float:
    """Return the share of a unit Gaussian below ``x``."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def gaussian_jets(num_jets: int, distance: float, seed: int = 0):
    """Return logits and labels of two classes whose logit differences are unit Gaussians."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, num_jets)
    score = rng.normal(size=num_jets) + distance * (0.5 - labels)
    return np.stack([score / 2, -score / 2], axis=1), labels


def class_jets(num_jets: int, num_classes: int, pull: float = 1.5, seed: int = 0):
    """Return Gaussian logits, that of the true class higher by ``pull``, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_jets)
    logits = rng.normal(size=(num_jets, num_classes))
    logits[np.arange(num_jets), labels] += pull
    return logits, labels


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the scores in float64."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
