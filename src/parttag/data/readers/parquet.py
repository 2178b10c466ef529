"""Parquet files, read through pyarrow.

``particles.pt`` is the field ``pt`` of the records, or of the lists of records, of a column.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.layout import Layout, Schema, too_many_particles
from parttag.data.readers.parquet_columns import ParquetColumn, parquet_columns, stored
from parttag.data.readers.slices import Selection, require
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable

if TYPE_CHECKING:
    from pyarrow import Array, ChunkedArray, RecordBatch
    from pyarrow.parquet import ParquetFile

# Values of a column that are read together: twice those of 10,000 jets of 100 particles by what
# the file says, and no more than four times that.
_VALUES = 1 << 21
_MOST_VALUES = 4 * _VALUES
# Values that a particle may have in a list of its own.
_MOST_IN_A_PARTICLE = 100


def count_jets(path: Path, layout: Layout | None) -> int:
    """Return the number of jets in the file."""
    del layout
    with _open(path) as file:
        return int(file.metadata.num_rows)


def read_schema(path: Path, layout: Layout | None) -> Schema:
    """Return what the file's jets have."""
    with _open(path) as file:
        return (layout or jetclass).schema(parquet_columns(file), path)


def read_chunks(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    """Yield the file's jets in its order, at most ``chunk_jets`` at a time.

    A few bytes can stand for millions of equal numbers. So what the file says of its sizes is
    looked at first, and columns are read one after the other, each checked before the next.
    """
    meaning: Layout = layout or jetclass
    with _open(path) as file:
        there = parquet_columns(file)
        names = meaning.branches_to_read(there, path)
        sources = {name: _source(name, there, path) for name in names}
        for name, source in sources.items():
            _refuse_other_types(source, f"{path}: {name}", text=name in meaning.text_branches)
        sizes = _Sizes(path, meaning.max_particles)
        number = min(chunk_jets, sizes.jets_at_a_time(file, sources))
        batches = {
            name: file.iter_batches(batch_size=number, columns=[source.column.path])
            for name, source in sources.items()
        }
        first_row = 0
        while branches := _next(batches, sources, first_row, sizes):
            yield meaning.to_jets(branches, path, first_row)
            first_row += len(branches[names[0]])


@dataclass(frozen=True)
class _Source:
    """A column, and what is taken of it."""

    column: ParquetColumn
    selection: Selection
    where: str

    def values(self, column: "Array | ChunkedArray") -> ak.Array:
        """Return what is taken, without missing values."""
        return self.selection.of_lists(self.column.values(column), self.where)


def _source(name: str, there: Mapping[str, ParquetColumn], path: Path) -> _Source:
    selection = require(name, there, path)
    return _Source(there[selection.branch], selection, f"{path}: {name}")


def _next(
    columns: Mapping[str, Iterator["RecordBatch"]],
    sources: Mapping[str, _Source],
    first_row: int,
    sizes: "_Sizes",
) -> dict[str, ak.Array]:
    """Return the next rows of every column; nothing at their end."""
    branches: dict[str, ak.Array] = {}
    for name, batches in columns.items():
        with refuse_damaged(sizes.path):
            batch = next(batches, None)
        if batch is not None:
            sizes.check(batch.column(0), name, first_row)
            with refuse_damaged(sizes.path):
                branches[name] = sources[name].values(batch.column(0))
    if branches and len(branches) < len(columns):
        raise InputError(f"{sizes.path} is damaged: its columns differ in length; get it again")
    return branches


def list_branches(path: Path, layout: Layout | None) -> Sequence[str]:
    """Return the names of the columns."""
    del layout
    with _open(path) as file:
        return tuple(parquet_columns(file))


def read_branches(path: Path, names: Sequence[str], layout: Layout | None) -> dict[str, ak.Array]:
    """Return whole columns by name."""
    with _open(path) as file:
        sizes = _Sizes(path, (layout or jetclass).max_particles)
        there = parquet_columns(file)
        sources = {name: _source(name, there, path) for name in names}
        number = sizes.jets_at_a_time(file, sources)
        return {name: _whole(file, name, sources[name], number, sizes) for name in names}


def _whole(
    file: "ParquetFile", name: str, source: _Source, number: int, sizes: "_Sizes"
) -> ak.Array:
    first_row = 0
    parts = []
    with refuse_damaged(sizes.path):
        for batch in file.iter_batches(batch_size=number, columns=[source.column.path]):
            sizes.check(batch.column(0), name, first_row)
            parts.append(source.values(batch.column(0)))
            first_row += batch.num_rows
        if not parts:  # of a file without rows
            return source.values(file.read(columns=[source.column.path]).column(0))
        return ak.concatenate(parts) if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class _Sizes:
    """How many particles a jet may have, and how many are read at a time."""

    path: Path
    max_particles: int

    def jets_at_a_time(self, file: "ParquetFile", sources: Mapping[str, _Source]) -> int:
        """Return a number of jets with as many particles as fit, by what the file says.

        Raises
        ------
        InputError
            If its jets have more particles than a jet may, on average.
        """
        with refuse_damaged(self.path):
            means = {n: _values_a_row(file, one.column.leaves) for n, one in sources.items()}
        for name, mean in means.items():
            # Of lists of lists, it is the values of a particle that there may be many of.
            if mean > self.max_particles * max(1, _MOST_IN_A_PARTICLE * _is_sliced(sources[name])):
                raise too_many_particles(self.path, f"{mean:,}", self.max_particles, name)
        return max(1, _VALUES // max([1, *means.values()]))

    def check(self, column: "Array", name: str, first_row: int) -> None:
        """Refuse lists that are too long.

        Raises
        ------
        InputError
            If a jet, or the jets that are read together, have too many particles.
        """
        import pyarrow.compute as pc
        import pyarrow.types as kinds

        if stored(column.type) is not column.type:
            column = column.storage
        if kinds.is_fixed_size_list(column.type):
            self._check_values(column.flatten(), name, len(column), first_row)
        if not (kinds.is_list(column.type) or kinds.is_large_list(column.type)):
            return
        with refuse_damaged(self.path):
            longest = pc.max(pc.list_value_length(column)).as_py() or 0
            total = pc.sum(pc.list_value_length(column)).as_py() or 0
        if longest > self.max_particles:
            raise too_many_particles(self.path, f"{longest:,}", self.max_particles, name)
        self._refuse_many(total, name, len(column), first_row)
        with refuse_damaged(self.path):
            values = column.flatten()
        self._check_values(values, name, len(column), first_row)

    def _check_values(self, values: "Array", name: str, num_jets: int, first_row: int) -> None:
        """Refuse lists that hold too much together, which the particles of lists may be."""
        import pyarrow.compute as pc
        import pyarrow.types as kinds

        while kinds.is_list(values.type) or kinds.is_large_list(values.type):
            with refuse_damaged(self.path):
                total = pc.sum(pc.list_value_length(values)).as_py() or 0
            self._refuse_many(total, name, num_jets, first_row)
            with refuse_damaged(self.path):
                values = values.flatten()

    def _refuse_many(self, total: int, name: str, num_jets: int, first_row: int) -> None:
        if total > _MOST_VALUES:
            raise InputError(
                f"{self.path}: {name} has {total:,} particles in {num_jets:,} jets from jet "
                f"{first_row} on, many more than on average; write the file again in smaller row "
                "groups"
            )


def _is_sliced(source: _Source) -> bool:
    return bool(source.selection.index)


def _values_a_row(file: "ParquetFile", leaves: Collection[str]) -> int:
    """Return how many values a row of a column has, in the row group where it has most."""
    meta = file.metadata
    most = 0
    for group in map(meta.row_group, range(meta.num_row_groups)):
        columns = map(group.column, range(group.num_columns))
        values = [c.num_values for c in columns if c.path_in_schema in leaves]
        most = max([most, *(-(-number // max(1, group.num_rows)) for number in values)])
    return most


def _refuse_other_types(source: _Source, name: str, *, text: bool) -> None:
    """Refuse what is no number a jet and no list of numbers, by its type alone."""
    import pyarrow.types as kinds

    kind = source.column.kind
    numbers = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_null)
    texts = (kinds.is_string, kinds.is_large_string, kinds.is_null)
    if not any(is_allowed(kind) for is_allowed in (texts if text else numbers)):
        wanted = "a text" if text else "a number or a list of numbers"
        fields = [kind.field(i).name for i in range(kind.num_fields)] if kind.num_fields else []
        more = f": name one of its fields, as in {name}.{fields[0]}" if fields else ""
        raise InputError(f"{name} must hold {wanted} a jet, not {kind}{more}")


@contextmanager
def _open(path: Path) -> Iterator["ParquetFile"]:
    from pyarrow.parquet import ParquetFile

    with refuse_damaged(path):
        file = ParquetFile(openable(path), page_checksum_verification=True)
    with file:
        yield file
