"""Files with one row a jet: ROOT (TTree ``scores``), HDF5 (a dataset a column) and parquet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import uproot

from parttag.errors import InputError, option
from parttag.system.atomic_files import OutputFile, new_files
from parttag.system.files import refuse_unwritable

Columns = Mapping[str, np.ndarray | ak.Array]
"""Columns by name, of equal lengths; awkward ones may have several values a jet."""

TREE = "scores"

# Rows in a chunk of an HDF5 dataset.
_CHUNK_ROWS = 1 << 14


class _Writer(ABC):
    """Appends rows to a file of one format; the first columns decide names and types."""

    def __init__(self, file: OutputFile) -> None:
        self.file = file

    @abstractmethod
    def append(self, columns: Columns) -> None:
        """Write some rows more."""

    @abstractmethod
    def close(self) -> None:
        """Write what the format has at the end of a file."""


class _RootWriter(_Writer):
    def __init__(self, file: OutputFile) -> None:
        super().__init__(file)
        self._root = uproot.recreate(file)
        self._tree: Any = None

    def append(self, columns: Columns) -> None:
        if self._tree is None:
            types = {name: _root_type(name, column) for name, column in columns.items()}
            # A plain assignment would make an RNTuple, which older tools cannot read.
            self._tree = self._root.mktree(TREE, types)
        self._tree.extend(dict(columns))

    def close(self) -> None:
        self._root.close()


class _Hdf5Writer(_Writer):
    def __init__(self, file: OutputFile) -> None:
        super().__init__(file)
        self._hdf5 = h5py.File(file, "w")

    def append(self, columns: Columns) -> None:
        for name, column in columns.items():
            values, dtype = _hdf5_values(name, column)
            if name not in self._hdf5:
                self._hdf5.create_dataset(
                    name, shape=(0,), maxshape=(None,), chunks=(_CHUNK_ROWS,), dtype=dtype
                )
            dataset = self._hdf5[name]
            start = len(dataset)
            dataset.resize((start + len(values),))
            rows = dataset.id.get_space()
            rows.select_hyperslab((start,), (len(values),))
            # The item assignment of h5py takes jagged rows of equal lengths for a matrix.
            dataset.id.write(h5py.h5s.create_simple((len(values),)), rows, values)
        self._hdf5.flush()

    def close(self) -> None:
        self._hdf5.close()


class _ParquetWriter(_Writer):
    def __init__(self, file: OutputFile) -> None:
        super().__init__(file)
        self._parquet: Any = None

    def append(self, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {
                name: ak.to_arrow(ak.to_packed(column), extensionarray=False)
                for name, column in columns.items()
            }
        )
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self.file, table.schema)
        self._parquet.write_table(table)

    def close(self) -> None:
        if self._parquet is not None:
            self._parquet.close()


_WRITERS: dict[str, Callable[[OutputFile], _Writer]] = {
    ".root": _RootWriter,
    ".h5": _Hdf5Writer,
    ".hdf5": _Hdf5Writer,
    ".parquet": _ParquetWriter,
}


@contextmanager
def new_score_file(path: Path, *, overwrite: bool) -> Iterator[Callable[[Columns], None]]:
    """Give a function that appends rows to a file, which appears when the block ends.

    Raises
    ------
    InputError
        If the format is unknown, a column does not fit it, or the file cannot be written.
    """
    check_format(path)
    with new_files([path], overwrite=overwrite) as (file,), score_rows(file, path) as append:
        yield append


@contextmanager
def score_rows(file: OutputFile, path: Path) -> Iterator[Callable[[Columns], None]]:
    """Give a function that appends rows to an open file, in the format that ``path`` names."""
    writer = _WRITERS[path.suffix](file)

    def append(columns: Columns) -> None:
        writer.append(columns)
        with refuse_unwritable(path):
            file.check()

    try:
        yield append
    finally:
        writer.close()


def check_format(path: Path) -> None:
    """Refuse a file whose name does not end as one of the formats.

    Raises
    ------
    InputError
        If it does not.
    """
    if path.suffix not in _WRITERS:
        raise InputError(f"{path}: scores are written to {', '.join(_WRITERS)}; choose one of them")


def _root_type(name: str, column: np.ndarray | ak.Array) -> Any:
    if isinstance(column, np.ndarray):
        return column.dtype
    numbers = _number_type(column)
    if numbers is None:
        raise _not_storable(name, column, "ROOT")
    return f"var * {numbers}" if column.ndim == 2 else numbers


def _hdf5_values(name: str, column: np.ndarray | ak.Array) -> tuple[np.ndarray, Any]:
    """Return the rows as HDF5 takes them, and their type in the file."""
    if isinstance(column, np.ndarray):
        return column, column.dtype
    numbers = _number_type(column)
    if numbers is None:
        raise _not_storable(name, column, "HDF5")
    if column.ndim == 1:
        return np.ascontiguousarray(column.to_numpy()), numbers
    dtype = h5py.vlen_dtype(numbers)
    rows = np.empty(len(column), dtype=dtype)
    ends = np.cumsum(ak.num(column).to_numpy())
    rows[:] = np.split(ak.flatten(column).to_numpy(), ends[:-1]) if len(column) else []
    return rows, dtype


def _number_type(column: ak.Array) -> np.dtype[Any] | None:
    """Return the type of the numbers in a column with one value or one list a jet, else None."""
    content = column.type.content
    if column.ndim == 2 and isinstance(content, ak.types.ListType):
        content = content.content
    is_number = isinstance(content, ak.types.NumpyType)
    return np.dtype(str(content.primitive)) if is_number else None


def _not_storable(name: str, column: ak.Array, form: str) -> InputError:
    return InputError(
        f"branch {name} of type {column.type.content} does not fit into {form}; leave it out of "
        f"{option('keep', '')}, or write .parquet"
    )
