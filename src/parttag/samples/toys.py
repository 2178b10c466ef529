"""Toy jets: made in a moment and without any physics, to try code and tables with.

A jet called top has two prongs, 0.4 apart, a jet called QCD one; pT is near 600 GeV. Any network
tells them apart, and nothing can be learned about tagging.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from parttag.data.writers.jetclass import JetClassTable, read_provenance, write_jets
from parttag.errors import InputError, option
from parttag.jets import kinematics
from parttag.jets.arrays import EXTRA_NAMES, JetArrays, make_index
from parttag.jets.packing import offsets_of

_PARTS = ("train", "val", "test")
_NUM_PARTICLES = 5, 50
_PT = 600.0  # GeV, roughly: that of all particles, added as numbers
_HALF_DISTANCE = 0.2  # of the prongs
_WIDTH = 0.08  # of a prong, in η and φ


def toy_jets(
    num_jets: int = 20,
    seed: int = 0,
    lengths: Sequence[int] | Int64[np.ndarray, " jets"] | None = None,
    extra_names: tuple[str, ...] = EXTRA_NAMES,
) -> JetArrays:
    """Return jets of pT near 600 GeV: ``label_top`` ones have two prongs, ``label_QCD`` ones one.

    The first jet is a top, the second QCD, and so on in turn.

    Parameters
    ----------
    num_jets
        How many, unless ``lengths`` says it.
    seed
        The same gives the same jets.
    lengths
        The number of particles of each jet; 1 to 40 at random if left out.
    extra_names
        Columns besides the four-momenta, filled with random numbers.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 41, num_jets) if lengths is None else np.array(lengths, dtype=np.int64)
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


def _toy_jet(
    rng: np.random.Generator, count: int, two_prongs: bool
) -> Float64[np.ndarray, "particles 4"]:
    fractions = rng.dirichlet(np.full(count, 0.5)) + 1e-4
    pt = np.sort(_PT * fractions / fractions.sum())[::-1]
    axis_eta, axis_phi = rng.uniform(-2, 2), rng.uniform(-np.pi, np.pi)
    spread = _HALF_DISTANCE if two_prongs else 0.0
    prong = spread * rng.choice([-1, 1], count)
    eta = axis_eta + prong + _WIDTH * rng.normal(size=count)
    phi = axis_phi + _WIDTH * rng.normal(size=count)
    energy = pt * np.cosh(eta)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)


def toy_files(directory: Path) -> tuple[str, ...]:
    """Return the files of train, val and test that ``make_toys`` writes."""
    return tuple(str(directory / "jets" / f"{part}.root") for part in _PARTS)


def make_toys(directory: Path, num_jets: int) -> None:
    """Write files of toy jets, unless they are there already.

    Raises
    ------
    InputError
        If there are others, or they cannot be written.
    """
    for seed, path in enumerate(map(Path, toy_files(directory))):
        provenance = {"statement": "toy jets without physics", "jets": num_jets, "seed": seed}
        if path.exists():
            if read_provenance(path) != provenance:
                raise InputError(
                    f"{path} does not hold {num_jets} toy jets; give another "
                    f"{option('out', '')}, or delete it"
                )
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jets(path, _toys(num_jets, seed), provenance)


def _toys(num_jets: int, seed: int) -> JetClassTable:
    lengths = np.random.default_rng(seed).integers(*_NUM_PARTICLES, num_jets)
    return JetClassTable.of_jets(toy_jets(seed=seed, lengths=lengths, extra_names=()))
