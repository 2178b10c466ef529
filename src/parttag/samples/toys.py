"""Toy jets: files to try a table with, made in a moment and without any physics.

A jet called top has two prongs, 0.4 apart, a jet called QCD one; pT is near 600 GeV. Any network
tells them apart, and nothing can be learned about tagging.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from parttag.data.writers.jetclass import JetClassTable, read_provenance, write_jets
from parttag.errors import InputError
from parttag.jets.clustered import Jets
from parttag.jets.kinematics import massless
from parttag.jets.packing import offsets_of

_PARTS = ("train", "val", "test")
_PT = 600.0  # GeV, roughly: that of all particles, added as numbers
_HALF_DISTANCE = 0.2  # of the prongs
_WIDTH = 0.08  # of a prong, in η and φ
_NUM_PARTICLES = 5, 50


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
                    f"{path} does not hold {num_jets} toy jets; give another --out, or delete it"
                )
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jets(path, _toys(num_jets, seed), provenance)


def _toys(num_jets: int, seed: int) -> JetClassTable:
    rng = np.random.default_rng(seed)
    is_top = np.arange(num_jets) % 2 == 0
    jets = [_toy(rng, bool(top)) for top in is_top]
    offsets = offsets_of([len(jet) for jet in jets])
    p4 = np.array([jet.sum(axis=0) for jet in jets])
    particles = np.concatenate(jets)
    packed = Jets(np.arange(num_jets), p4, offsets, particles)
    return JetClassTable.of_clustered(packed, {"label_top": is_top, "label_QCD": ~is_top})


def _toy(rng: np.random.Generator, is_top: bool) -> Float64[np.ndarray, "particles 4"]:
    number = int(rng.integers(*_NUM_PARTICLES))
    share = rng.dirichlet(np.full(number, 0.5)) + 1e-4
    pt = np.sort(_PT * share / share.sum())[::-1]
    prong = _HALF_DISTANCE * rng.choice([-1, 1], number) if is_top else 0.0
    eta = rng.uniform(-2, 2) + prong + _WIDTH * rng.normal(size=number)
    phi = rng.uniform(-np.pi, np.pi) + _WIDTH * rng.normal(size=number)
    return massless(pt * np.cosh(eta), eta, phi)
