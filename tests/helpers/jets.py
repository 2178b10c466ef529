"""Small random jets for tests: two classes that a network can learn to tell apart."""

import numpy as np

from parttag.jets import kinematics
from parttag.jets.arrays import EXTRA_NAMES, JetArrays, make_index
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.packing import offsets_of


def toy_arrays(
    num_jets: int = 20,
    seed: int = 0,
    lengths: list[int] | None = None,
    extra_names: tuple[str, ...] = EXTRA_NAMES,
) -> JetArrays:
    """Return jets of pT near 600 GeV: ``label_top`` ones have two prongs, ``label_QCD`` ones one.

    The first jet is a top, the second QCD, and so on in turn. ``lengths`` fixes the numbers of
    particles, which are otherwise 1 to 40.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 41, num_jets) if lengths is None else np.array(lengths, int)
    jets = [_toy_jet(rng, int(count), row % 2 == 0) for row, count in enumerate(counts)]
    p4 = np.concatenate([*jets, np.zeros((0, 4))]).astype(np.float32)
    offsets = offsets_of(counts)
    jet_p4 = np.array([jet.sum(axis=0) for jet in jets]).reshape(-1, 4).astype(np.float32)
    is_top = (np.arange(len(counts)) % 2 == 0).astype(np.uint8)
    return JetArrays(
        p4=p4,
        extra=rng.normal(size=(len(p4), len(extra_names))).astype(np.float32),
        extra_names=extra_names,
        offsets=offsets,
        jet_p4=jet_p4,
        jet_axis=np.stack([kinematics.eta(jet_p4), kinematics.phi(jet_p4)], axis=1),
        labels=np.stack([is_top, 1 - is_top], axis=1),
        label_names=("label_top", "label_QCD"),
        jet_weights=np.ones(len(counts), dtype=np.float32),
        index=make_index(0, np.arange(len(counts), dtype=np.int64)),
        sources=("toy.root",),
    )


def toy_batch(
    num_jets: int = 20, seed: int = 0, lengths: list[int] | None = None, **kwargs: object
) -> JetBatch:
    """Return ``toy_arrays`` as a batch, class 0 = top, class 1 = QCD."""
    arrays = toy_arrays(num_jets, seed, lengths)
    return make_batch(arrays, arrays.labels.argmax(axis=1).astype(np.int64), **kwargs)


def _toy_jet(rng: np.random.Generator, count: int, two_prongs: bool) -> np.ndarray:
    fractions = rng.dirichlet(np.full(count, 0.5)) + 1e-4
    pt = np.sort(600 * fractions / fractions.sum())[::-1]
    axis_eta, axis_phi = rng.uniform(-2, 2), rng.uniform(-np.pi, np.pi)
    spread = 0.2 if two_prongs else 0.0
    prong = spread * rng.choice([-1, 1], count)
    eta = axis_eta + prong + 0.08 * rng.normal(size=count)
    phi = axis_phi + 0.08 * rng.normal(size=count)
    energy = pt * np.cosh(eta)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
