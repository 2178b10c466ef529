"""HDF5 files of any names: datasets that ``data.columns`` maps, one entry a jet.

A name is a path in the file; ``tracks/pt`` is also the field ``pt`` of the compound dataset
``tracks``. ``array_table`` says what shapes datasets may have.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import hdf5plugin  # noqa: F401  (importing it lets h5py read Blosc)
import numpy as np

from parttag.data.readers.array_table import ArrayColumn, ArrayTable, array_table
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.layout import Layout, Schema
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable

# A chunk is decompressed as a whole. h5py's own are of 1 MB at most.
_BLOSC = 32001  # the number of the filter, as it is registered with the HDF Group
_MOST_CHUNK_BYTES = 1 << 29


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises
    ------
    InputError
        If it cannot be.
    """
    with refuse_damaged(path):
        file = h5py.File(openable(path))
    with file:
        yield file


def own_dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset | None:
    """Return the dataset of this name whose bytes are in the file itself; ``None`` if none is.

    HDF5 lets a dataset, or a link on the way to it, name any other file of this machine.

    Raises
    ------
    InputError
        If the dataset, or a group on the way to it, is a link, its bytes are in another file, or
        were never written.
    """
    place: h5py.Group = file
    for part in name.strip("/").split("/"):
        with refuse_damaged(path):
            if not isinstance(place, h5py.Group) or not place.id.links.exists(part.encode()):
                return None
            is_link = place.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD
            place = place if is_link else place[part]
        if is_link:
            raise _lies_elsewhere(name, path)
    if not isinstance(place, h5py.Dataset):
        return None
    refuse_elsewhere(place, name, path)
    refuse_unstored(place, name, path)
    return place


def refuse_elsewhere(dataset: h5py.Dataset, name: str, path: Path) -> None:
    """Refuse a dataset whose bytes are in other files, by external storage or a virtual dataset.

    Raises
    ------
    InputError
        If they are.
    """
    with refuse_damaged(path):
        is_elsewhere = dataset.is_virtual or bool(dataset.external)
    if is_elsewhere:
        raise _lies_elsewhere(name, path)


def refuse_unstored(dataset: h5py.Dataset, name: str, path: Path) -> None:
    """Refuse a dataset that claims more numbers than were ever written, or too many at a time.

    HDF5 makes up what was not written: a few bytes may claim any number of jets.

    Raises
    ------
    InputError
        If a part of the dataset was never written, one chunk of it does not fit into memory, or its
        compression is not what was written.
    """
    with refuse_damaged(path):
        if dataset.chunks is None:
            wanted, stored = dataset.nbytes, dataset.id.get_storage_size()
        else:
            wanted = prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
            stored = _num_whole_chunks(dataset)
        chunk_bytes = prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        options = _blosc_options(dataset)
    if chunk_bytes > _MOST_CHUNK_BYTES:
        raise InputError(
            f"{path}: {name} is stored in chunks of {chunk_bytes / 1e9:,.1f} GB; write it in "
            "smaller ones, with h5repack"
        )
    # The filter reads its options without looking how many there are: versions, the size of a value
    # and of a chunk come first.
    if options is not None and (len(options) < 4 or options[2] < 1 or options[3] != chunk_bytes):
        raise InputError(
            f"{path}: {name} is compressed by Blosc with options that do not fit its chunks; get "
            "the file again, or leave it out"
        )
    if stored < wanted:
        raise InputError(
            f"{path}: {name} claims {dataset.shape[0] if dataset.ndim else 1:,} rows, of which a "
            "part was never written; get the file again, or leave it out"
        )


def _num_whole_chunks(dataset: h5py.Dataset) -> int:
    """Return how many of a dataset's chunks are where they should be, and as long as they can be.

    HDF5 believes its list of chunks, and reads past the end of one that has no bytes.
    """
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[:2] for number in range(properties.get_nfilters())]
    chunk_bytes = prod(dataset.chunks) * dataset.dtype.itemsize
    whole = set()

    def look(chunk: h5py.h5d.StoreInfo) -> None:
        places = zip(chunk.chunk_offset, dataset.shape, strict=True)
        is_there = all(start < end for start, end in places)
        if is_there and chunk.size and _can_be(chunk, filters, chunk_bytes):
            whole.add(chunk.chunk_offset)

    dataset.id.chunk_iter(look)
    return len(whole)


def _can_be(chunk: h5py.h5d.StoreInfo, filters: list[tuple[int, int]], num_bytes: int) -> bool:
    """Return whether a chunk of so many bytes can be as long as it is said to be stored.

    Only filters that may fail can have been left out of it; then what is left of them says more.
    """
    applied = []
    for number, (kind, flags) in enumerate(filters):
        if not chunk.filter_mask >> number & 1:
            applied.append(kind)
        elif not flags & h5py.h5z.FLAG_OPTIONAL:
            return False
    if set(applied) <= {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}:
        return bool(chunk.size == num_bytes + 4 * applied.count(h5py.h5z.FILTER_FLETCHER32))
    return True


def _blosc_options(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Return the options of a dataset's Blosc filter; ``None`` if it has no such filter."""
    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        filter_id, _, options, _ = properties.get_filter(number)
        if filter_id == _BLOSC:
            return tuple(options)
    return None


def _lies_elsewhere(name: str, path: Path) -> InputError:
    return InputError(
        f"{path}: {name} may lie outside of its own file (it is a link, a virtual dataset or in "
        "external storage): write its values into the file, with h5copy or h5repack"
    )


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file."""
    with _open(path, layout) as table:
        return table.num_jets


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the file's jets have."""
    with _open(path, layout) as table:
        return table.schema()


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time."""
    with _open(path, layout) as table:
        yield from table.chunks(chunk_jets)


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the datasets."""
    with _open(path, layout) as table:
        return tuple(table.columns)


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole datasets by name."""
    with _open(path, layout) as table:
        return table.whole(names)


@dataclass(frozen=True)
class _Column(ArrayColumn):
    """A dataset, or a field of one."""

    dataset: h5py.Dataset
    field: str | None

    def __len__(self) -> int:
        return int(self.dataset.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        source = self.dataset if self.field is None else self.dataset.fields(self.field)
        values: np.ndarray = source[start:stop]
        return values

    def check(self, name: str, path: Path) -> None:
        refuse_elsewhere(self.dataset, name, path)
        refuse_unstored(self.dataset, name, path)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.dataset.dtype
        return dtype if self.field is None else dtype[self.field]

    @property
    def lists_of(self) -> np.dtype[Any] | None:
        held = h5py.check_vlen_dtype(self.dtype)
        return held if isinstance(held, np.dtype) else None  # else of texts

    @property
    def row_shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = (*self.dataset.shape[1:], *self.dtype.shape)
        return shape


@contextmanager
def _open(path: Path, layout: Layout | None) -> Iterator[ArrayTable]:
    assert isinstance(layout, ColumnLayout), "HDF5 has no layout of its own"
    with open_hdf5(path) as file:
        with refuse_damaged(path):
            columns = _columns(file)
        yield array_table(path, layout, columns)


def _columns(file: h5py.File) -> dict[str, ArrayColumn]:
    """Return every dataset, and every field of the compound ones; links out of the file are not."""
    columns: dict[str, ArrayColumn] = {}

    def visit(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.ndim == 0:
            return
        if item.dtype.names is None:
            columns[name] = _Column(item, None)
        for field in item.dtype.names or ():
            columns[f"{name}/{field}"] = _Column(item, field)

    file.visititems(visit)
    return columns
