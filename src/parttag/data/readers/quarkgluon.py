"""Quark and gluon jets as EnergyFlow keeps them: npz with two arrays (arXiv:1810.05165).

``X`` (jets, most particles, 4) holds pT in GeV, rapidity, azimuth and PDG number of every particle,
padded with zeros; ``y`` is 1 for a quark jet and 0 for a gluon jet. Masses, charges and kinds are
those of the PDG numbers, in which the set counts on; the columns ``SPECIES_NAMES`` tell hadrons
apart.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Shaped, UInt8

from parttag.data.readers.layout import Layout, Schema
from parttag.data.readers.npz import ArrayStream, open_array, open_npz
from parttag.data.readers.pdg import IDENTITY_NAMES, SPECIES_NAMES, identify, species
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.kinematics import four_momenta, transverse
from parttag.jets.packing import offsets_of

_LABEL_NAMES = ("label_quark", "label_gluon")
# Of X in memory at a time: a jet may have any number of slots, if not a senseless one.
_CHUNK_BYTES = 1 << 26


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file, whose layout is its own."""
    del layout
    with _open(path) as file:
        return file.particles.shape[0]


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the jets of every such file have."""
    del layout
    with _open(path):
        return Schema(label_names=_LABEL_NAMES, extra_names=IDENTITY_NAMES, columns=SPECIES_NAMES)


def read_chunks(
    path: Path, chunk_jets: int, layout: Layout | None, *, chunk_bytes: int = _CHUNK_BYTES
) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time.

    Of ``X`` no more than ``chunk_bytes`` are in memory at a time.
    """
    del layout
    with _open(path) as file:
        num_jets = file.particles.shape[0]
        step = min(chunk_jets, chunk_bytes // max(1, file.particles.row_bytes))
        if step < 1:
            raise InputError(
                f"{path}: X has {file.particles.shape[1]:,} slots a jet, more than can be meant; "
                "get the file again, or leave it out"
            )
        for start in range(0, num_jets, step):
            number = min(step, num_jets - start)
            slots, is_quark = file.particles.read_rows(number), file.is_quark.read_rows(number)
            try:
                jets = _to_jets(slots, _labels(is_quark, path, start), path, start)
            except InputError:
                file.finish()  # if the bytes are damaged, this is what is to be said
                raise
            yield jets
        file.finish()


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the name of the labels, the same in every such file."""
    del path, layout
    return ("y",)


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return the array ``y`` by its name."""
    del layout
    with _open(path) as file:
        is_quark = file.is_quark.read_rows(file.is_quark.shape[0])
        file.is_quark.finish()
    return {name: ak.Array(is_quark) for name in names}


@dataclass(frozen=True)
class _File:
    particles: ArrayStream
    is_quark: ArrayStream

    def finish(self) -> None:
        """Read to the end of both arrays, where their checksums are compared."""
        self.particles.finish()
        self.is_quark.finish()


@contextmanager
def _open(path: Path) -> Iterator[_File]:
    with ExitStack() as stack:
        archive = stack.enter_context(open_npz(path))
        particles, is_quark = (stack.enter_context(open_array(archive, n, path)) for n in "Xy")
        if len(particles.shape) != 3 or particles.shape[2] != 4:
            raise InputError(
                f"{path} is not a quark-gluon file: X is of shape {particles.shape}, but must be "
                "(jets, particles, 4)"
            )
        if is_quark.shape != particles.shape[:1]:
            raise InputError(
                f"{path}: y is of shape {is_quark.shape}, but must have one number for each of the "
                f"{particles.shape[0]:,} jets of X"
            )
        yield _File(particles, is_quark)


def _to_jets(
    slots: Shaped[np.ndarray, "jets slots 4"],
    labels: UInt8[np.ndarray, "jets 2"],
    path: Path,
    first_row: int,
) -> JetArrays:
    # As in the top-tagging set, only four zeros are padding.
    real = (slots != 0).any(axis=2)
    offsets = offsets_of(real.sum(axis=1))
    pt, rapidity, phi, number = slots[real].astype(np.float64).T

    def name(particle: int) -> str:
        jet = int(np.searchsorted(offsets, particle, side="right")) - 1
        return f"{path}: a particle of jet {first_row + jet}"

    masses, identity = identify(number, name)
    return pack_jets(
        four_momenta(*transverse(pt, phi), rapidity=rapidity, mass=masses),
        offsets,
        extra=identity,
        extra_names=IDENTITY_NAMES,
        labels=labels,
        label_names=_LABEL_NAMES,
        path=path,
        first_row=first_row,
        columns=species(number),
    )


def _labels(
    is_quark: Shaped[np.ndarray, " jets"], path: Path, first_row: int
) -> UInt8[np.ndarray, "jets 2"]:
    wrong = np.flatnonzero((is_quark != 0) & (is_quark != 1))
    if len(wrong):
        raise InputError(
            f"{path}: y must be 0 or 1, but is {is_quark[wrong[0]]:g} for jet "
            f"{first_row + wrong[0]}"
        )
    return np.stack([is_quark == 1, is_quark == 0], axis=1).astype(np.uint8)
