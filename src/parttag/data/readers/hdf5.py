"""HDF5 files of any names: datasets that ``data.columns`` maps, one entry a jet.

A quantity of the particles is a dataset of two dimensions (jets, slots), one of variable length, or
one of all particles after another, which the numbers of particles (``particles.count``) cut into
jets. A name is a path in the file; ``tracks/pt`` is also the field ``pt`` of the compound dataset
``tracks``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import h5py
import hdf5plugin  # noqa: F401  (importing it lets h5py read Blosc)
import numpy as np
from jaxtyping import Int64

from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.layout import Layout, Schema
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.packing import offsets_of
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable


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
        If the dataset, or a group on the way to it, is a link, or its bytes are in another file.
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
        for start in range(0, table.num_jets, chunk_jets):
            stop = min(start + chunk_jets, table.num_jets)
            branches = {name: table.read(name, start, stop) for name in names}
            yield table.layout.to_jets(branches, path, start)


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the datasets."""
    with _open(path, layout) as table:
        return tuple(table.columns)


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole datasets by name."""
    with _open(path, layout) as table:
        _refuse_elsewhere(table.columns, names, path)
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


@dataclass(frozen=True)
class _Table:
    path: Path
    layout: ColumnLayout
    columns: dict[str, _Column]
    num_jets: int
    ends: Int64[np.ndarray, " jets_and_one"] | None
    """Of the jets in datasets that hold all particles one after the other."""

    def read(self, name: str, start: int, stop: int) -> ak.Array:
        """Return the entries of some jets."""
        column = self.columns[name]
        if self.ends is not None and name in self.layout.particle_branches:
            first, last = self.ends[start], self.ends[stop]
            with refuse_damaged(self.path):
                values = column[slice(first, last)]
                return ak.unflatten(ak.Array(values), np.diff(self.ends[start : stop + 1]))
        with refuse_damaged(self.path):
            values = column[slice(start, stop)]
        if len(values) != stop - start:
            raise InputError(
                f"{self.path}: {name} has {start + len(values)} entries for {self.num_jets} jets: "
                "it must have one a jet"
            )
        if values.dtype != object:
            return ak.Array(values)
        with refuse_damaged(self.path):  # of variable length
            lengths = [len(value) for value in values]
            return ak.unflatten(ak.Array(np.concatenate([*values, []])), lengths)


@contextmanager
def _open(path: Path, layout: Layout | None) -> Iterator[_Table]:
    assert isinstance(layout, ColumnLayout), "HDF5 has no layout of its own"
    particles = layout.columns.particles
    if particles is None:
        raise InputError(f"{path}: name the datasets of the particles in data.columns.particles")
    with open_hdf5(path) as file:
        with refuse_damaged(path):
            columns = _columns(file)
        names = layout.branches_to_read(columns, path)
        _refuse_elsewhere(columns, names, path)
        leading = columns[layout.leading].dataset
        count = particles.count
        ends = None
        if leading.ndim == 1 and h5py.check_vlen_dtype(leading.dtype) is None and count in names:
            ends = _ends(columns[count], len(leading), f"{path}: {count}")
        yield _Table(path, layout, columns, len(leading) if ends is None else len(ends) - 1, ends)


def _refuse_elsewhere(columns: Mapping[str, _Column], names: Iterable[str], path: Path) -> None:
    for name in names:
        refuse_elsewhere(columns[name].dataset, name, path)


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


def _ends(count: _Column, num_particles: int, name: str) -> Int64[np.ndarray, " jets_and_one"]:
    lengths = np.asarray(count[slice(None)])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise InputError(f"{name} must hold one whole number, 0 or more, a jet")
    ends = offsets_of(lengths.astype(np.int64))
    if ends[-1] != num_particles:
        raise InputError(f"{name} counts {ends[-1]:,} particles, but there are {num_particles:,}")
    return ends
