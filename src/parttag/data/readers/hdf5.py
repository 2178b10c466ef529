"""HDF5 files of any names: datasets that ``data.columns`` maps, one entry a jet.

A quantity of the particles is a dataset of two dimensions (jets, slots), one of variable length, or
one of all particles after another, which the numbers of particles (``particles.count``) cut into
jets. A name is a path in the file; ``tracks/pt`` is also the field ``pt`` of the compound dataset
``tracks``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import hdf5plugin  # noqa: F401  (importing it lets h5py read Blosc)
import numpy as np
from jaxtyping import Int64

from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.layout import Layout, Schema, too_many_particles
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.packing import offsets_of
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable

# A chunk is decompressed as a whole. h5py's own are of 1 MB at most.
_BLOSC = 32001  # the number of the filter, as it is registered with the HDF Group
_MOST_CHUNK_BYTES = 1 << 29
# Of a dataset, what is read together: twenty times 10,000 jets of the public sets.
_READ_BYTES = 1 << 26
# So many jets' lists of variable length are read together however large the file is.
_LISTS_AT_LEAST = 1 << 6
_PIECE = 1 << 20


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
            stored = dataset.id.get_num_chunks()
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
        return table.layout.schema(table.columns, path)


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time."""
    with _open(path, layout) as table:
        names = table.layout.branches_to_read(table.columns, path)
        step = min(chunk_jets, *(table.rows_at_a_time(name) for name in names))
        for start in range(0, table.num_jets, step):
            stop = min(start + step, table.num_jets)
            branches = {name: table.read(name, start, stop) for name in names}
            yield table.layout.to_jets(branches, path, start)


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the datasets."""
    with _open(path, layout) as table:
        return tuple(table.columns)


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole datasets by name."""
    with _open(path, layout) as table:
        table.check(names)
        return {name: table.read(name, 0, table.num_jets) for name in names}


@dataclass(frozen=True)
class _Column:
    """A dataset, or a field of one."""

    dataset: h5py.Dataset
    field: str | None

    def __getitem__(self, rows: slice) -> np.ndarray:
        source = self.dataset if self.field is None else self.dataset.fields(self.field)
        values: np.ndarray = source[rows]
        return values

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a slot, or of the list, of a row."""
        dtype: np.dtype[Any] = self.dataset.dtype
        return dtype if self.field is None else dtype[self.field]

    @property
    def lists_of(self) -> np.dtype[Any] | None:
        """What the lists of variable length hold; ``None`` if these are none."""
        held = h5py.check_vlen_dtype(self.dtype)
        return held if isinstance(held, np.dtype) else None  # else of texts

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of the numbers of a jet, as far as the dataset fixes it."""
        shape: tuple[int, ...] = (*self.dataset.shape[1:], *self.dtype.shape)
        return shape


class _Lengths:
    """The numbers of particles of the jets in datasets that hold all particles one after the other.

    They are read a piece at a time, forwards: a file may claim any number of jets.
    """

    def __init__(self, count: _Column, num_particles: int, name: str, path: Path) -> None:
        if count.row_shape or count.dtype.kind not in "iu":
            raise InputError(f"{name} must hold one whole number, 0 or more, a jet")
        self.count, self.path = count, path
        self.num_jets = len(count.dataset)
        self._stop, self._end = 0, 0  # the last jet that was asked for, and where it ends
        self._start, self._ends = 0, offsets_of(np.empty(0, np.int64))
        total = 0
        for start in range(0, self.num_jets, _PIECE):
            with refuse_damaged(path):
                lengths = np.asarray(count[slice(start, start + _PIECE)])
            if (lengths < 0).any():
                raise InputError(f"{name} must hold one whole number, 0 or more, a jet")
            # Beyond the particles that there are, nothing is added up: numbers may overflow.
            largest = int(lengths.max(initial=0))
            total += largest if largest > num_particles else int(lengths.sum(dtype=np.int64))
            if total > num_particles:
                break
        if total != num_particles:
            raise InputError(f"{name} counts {total:,} particles, but there are {num_particles:,}")

    def ends(self, start: int, stop: int) -> Int64[np.ndarray, " jets_and_one"]:
        """Return where the jets from ``start`` to ``stop`` begin, and where the last one ends."""
        if (start, stop) != (self._start, self._stop):
            assert start in (0, self._stop), "jets are read forwards"
            first = self._end if start else 0
            with refuse_damaged(self.path):
                lengths = np.asarray(self.count[slice(start, stop)]).astype(np.int64)
            self._start, self._stop = start, stop
            self._ends = first + offsets_of(lengths)
            self._end = int(self._ends[-1])
        return self._ends


@dataclass(frozen=True)
class _Table:
    path: Path
    layout: ColumnLayout
    columns: dict[str, _Column]
    num_jets: int
    lengths: _Lengths | None
    """Of the jets in datasets that hold all particles one after the other."""

    def check(self, names: Iterable[str]) -> None:
        """Refuse datasets that are not to be read, by what the file says of them.

        Raises
        ------
        InputError
            If one lies in another file, was never written, holds no numbers, or more slots than a
            jet may have.
        """
        for name in names:
            column = self.columns[name]
            refuse_elsewhere(column.dataset, name, self.path)
            refuse_unstored(column.dataset, name, self.path)
            kind = (column.lists_of or column.dtype).base.kind
            if kind not in "biuf" or len(column.row_shape) > 1:
                raise InputError(
                    f"{self.path}: {name} must hold a list of numbers, one a particle, or one "
                    f"number a jet, not {column.dtype} of {column.row_shape}"
                )
            slots, most = max(column.row_shape, default=0), self.layout.max_particles
            if slots > most:
                raise too_many_particles(self.path, f"{slots:,}", most, name)

    def rows_at_a_time(self, name: str) -> int:
        """Return a number of jets whose entries fit into memory."""
        column = self.columns[name]
        num_bytes = column.dataset.dtype.itemsize * prod(column.row_shape or (1,))
        if column.lists_of is not None:  # each may be the same one, and as large as the file
            num_bytes = max(1, self.path.stat().st_size // _LISTS_AT_LEAST)
        return int(max(1, _READ_BYTES // max(1, num_bytes)))

    def read(self, name: str, start: int, stop: int) -> ak.Array:
        """Return the entries of some jets."""
        column = self.columns[name]
        if self.lengths is not None and name in self.layout.particle_branches:
            ends = self.lengths.ends(start, stop)
            with refuse_damaged(self.path):
                values = column[slice(ends[0], ends[-1])]
                return ak.unflatten(ak.Array(values), np.diff(ends))
        if column.lists_of is not None:
            return self._read_lists(name, start, stop)
        with refuse_damaged(self.path):
            values = column[slice(start, stop)]
        self._refuse_fewer(name, start + len(values), stop)
        return ak.Array(values)

    def _read_lists(self, name: str, start: int, stop: int) -> ak.Array:
        """Return lists of variable length, which may be too long each, or together."""
        parts, total = [np.empty(0, self.columns[name].lists_of)], 0
        lengths: list[int] = []
        step = self.rows_at_a_time(name)
        most = self.layout.max_particles
        for first in range(start, stop, step):
            with refuse_damaged(self.path):
                rows = list(self.columns[name][slice(first, min(first + step, stop))])
                lengths += [len(row) for row in rows]
                total += sum(lengths[-len(rows) :])
                parts += rows
            longest = max(lengths[-len(rows) :], default=0)
            if longest > most:
                raise too_many_particles(self.path, f"{longest:,}", most, name)
        self._refuse_fewer(name, start + len(lengths), stop)
        with refuse_damaged(self.path):
            return ak.unflatten(ak.Array(np.concatenate(parts)), lengths)

    def _refuse_fewer(self, name: str, there: int, stop: int) -> None:
        if there != stop:
            raise InputError(
                f"{self.path}: {name} has {there} entries for {self.num_jets} jets: it must have "
                "one a jet"
            )


@contextmanager
def _open(path: Path, layout: Layout | None) -> Iterator[_Table]:
    assert isinstance(layout, ColumnLayout), "HDF5 has no layout of its own"
    if not layout.columns.sections:
        raise InputError(f"{path}: name the datasets of the particles in data.columns.particles")
    with open_hdf5(path) as file:
        with refuse_damaged(path):
            columns = _columns(file)
        names = layout.branches_to_read(columns, path)
        leading, count = columns[layout.leading], layout.columns.sections[0].count
        table = _Table(path, layout, columns, len(leading.dataset), None)
        table.check(names)
        if not leading.row_shape and leading.lists_of is None and count in names:
            lengths = _Lengths(columns[count], table.num_jets, f"{path}: {count}", path)
            table = replace(table, num_jets=lengths.num_jets, lengths=lengths)
        yield table


def _columns(file: h5py.File) -> dict[str, _Column]:
    """Return every dataset, and every field of the compound ones; links out of the file are not."""
    columns: dict[str, _Column] = {}

    def visit(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.ndim == 0:
            return
        if item.dtype.names is None:
            columns[name] = _Column(item, None)
        for field in item.dtype.names or ():
            columns[f"{name}/{field}"] = _Column(item, field)

    file.visititems(visit)
    return columns
