"""Parquet files, read through pyarrow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.layout import Layout, Schema, too_many_particles
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable

if TYPE_CHECKING:
    from pyarrow import Array, ChunkedArray, DataType, RecordBatch
    from pyarrow.parquet import ParquetFile

# Values of a column that are read together: twice those of 10,000 jets of 100 particles by what
# the file says, and no more than four times that.
_VALUES = 1 << 21
_MOST_VALUES = 4 * _VALUES


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
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time.

    A few bytes can stand for millions of equal numbers. So what the file says of its sizes is
    looked at first, and columns are read one after the other, each checked before the next.
    """
    meaning: Layout = layout or jetclass
    with _open(path) as file:
        names = meaning.branches_to_read(file.schema_arrow.names, path)
        most_lists = 2 if isinstance(layout, ColumnLayout) and layout.several_jets else 1
        for name in names:
            _refuse_other_types(file.schema_arrow.field(name).type, f"{path}: {name}", most_lists)
        sizes = _Sizes(path, meaning.max_particles)
        number = min(chunk_jets, sizes.jets_at_a_time(file, names))
        columns = {n: file.iter_batches(batch_size=number, columns=[n]) for n in names}
        first_row = 0
        while branches := _next(columns, first_row, sizes):
            yield meaning.to_jets(branches, path, first_row)
            first_row += len(branches[names[0]])


def _next(
    columns: Mapping[str, Iterator["RecordBatch"]], first_row: int, sizes: "_Sizes"
) -> dict[str, ak.Array]:
    """Return the next rows of every column; nothing at their end."""
    branches: dict[str, ak.Array] = {}
    for name, batches in columns.items():
        with refuse_damaged(sizes.path):
            batch = next(batches, None)
        if batch is not None:
            sizes.check(batch.column(0), name, first_row)
            with refuse_damaged(sizes.path):
                branches[name] = _to_awkward(batch.column(0))
    if branches and len(branches) < len(columns):
        raise InputError(f"{sizes.path} is damaged: its columns differ in length; get it again")
    return branches


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the columns."""
    del layout
    with _open(path) as file:
        names: list[str] = file.schema_arrow.names
        return names


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole columns by name."""
    with _open(path) as file:
        sizes = _Sizes(path, (layout or jetclass).max_particles)
        number = sizes.jets_at_a_time(file, names)
        return {name: _whole(file, name, number, sizes) for name in names}


def _whole(file: "ParquetFile", name: str, number: int, sizes: "_Sizes") -> ak.Array:
    first_row = 0
    parts = []
    with refuse_damaged(sizes.path):
        for batch in file.iter_batches(batch_size=number, columns=[name]):
            sizes.check(batch.column(0), name, first_row)
            parts.append(_to_awkward(batch.column(0)))
            first_row += batch.num_rows
        if not parts:  # of a file without rows
            return _to_awkward(file.read(columns=[name]).column(name))
        return ak.concatenate(parts) if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class _Sizes:
    """How many particles a jet may have, and how many are read at a time."""

    path: Path
    max_particles: int

    def jets_at_a_time(self, file: "ParquetFile", names: Iterable[str]) -> int:
        """Return a number of jets with as many particles as fit, by what the file says.

        Raises
        ------
        InputError
            If its jets have more particles than a jet may, on average.
        """
        with refuse_damaged(self.path):
            means = {name: _values_a_row(file, name) for name in names}
        for name, mean in means.items():
            if mean > self.max_particles:
                raise too_many_particles(self.path, f"{mean:,}", self.max_particles, name)
        return max(1, _VALUES // max([1, *means.values()]))

    def check(self, column: "Array", name: str, first_row: int) -> None:
        """Refuse lists that are too long.

        Raises
        ------
        InputError
            If a jet, or the jets that are read together, have too many particles.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.types as kinds

        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        if not (kinds.is_list(column.type) or kinds.is_large_list(column.type)):
            return
        with refuse_damaged(self.path):
            longest = pc.max(pc.list_value_length(column)).as_py() or 0
            total = pc.sum(pc.list_value_length(column)).as_py() or 0
        if longest > self.max_particles:
            raise too_many_particles(self.path, f"{longest:,}", self.max_particles, name)
        if total > _MOST_VALUES:
            raise InputError(
                f"{self.path}: {name} has {total:,} particles in {len(column):,} jets from jet "
                f"{first_row} on, many more than on average; write the file again in smaller row "
                "groups"
            )
        self.check(column.flatten(), name, first_row)  # lists of lists


def _values_a_row(file: "ParquetFile", name: str) -> int:
    """Return how many values a row of a column has, in the row group where it has most."""
    meta = file.metadata
    most = 0
    for group in map(meta.row_group, range(meta.num_row_groups)):
        columns = map(group.column, range(group.num_columns))
        values = [c.num_values for c in columns if c.path_in_schema.split(".")[0] == name]
        most = max([most, *(-(-number // max(1, group.num_rows)) for number in values)])
    return most


def _refuse_other_types(kind: "DataType", name: str, most_lists: int) -> None:
    """Refuse what is no number a jet and no list of numbers, by its type alone."""
    import pyarrow.types as kinds
    from pyarrow import BaseExtensionType

    def stored(other: "DataType") -> "DataType":  # awkward writes types of its own
        return other.storage_type if isinstance(other, BaseExtensionType) else other

    value = stored(kind)
    for _ in range(most_lists):
        if kinds.is_list(value) or kinds.is_large_list(value) or kinds.is_fixed_size_list(value):
            value = stored(value.value_type)
    if kinds.is_dictionary(value):
        value = value.value_type
    numbers = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_null)
    if not any(is_number(value) for is_number in numbers):
        raise InputError(f"{name} must hold a number or a list of numbers a jet, not {kind}")


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
