"""Columns of any type: packed row by row into bytes, so that all of them are taken as one array.

A row holds one number of each column, in the type that the files have it in. In NumPy such rows are
records, and so they are in the HDF5 files of stores; in torch a column is made of its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped, UInt8

if TYPE_CHECKING:
    from torch import Tensor

ColumnTypes = tuple[tuple[str, str], ...]
"""Name and type (``<f4``) of each column, in the order of the bytes."""

TYPES = ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")
"""The types that a column may have."""


def row_bytes(types: ColumnTypes) -> int:
    """Return the bytes of a row."""
    return sum(np.dtype(dtype).itemsize for _, dtype in types)


def column_names(types: ColumnTypes) -> tuple[str, ...]:
    """Return the names of the columns."""
    return tuple(name for name, _ in types)


def pack_columns(
    columns: Mapping[str, Shaped[np.ndarray, " rows"]], rows: int
) -> tuple[UInt8[np.ndarray, "rows bytes"], ColumnTypes]:
    """Return the columns as rows of bytes, and their types, in the byte order of files.

    Of no columns there are no rows.
    """
    types = tuple((name, v.dtype.newbyteorder("<").str) for name, v in columns.items())
    if not types:
        return np.empty((0, 0), dtype=np.uint8), ()
    records = np.empty(rows, dtype=list(types))
    for name, values in columns.items():
        records[name] = values
    return records.view(np.uint8).reshape(rows, row_bytes(types)), types


def as_records(
    packed: UInt8[np.ndarray, "rows bytes"], types: ColumnTypes
) -> Shaped[np.ndarray, " rows"]:
    """Return rows of bytes as records with named fields: a view, where they are contiguous."""
    records: np.ndarray = np.ascontiguousarray(packed).view(np.dtype(list(types)))
    return records.reshape(len(packed))


def numpy_column(
    packed: UInt8[np.ndarray, "rows bytes"], types: ColumnTypes, name: str
) -> Shaped[np.ndarray, " rows"]:
    """Return a column in its own type."""
    column: np.ndarray = as_records(packed, types)[name]
    return column


def torch_column(packed: Tensor, types: ColumnTypes, name: str) -> Tensor:
    """Return a column of packed rows in torch, in its own type, in memory of its own."""
    import torch

    of_numpy: dict[str, Any] = {
        "|b1": torch.bool,
        "|i1": torch.int8,
        "<i2": torch.int16,
        "<i4": torch.int32,
        "<i8": torch.int64,
        "|u1": torch.uint8,
        "<u2": torch.uint16,
        "<u4": torch.uint32,
        "<u8": torch.uint64,
        "<f2": torch.float16,
        "<f4": torch.float32,
        "<f8": torch.float64,
    }
    start = 0
    for own, dtype in types:
        stop = start + np.dtype(dtype).itemsize
        if own == name:
            # A copy of its own: where it begins in memory fits every type.
            return (
                packed[:, start:stop]
                .clone(memory_format=torch.contiguous_format)
                .view(of_numpy[dtype])[:, 0]
            )
        start = stop
    raise KeyError(name)


def repacked(
    packed: UInt8[np.ndarray, "rows bytes"], types: ColumnTypes, wanted: ColumnTypes
) -> UInt8[np.ndarray, "rows bytes"]:
    """Return the rows with their columns, which they must have, in this order and these types."""
    if types == wanted:
        return packed
    records = as_records(packed, types)
    with np.errstate(over="ignore"):
        columns = {name: records[name].astype(dtype) for name, dtype in wanted}
    return pack_columns(columns, len(packed))[0]
