"""The Top Quark Tagging Reference Dataset: HDF5 as pandas writes a table.

One row a jet, in the compound dataset ``/table/table``: 804 float32 (E, px, py, pz in GeV of 200
constituents in order of falling pT, zeros where there are fewer, then the truth momentum) and
2 int64 (``ttv``: the split the jet was meant for; ``is_signal_new``: 1 = top). The names of the
columns are pickled in the file's attributes, and a pickle may run code when it is opened: the table
is known by its dtype and shape alone, and no attribute is read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from parttag.data.readers.hdf5 import open_hdf5, own_dataset
from parttag.data.readers.layout import Layout, Schema
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.packing import offsets_of
from parttag.system.files import refuse_damaged

_TABLE = "table/table"
_SLOTS = 200
_READ_BYTES = 1 << 27
_INDEX = np.dtype(np.int64)
_NUMBERS = np.dtype((np.float32, (4 * _SLOTS + 4,)))
_INTEGERS = np.dtype((np.int64, (2,)))
_LABEL_NAMES = ("label_top", "label_QCD")
_COLUMNS = ("index", "ttv", "is_signal_new")


def is_table(path: Path) -> bool:
    """Return whether an HDF5 file holds what pandas writes as a table, if not with our columns."""
    with open_hdf5(path) as file:
        return own_dataset(file, _TABLE, path) is not None


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file, whose layout is its own."""
    del layout
    with _open_table(path) as table:
        return len(table.rows)


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the jets of every such file have."""
    del layout
    with _open_table(path):
        return Schema(label_names=_LABEL_NAMES, extra_names=())


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, ``chunk_jets`` at a time."""
    del layout
    with _open_table(path) as table:
        # Rows may have other fields, of any size, besides those that are read.
        step = max(1, min(chunk_jets, _READ_BYTES // table.rows.dtype.itemsize))
        for start in range(0, len(table.rows), step):
            with refuse_damaged(path):
                chunk = table.rows[start : start + step]
            yield _to_jets(chunk[table.numbers], chunk[table.integers], path, start)


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the columns of integers, the same in every such file."""
    del path, layout
    return _COLUMNS


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole columns of integers by name: ``index``, ``ttv`` or ``is_signal_new``."""
    del layout
    with _open_table(path) as table, refuse_damaged(path):
        index = table.rows.fields(table.index)[:]
        ttv, is_signal = table.rows.fields(table.integers)[:].T
    columns = dict(zip(_COLUMNS, (index, ttv, is_signal), strict=True))
    return {name: ak.Array(np.ascontiguousarray(columns[name])) for name in names}


@dataclass(frozen=True)
class _Table:
    """The table and the names of its fields, found by what they hold."""

    rows: h5py.Dataset
    index: str
    numbers: str
    integers: str


@contextmanager
def _open_table(path: Path) -> Iterator[_Table]:
    with open_hdf5(path) as file:
        rows = own_dataset(file, _TABLE, path)
        with refuse_damaged(path):
            dtype = np.dtype(np.void) if rows is None else rows.dtype
        fields = [_field(dtype, wanted) for wanted in (_INDEX, _NUMBERS, _INTEGERS)]
        if not all(fields):
            raise InputError(
                f"{path} is not a top-tagging file: it has no pandas table {_TABLE} with rows of "
                "an index, 804 float32 and 2 int64; say what its datasets mean in data.columns "
                f"({option('columns', '')})"
            )
        yield _Table(rows, *fields)


def _field(dtype: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    """Return the name of a compound type's first field of the wanted type; empty if none is."""
    names = dtype.names or ()
    return next((name for name in names if dtype[name] == wanted), "")


def _to_jets(
    numbers: Float32[np.ndarray, "jets 804"],
    integers: Int64[np.ndarray, "jets 2"],
    path: Path,
    first_row: int,
) -> JetArrays:
    slots = numbers[:, : 4 * _SLOTS].reshape(-1, _SLOTS, 4)
    # A constituent has an energy above zero and padding is four zeros. Anything else is broken, and
    # is kept so that its jet can be judged rather than quietly mended.
    real = (slots != 0).any(axis=2)
    offsets = offsets_of(real.sum(axis=1))
    p4 = np.roll(slots[real], -1, axis=1)  # energy goes last
    return pack_jets(
        p4,
        offsets,
        extra=np.empty((len(p4), 0), dtype=np.float32),
        extra_names=(),
        labels=_labels(integers[:, 1], path, first_row),
        label_names=_LABEL_NAMES,
        path=path,
        first_row=first_row,
    )


def _labels(
    is_signal: Int64[np.ndarray, " jets"], path: Path, first_row: int
) -> UInt8[np.ndarray, "jets 2"]:
    wrong = np.flatnonzero((is_signal != 0) & (is_signal != 1))
    if len(wrong):
        raise InputError(
            f"{path}: is_signal_new must be 0 or 1, but is {is_signal[wrong[0]]} for jet "
            f"{first_row + wrong[0]}"
        )
    return np.stack([is_signal, 1 - is_signal], axis=1).astype(np.uint8)
