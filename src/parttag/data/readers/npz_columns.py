"""npz files of any names: arrays that ``data.columns`` maps, one entry a jet.

``array_table`` says what shapes arrays may have. Rows are decompressed as they are asked for, each
array from its beginning; after the last one its checksum is compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import awkward as ak
import numpy as np

from parttag.data.readers.array_table import ArrayColumn, ArrayTable, array_table
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.layout import Layout, Schema
from parttag.data.readers.npz import ArrayStream, array_names, open_array, open_npz
from parttag.data.readers.slices import find
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays

_SKIPPED_BYTES = 1 << 24


def is_mapped(path: Path, layout: Layout | None) -> bool:
    """Return whether a file is read as ``data.columns`` says, not as one of quarks and gluons.

    The latter has the arrays ``X`` and ``y``, which other files may have too.
    """
    if not isinstance(layout, ColumnLayout):
        return False
    with open_npz(path) as archive:
        names = array_names(archive)
    return find(layout.leading_in_file, names) is not None or not {"X", "y"} <= set(names)


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
        try:
            yield from table.chunks(chunk_jets)
        except InputError:
            _finish(table)  # if the bytes are damaged, this is what is to be said
            raise
        _finish(table)


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the arrays."""
    with _open(path, layout) as table:
        return tuple(table.columns)


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole arrays by name."""
    with _open(path, layout) as table:
        arrays = table.whole(names)
        _finish(table)
        return arrays


@dataclass
class _Column(ArrayColumn):
    """An array of an archive, opened when it is first asked for, and again to go back."""

    archive: ZipFile
    name: str
    path: Path
    stack: ExitStack = field(default_factory=ExitStack)
    _stream: ArrayStream | None = None
    _row: int = 0

    @property
    def stream(self) -> ArrayStream:
        if self._stream is None:
            opened = open_array(self.archive, self.name, self.path, kinds="bfiuSU")
            self._stream, self._row = self.stack.enter_context(opened), 0
        return self._stream

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stream.dtype

    @property
    def lists_of(self) -> np.dtype[Any] | None:
        return None

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.stream.shape[1:]

    def __len__(self) -> int:
        return self.stream.shape[0]

    def check(self, name: str, path: Path) -> None:
        del name, path  # the header was compared with the size of what is stored

    def read(self, start: int, stop: int) -> np.ndarray:
        if start < self._row:
            self._stream = None
            self.stack.close()
        stream = self.stream
        step = max(1, _SKIPPED_BYTES // max(1, stream.row_bytes))
        while self._row < start:
            number = min(step, start - self._row)
            stream.read_rows(number)
            self._row += number
        rows = stream.read_rows(stop - start)
        self._row = stop
        return rows

    def finish(self) -> None:
        if self._stream is not None:
            self._stream.finish()


def _finish(table: ArrayTable) -> None:
    for column in table.columns.values():
        column.finish()


@contextmanager
def _open(path: Path, layout: Layout | None) -> Iterator[ArrayTable]:
    assert isinstance(layout, ColumnLayout), "npz files of any names have no layout of their own"
    with open_npz(path) as archive, ExitStack() as stack:
        columns = {name: _Column(archive, name, path) for name in array_names(archive)}
        for column in columns.values():
            stack.callback(column.stack.close)
        yield array_table(path, layout, columns)
