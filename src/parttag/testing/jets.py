"""Toy jets for tests: two classes that a network can learn to tell apart."""

from collections.abc import Sequence

import numpy as np

from parttag.jets.batch import JetBatch, make_batch
from parttag.samples.toys import toy_jets

__all__ = ["toy_batch", "toy_jets"]


def toy_batch(
    num_jets: int = 20,
    seed: int = 0,
    lengths: Sequence[int] | None = None,
    *,
    max_particles: int | None = None,
) -> JetBatch:
    """Return ``toy_jets`` as a batch, class 0 = top, class 1 = QCD."""
    jets = toy_jets(num_jets, seed, lengths)
    classes = jets.labels.argmax(axis=1).astype(np.int64)
    return make_batch(jets, classes, max_particles=max_particles)
