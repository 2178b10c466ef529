"""Parquet files, read through pyarrow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.layout import Layout, Schema
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable

if TYPE_CHECKING:
    from pyarrow import Array, ChunkedArray
    from pyarrow.parquet import ParquetFile


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file."""
    del layout
    with _open(path) as file:
        return int(file.metadata.num_rows)


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the file's jets have."""
    with _open(path) as file:
        return (layout or jetclass).schema(file.schema_arrow.names, path)


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time."""
    meaning: Layout = layout or jetclass
    with _open(path) as file:
        names = meaning.branches_to_read(file.schema_arrow.names, path)
        batches = file.iter_batches(batch_size=chunk_jets, columns=names)
        first_row = 0
        while True:
            with refuse_damaged(path):
                batch = next(batches, None)
                if batch is None:
                    return
                branches = {name: _to_awkward(batch.column(name)) for name in names}
            yield meaning.to_jets(branches, path, first_row)
            first_row += batch.num_rows


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the columns."""
    del layout
    with _open(path) as file:
        names: list[str] = file.schema_arrow.names
        return names


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole columns by name."""
    del layout
    with _open(path) as file, refuse_damaged(path):
        table = file.read(columns=list(names))
        return {name: _to_awkward(table.column(name)) for name in names}


@contextmanager
def _open(path: Path) -> Iterator["ParquetFile"]:
    from pyarrow.parquet import ParquetFile

    with refuse_damaged(path):
        file = ParquetFile(openable(path), page_checksum_verification=True)
    with file:
        yield file


def _to_awkward(column: "Array | ChunkedArray") -> ak.Array:
    """Return a column without missing values: numbers become NaN, lists empty.

    Most writers mark columns as nullable even where nothing is missing.
    """
    array = ak.from_arrow(column)
    if array.ndim > 1:
        array = ak.fill_none(array, [], axis=0)
    return ak.fill_none(array, np.nan, axis=-1)
