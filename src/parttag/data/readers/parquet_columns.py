"""What parquet files call their columns: fields of records, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from pyarrow import Array, ChunkedArray, DataType, Schema
    from pyarrow.parquet import ParquetFile


@dataclass(frozen=True)
class ParquetColumn:
    """A column, or a field of the records, or of the lists of records, that one holds."""

    path: str
    """Its name in the parquet file's own schema, of the part that is read."""
    leaves: tuple[str, ...]
    """The columns of numbers that it is stored as."""
    fields: tuple[str, ...]
    kind: DataType
    """The type of its values, below all lists; of records, that of the records."""

    def values(self, column: Array | ChunkedArray) -> ak.Array:
        """Return the values of what was read, without missing ones.

        Numbers become NaN, lists empty. Most writers mark columns as nullable even where nothing is
        missing.
        """
        import pyarrow.types as kinds

        array = ak.from_arrow(column)
        for field in self.fields:
            array = array[field]
        if array.fields or kinds.is_string(self.kind) or kinds.is_large_string(self.kind):
            return array
        for axis in range(array.ndim - 1):
            array = ak.fill_none(array, [], axis=axis)
        return ak.fill_none(array, np.nan, axis=-1)


def parquet_columns(file: ParquetFile) -> dict[str, ParquetColumn]:
    """Return the columns of a file, and the fields of its records (``particles.pt``), by name."""
    schema: Schema = file.schema_arrow
    stored = [file.schema.column(i).path for i in range(len(file.schema))]
    found: dict[str, ParquetColumn] = {}
    for field in schema:
        own = tuple(path for path in stored if path.split(".")[0] == field.name)
        own = own or tuple(p for p in stored if p == field.name or p.startswith(f"{field.name}."))
        found[field.name] = ParquetColumn(field.name, own, (), below_lists(field.type))
        leaves = list(_leaves(field.type, ()))
        if len(leaves) != len(own):  # a map or the like, of which no field can be named
            continue
        for (fields, kind), path in zip(leaves, own, strict=True):
            if fields:
                name = ".".join((field.name, *fields))
                found.setdefault(name, ParquetColumn(path, (path,), fields, kind))
    return found


def below_lists(kind: DataType) -> DataType:
    """Return the type of what is in lists, however deep; of anything else, the type itself."""
    import pyarrow.types as kinds

    kind = stored(kind)
    while kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        kind = stored(kind.value_type)
    return kind.value_type if kinds.is_dictionary(kind) else kind


def stored(kind: DataType) -> DataType:
    """Return how values of a type are stored: awkward writes types of its own."""
    from pyarrow import BaseExtensionType

    return kind.storage_type if isinstance(kind, BaseExtensionType) else kind


def _leaves(kind: DataType, fields: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], DataType]]:
    import pyarrow.types as kinds

    kind = below_lists(kind)
    if not kinds.is_struct(kind):
        yield fields, kind
        return
    for number in range(kind.num_fields):
        child = kind.field(number)
        yield from _leaves(child.type, (*fields, child.name))
