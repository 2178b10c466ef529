"""Files of arrays that ``data.columns`` maps, one entry a jet: what HDF5 and npz have in common.

A quantity of the particles is an array of two axes (jets, slots), a part of one with more axes, one
of lists of variable length, or one of all particles after another, which their numbers
(``particles.count``) or the places where jets begin (``particles.offsets``) cut into jets.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.flat_rows import Ends, ends_by_count, ends_by_offsets
from parttag.data.readers.layout import Schema, too_many_particles
from parttag.data.readers.slices import Selection, leaves, require
from parttag.data.readers.texts import is_text, to_texts
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged

# Of an array, what is read together: twenty times 10,000 jets of the public sets.
_READ_BYTES = 1 << 26
_MOST_ROW_BYTES = 1 << 28
# So many jets' lists of variable length are read together however large the file is.
_LISTS_AT_LEAST = 1 << 6


class ArrayColumn(ABC):
    """An array of a file, or a field of one, read a few rows at a time."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of a number, or of the list, of a row."""

    @property
    @abstractmethod
    def lists_of(self) -> np.dtype[Any] | None:
        """What lists of variable length hold; ``None`` if rows are none."""

    @property
    @abstractmethod
    def row_shape(self) -> tuple[int, ...]:
        """Of the numbers of a row, as far as the array fixes it."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def check(self, name: str, path: Path) -> None:
        """Refuse an array that claims more than is stored, or lies elsewhere."""

    @abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Return some rows; whatever a library raises may pass."""

    def finish(self) -> None:  # noqa: B027 (most formats have nothing to do)
        """Compare checksums after the last row, where the format has any."""


@dataclass(frozen=True)
class ArrayTable:
    """The arrays of a file, as a layout names them."""

    path: Path
    layout: ColumnLayout
    columns: Mapping[str, ArrayColumn]
    num_jets: int
    ends: Ends | None = None
    """Of the jets in arrays that hold all particles one after the other."""

    def schema(self) -> Schema:
        """Return what the jets have."""
        return self.layout.schema(self.columns, self.path)

    def names(self) -> list[str]:
        """Return what the layout reads, as it names it."""
        return self.layout.branches_to_read(self.columns, self.path)

    def chunks(self, chunk_jets: int) -> Iterator[JetArrays]:
        """Yield the jets in the file's order, at most so many at a time."""
        names = [name for name in self.names() if self.ends is None or name != self.layout.offsets]
        step = min(chunk_jets, *(self._rows_at_a_time(name) for name in names))
        for start in range(0, self.num_jets, step):
            branches = self.read(names, start, min(start + step, self.num_jets))
            yield self.layout.to_jets(branches, self.path, start)

    def whole(self, names: Sequence[str]) -> dict[str, ak.Array]:
        """Return whole arrays by name."""
        self.check(names)
        return self.read(names, 0, self.num_jets)

    def found(self, name: str) -> tuple[Selection, ArrayColumn]:
        """Return what a name stands for, and the array that it is a part of."""
        selection = require(name, self.columns, self.path)
        return selection, self.columns[selection.branch]

    def row_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a row of what a name stands for."""
        selection, column = self.found(name)
        return selection.row_shape(column.row_shape, f"{self.path}: {name}")

    def is_flat(self, name: str) -> bool:
        """Return whether an array holds all particles one after the other."""
        return self.ends is not None and name in self.layout.particle_branches

    def check(self, names: Iterable[str]) -> None:
        """Refuse arrays that are not to be read, by what the file says of them.

        Raises
        ------
        InputError
            If one claims more than is stored, holds no numbers, more slots than a jet may have, or
            another number of rows than there are jets.
        """
        for name in names:
            selection, column = self.found(name)
            column.check(selection.branch, self.path)
            row_bytes = column.dtype.base.itemsize * prod(column.row_shape)
            if row_bytes > _MOST_ROW_BYTES:
                raise InputError(
                    f"{self.path}: a row of {selection.branch} takes {row_bytes / 1e9:,.1f} GB; "
                    "write what is needed of it in an array of its own"
                )
            shape, kind = self.row_shape(name), (column.lists_of or column.dtype).base
            if kind.kind not in "biuf" and not self._may_be_text(name, kind):
                raise InputError(
                    f"{self.path}: {name} must hold a list of numbers, one a particle, or one "
                    f"number a jet, not {_in_words(kind)}"
                )
            if len(shape) > 1:
                raise self._too_many_axes(name, selection, column)
            slots, most = max(shape, default=0), self.layout.max_particles
            if slots > most:
                raise too_many_particles(self.path, f"{slots:,}", most, name)
            if not self.is_flat(name) and name != self.layout.offsets:
                self._refuse_other_length(name, len(column))

    def read(self, names: Iterable[str], start: int, stop: int) -> dict[str, ak.Array]:
        """Return the entries of some jets; an array that several names are of is read once."""
        rows: dict[tuple[str, bool], np.ndarray] = {}
        entries: dict[str, ak.Array] = {}
        for name in names:
            selection, column = self.found(name)
            flat = self.is_flat(name)
            if column.lists_of is not None:
                entries[name] = self._read_lists(name, start, stop)
                continue
            ends = self.ends.of(start, stop) if flat and self.ends is not None else (start, stop)
            key = (selection.branch, flat)
            if key not in rows:
                with refuse_damaged(self.path):
                    rows[key] = native(column.read(int(ends[0]), int(ends[-1])))
            values = selection.of_rows(rows[key])
            if flat:
                with refuse_damaged(self.path):
                    entries[name] = ak.unflatten(ak.Array(values), np.diff(ends))
            else:
                entries[name] = to_texts(values) if is_text(column.dtype) else ak.Array(values)
        return entries

    def _may_be_text(self, name: str, kind: np.dtype[Any]) -> bool:
        return is_text(kind) and name in self.layout.text_branches

    def _rows_at_a_time(self, name: str) -> int:
        """Return a number of jets whose entries fit into memory."""
        _, column = self.found(name)
        num_bytes = column.dtype.base.itemsize * prod(column.row_shape or (1,))
        if column.lists_of is not None or column.dtype.kind == "O":
            # Each may be the same one, and as large as the file.
            num_bytes = max(1, self.path.stat().st_size // _LISTS_AT_LEAST)
        return int(max(1, _READ_BYTES // max(1, num_bytes)))

    def _read_lists(self, name: str, start: int, stop: int) -> ak.Array:
        """Return lists of variable length, which may be too long each, or together."""
        _, column = self.found(name)
        parts: list[np.ndarray] = [np.empty(0, column.lists_of)]
        lengths: list[int] = []
        step = self._rows_at_a_time(name)
        most = self.layout.max_particles
        for first in range(start, stop, step):
            with refuse_damaged(self.path):
                rows = list(column.read(first, min(first + step, stop)))
                lengths += [len(row) for row in rows]
                parts += rows
            longest = max(lengths[-len(rows) :], default=0)
            if longest > most:
                raise too_many_particles(self.path, f"{longest:,}", most, name)
        with refuse_damaged(self.path):
            return ak.unflatten(ak.Array(native(np.concatenate(parts))), lengths)

    def _refuse_other_length(self, name: str, length: int) -> None:
        if length == self.num_jets:
            return
        leading = self.layout.leading_in_file if self.ends is None else self.ends.name
        raise InputError(
            f"{self.path}: {leading} has {self.num_jets:,} rows and {name} {length:,}, but both "
            "must have one a jet: the file was not written to its end, or the two do not belong "
            "together"
        )

    def _too_many_axes(self, name: str, selection: Selection, column: ArrayColumn) -> InputError:
        shape = (len(column), *column.row_shape)
        example = f"{selection.branch}[:, {', '.join(':' for _ in shape[2:])}, 0]"
        return InputError(
            f"{self.path}: {name} has {len(self.row_shape(name)) + 1} axes and must hold a list of "
            f"numbers, one a particle, or one number a jet; {selection.branch} is of shape "
            f"{shape}: name a part of it, as in {example}"
        )


def array_table(path: Path, layout: ColumnLayout, columns: Mapping[str, ArrayColumn]) -> ArrayTable:
    """Return the arrays that a layout names, checked by what the file says of them.

    Raises
    ------
    InputError
        If one is missing, or ``ArrayTable.check`` refuses it.
    """
    sections = layout.columns.sections
    if not sections:
        raise InputError(f"{path}: name the datasets of the particles in data.columns.particles")
    names = layout.branches_to_read(dict.fromkeys(leaves(columns)), path)
    table = ArrayTable(path, layout, columns, 0)
    _, leading = table.found(layout.leading_in_file)
    table = replace(table, num_jets=len(leading))
    is_flat = not table.row_shape(layout.leading_in_file) and leading.lists_of is None
    if is_flat and len(layout.columns.kinds) > 1:
        raise InputError(
            f"{path}: {layout.leading} holds the particles of all jets one after the other, which "
            "can be read where there is one kind of them; write a row of slots a jet for each kind"
        )
    if is_flat and sections[0].count in names:
        table = _cut(table, names, str(sections[0].count), by_count=True)
    elif is_flat and layout.offsets is not None:
        table = _cut(table, names, layout.offsets, by_count=False)
    table.check(names)
    return table


def _cut(table: ArrayTable, names: Sequence[str], name: str, *, by_count: bool) -> ArrayTable:
    """Return a table of jets, of arrays that hold all particles one after the other."""
    for particle in names:
        if particle in table.layout.particle_branches:
            selection, column = table.found(particle)
            column.check(selection.branch, table.path)
            table._refuse_other_length(particle, len(column))
    selection, column = table.found(name)
    column.check(selection.branch, table.path)
    others = [
        len(table.found(other)[1])
        for other in names
        if other not in table.layout.particle_branches and other != name
    ]
    if table.row_shape(name) or (column.lists_of or column.dtype).kind not in "iu":
        raise InputError(f"{table.path}: {name} must hold one whole number, 0 or more, a jet")

    def rows(start: int, stop: int) -> np.ndarray:
        with refuse_damaged(table.path):
            return native(selection.of_rows(column.read(start, stop)))

    make = ends_by_count if by_count else ends_by_offsets
    ends = make(
        rows, len(column), name, table.path, num_particles=table.num_jets, num_jets=others[:1]
    )
    return replace(table, num_jets=ends.num_jets, ends=ends)


def native(values: np.ndarray) -> np.ndarray:
    """Return numbers in the byte order of this machine, in a type that awkward has.

    What is longer than double precision becomes double.
    """
    dtype = values.dtype
    if dtype.kind == "f" and dtype.itemsize > 8:
        return values.astype(np.float64)
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _in_words(kind: np.dtype[Any]) -> str:
    if is_text(kind):
        return "texts"
    return "references or other objects" if kind.kind == "O" else str(kind)
