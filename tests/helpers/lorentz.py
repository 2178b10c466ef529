"""Boosts and rotations as matrices, built from nothing that parttag has."""

from dataclasses import replace

import numpy as np
import torch
from scipy.linalg import expm

from parttag.jets.batch import JetBatch
from parttag.models import Tagger

# Generators of rotations and boosts of (px, py, pz, E): a turn about axis i by a small angle, and
# a push along it.
ROTATIONS, BOOSTS = np.zeros((3, 4, 4)), np.zeros((3, 4, 4))
for _i in range(3):
    _j, _k = (_i + 1) % 3, (_i + 2) % 3
    ROTATIONS[_i, _k, _j], ROTATIONS[_i, _j, _k] = 1, -1
    BOOSTS[_i, _i, 3] = BOOSTS[_i, 3, _i] = 1


def lorentz_matrix(angles: np.ndarray, rapidities: np.ndarray) -> np.ndarray:
    """Return the matrix on (px, py, pz, E) of a rotation vector and a boost together."""
    return expm(np.tensordot(angles, ROTATIONS, 1) + np.tensordot(rapidities, BOOSTS, 1))


def random_lorentz(seed: int, rapidity: float = 1.0) -> np.ndarray:
    """Return a random Lorentz transformation of both kinds."""
    rng = np.random.default_rng(seed)
    return lorentz_matrix(rng.uniform(-np.pi, np.pi, 3), rng.uniform(-rapidity, rapidity, 3))


def transformed_logits(network: Tagger, batch: JetBatch, matrix: np.ndarray) -> torch.Tensor:
    """Return the logits of the same jets, their particles and the beams transformed."""
    transform = torch.from_numpy(matrix.T)
    beams = network.backbone.beams
    network.backbone.beams = beams @ transform
    with torch.no_grad():
        logits = network(replace(batch, p4=batch.p4 @ transform))
    network.backbone.beams = beams
    return logits
