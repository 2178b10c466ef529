"""Damaged files: how they are made, and what a reader made of them.

Used by the tests on a small sample, and by ``scripts/fuzz_readers.py`` on a large one.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import uproot

from helpers.files import (
    jetclass_branches,
    write_jetclass_parquet,
    write_jetclass_root,
    write_toptagging_h5,
)
from parttag.data.readers import read_chunks
from parttag.data.readers.layout import Layout
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.validity import jet_faults
from parttag.testing import toy_jets

REFUSED = "refused"
SAME = "same jets"
SCHEMA = "other labels or columns"
FLAGGED = "changed jets, all found bad"
NUMBERS = "changed numbers"
CHANGED = "other jets, particles or labels"
FAULT = "fault of ours"
"""What came of reading a damaged file."""


def repeated_jets(number: int = 25) -> JetArrays:
    """Return a few jets again and again, so that every compression finds something to do."""
    return toy_jets(5, lengths=[12, 30, 8, 21, 40]).take(np.arange(number) % 5)


def write_quark_gluon(path: Path, jets: JetArrays, save: Callable[..., None]) -> Path:
    """Write as many jets of photons and pions in EnergyFlow's layout."""
    slots = np.zeros((len(jets), 12, 4))
    for row, length in enumerate(np.minimum(jets.lengths, 12)):
        rng = np.random.default_rng(length)
        slots[row, :length] = np.stack(
            [
                -np.sort(-rng.uniform(1, 100, length)),
                rng.uniform(-2, 2, length),
                rng.uniform(0, 6, length),
                rng.choice([22.0, 211.0, -211.0, 130.0], length),
            ],
            axis=1,
        )
    with path.open("wb") as file:
        save(file, X=slots, y=jets.labels[:, 0].astype(np.float64))
    return path


def _root(path: Path, jets: JetArrays, compression: uproot.compression.Compression | None) -> Path:
    branches = jetclass_branches(jets)
    types = {name: ak.type(ak.Array(b)).content for name, b in branches.items()}
    with uproot.recreate(path, compression=compression) as file:
        file.mktree("tree", types)
        file["tree"].extend(branches)
    return path


def _checked_parquet(path: Path, jets: JetArrays) -> Path:
    table = ak.to_arrow_table(ak.zip(jetclass_branches(jets), depth_limit=1))
    pq.write_table(table, path, write_page_checksum=True)
    return path


WRITERS: dict[str, Callable[[Path, JetArrays], Path]] = {
    "root, TTree, zlib": lambda path, jets: _root(path, jets, uproot.ZLIB(1)),
    "root, TTree, lz4": lambda path, jets: _root(path, jets, uproot.LZ4(4)),
    "root, TTree, zstd": lambda path, jets: _root(path, jets, uproot.ZSTD(5)),
    "root, TTree, uncompressed": lambda path, jets: _root(path, jets, None),
    "root, RNTuple": lambda path, jets: write_jetclass_root(path, jets, rntuple=True),
    "hdf5, zlib": write_toptagging_h5,
    "hdf5, blosc": lambda path, jets: write_toptagging_h5(path, jets, compression="blosc"),
    "hdf5, uncompressed": lambda path, jets: write_toptagging_h5(path, jets, compression=None),
    "npz, deflated": lambda path, jets: write_quark_gluon(path, jets, np.savez_compressed),
    "npz, stored": lambda path, jets: write_quark_gluon(path, jets, np.savez),
    "parquet": write_jetclass_parquet,
    "parquet, page checksums": _checked_parquet,
}
"""The formats that are read, each as it may be written."""

WITH_CHECKSUMS = (
    "root, TTree, zlib",
    "root, TTree, lz4",
    "root, RNTuple",
    "hdf5, zlib",
    "npz, deflated",
    "npz, stored",
    "parquet, page checksums",
)
"""Those that hold a checksum of the numbers: what is changed in them is found."""


def damages(content: bytes, seed: int, parts: Sequence[range] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield damaged copies without end: a flipped bit or byte, a lost end, a block of zeros.

    Where ``parts`` of the bytes are given, as likely as any other of them is hit.
    """
    rng = np.random.default_rng(seed)
    while True:
        kind = rng.choice(["flip", "flip", "flip", "byte", "truncation", "zeros"])
        part = parts[rng.integers(len(parts))] if parts else range(len(content))
        place = int(rng.integers(part.start, part.stop))
        changed = bytearray(content)
        if kind == "flip":
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == "byte":
            changed[place] = int(rng.integers(256))
        elif kind == "truncation":
            del changed[place:]
        else:
            length = min(int(rng.integers(1, 512)), len(content) - place)
            changed[place : place + length] = bytes(length)
        if bytes(changed) != content:
            yield f"{kind} at {place}", bytes(changed)


def outcome(path: Path, whole: JetArrays, layout: Layout | None = None) -> str:
    """Return what reading a damaged copy of the file with these jets gives."""
    try:
        jets = concatenate(list(read_chunks(path, layout=layout)))
    except InputError:
        return REFUSED
    except Exception as error:  # noqa: BLE001 (whatever it is, it is to be counted)
        return f"{FAULT}: {type(error).__name__}: {error}"
    if (set(jets.label_names), set(jets.extra_names)) != (
        set(whole.label_names),
        set(whole.extra_names),
    ):
        return SCHEMA
    good = np.flatnonzero(jet_faults(jets) < 0)
    if len(jets) == len(whole):
        if _equal(jets, whole):
            return SAME
        if _equal(jets.take(good), whole.take(good)):
            return FLAGGED
        names = ("offsets", "labels")
        if all(np.array_equal(getattr(jets, name), getattr(whole, name)) for name in names):
            return NUMBERS
    return CHANGED


def _equal(jets: JetArrays, others: JetArrays) -> bool:
    names = ("offsets", "p4", "extra", "jet_p4", "jet_axis", "labels", "jet_weights")
    pairs = [(getattr(jets, name), getattr(others, name)) for name in names]
    return all(a.shape == b.shape and np.array_equal(a, b, equal_nan=True) for a, b in pairs)


_LIES = (0, 1, -1, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**32 - 1, 2**40, 2**62, -(2**62))


def header_damages(content: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield copies without end in which a size, offset, stride or count is another one.

    That is a whole number of 2, 4 or 8 bytes, big or little end first, whose value is at most that
    of the file's length: of all places those are drawn more often at which headers lie, at the
    beginning and the end of the file and beside other small numbers.
    """
    rng = np.random.default_rng(seed)
    while True:
        width = int(rng.choice([2, 4, 4, 8, 8]))
        order = str(rng.choice(["big", "little"]))
        near = min(len(content) - width, 4096)
        place = int(
            rng.choice(
                [
                    rng.integers(near),
                    len(content) - width - rng.integers(near),
                    rng.integers(len(content) - width),
                ]
            )
        )
        value = int.from_bytes(content[place : place + width], order)
        if not 0 < value <= 4 * len(content):
            continue
        lie = int(rng.choice(_LIES)) if rng.random() < 0.6 else value + int(rng.choice([-1, 1]))
        changed = bytearray(content)
        changed[place : place + width] = (lie % (1 << (8 * width))).to_bytes(width, order)
        if bytes(changed) != content:
            yield f"{width} bytes at {place} from {value} to {lie}", bytes(changed)
