"""What is in a file that nothing was said of: its trees and branches, their shapes and types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py

from parttag.data.readers.hdf5 import open_hdf5
from parttag.data.readers.npz import array_names, open_array, open_npz
from parttag.data.readers.root_trees import open_tree, tree_names
from parttag.data.readers.slices import leaves
from parttag.errors import InputError
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable
from parttag.system.root_files import open_root


@dataclass(frozen=True)
class Branch:
    """A branch, dataset, array or column."""

    name: str
    kind: str
    """Its type, and its shape where the file fixes that."""
    axes: int
    """1 for one number a jet, 2 for a list of them, and so on."""


@dataclass(frozen=True)
class Table:
    """A tree, or all that a file of another format holds."""

    name: str
    num_entries: int | None
    """``None`` where the branches need not be of the same length."""
    branches: tuple[Branch, ...]


def contents(path: Path) -> tuple[Table, ...]:
    """Return the trees of a ROOT file, or the one table that other files hold.

    Raises
    ------
    InputError
        If the file cannot be read, or is of another format.
    """
    with refuse_damaged(path), path.open("rb") as file:
        head = file.read(8)
    for magic, read in _FORMATS.items():
        if head.startswith(magic):
            return read(path)
    raise InputError(f"{path} does not begin as a ROOT, HDF5, parquet or npz file")


def _root(path: Path) -> tuple[Table, ...]:
    with refuse_damaged(path):
        file = open_root(path)
    with file:
        names = tree_names(file, path)
    tables = []
    for name in names:
        with open_tree(path, name) as tree:
            found = []
            for branch in leaves(tree.branches):
                with refuse_damaged(path):
                    kind = str(tree.content[branch].typename)
                axes = 1 + kind.count("[") + kind.count("vector<") + kind.count("RVec<")
                found.append(Branch(branch, kind, axes))
            tables.append(Table(name, tree.num_entries, tuple(found)))
    return tuple(tables)


def _hdf5(path: Path) -> tuple[Table, ...]:
    found: list[Branch] = []

    def visit(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.ndim == 0:
            return
        fields = item.dtype.names or ("",)
        for field in fields:
            dtype = item.dtype[field] if field else item.dtype
            shape = (*item.shape, *dtype.shape)
            lists = h5py.check_vlen_dtype(dtype)
            is_list = lists is not None and lists is not str and lists is not bytes
            kind = f"lists of {lists}" if is_list else str(dtype.base)
            named = f"{name}/{field}" if field else name
            found.append(Branch(named, f"{kind} {shape}", len(shape) + is_list))

    with open_hdf5(path) as file, refuse_damaged(path):
        file.visititems(visit)
    return (Table("", None, tuple(found)),)


def _npz(path: Path) -> tuple[Table, ...]:
    found = []
    with open_npz(path) as archive:
        for name in array_names(archive):
            with open_array(archive, name, path, kinds="bfiuSU") as array:
                found.append(Branch(name, f"{array.dtype} {array.shape}", len(array.shape)))
    return (Table("", None, tuple(found)),)


def _parquet(path: Path) -> tuple[Table, ...]:
    from pyarrow.parquet import ParquetFile

    from parttag.data.readers.parquet_columns import parquet_columns

    found = []
    with refuse_damaged(path), ParquetFile(openable(path)) as file:
        kinds = {field.name: str(field.type) for field in file.schema_arrow}
        for name, column in parquet_columns(file).items():
            whole = kinds.get(name, kinds.get(name.split(".")[0], ""))
            if name in kinds and column.kind.num_fields:
                continue  # its fields follow
            found.append(Branch(name, str(column.kind), 1 + whole.count("list<")))
        entries = int(file.metadata.num_rows)
    return (Table("", entries, tuple(found)),)


_FORMATS: dict[bytes, Callable[[Path], tuple[Table, ...]]] = {
    b"root": _root,
    b"\x89HDF": _hdf5,
    b"PK\x03\x04": _npz,
    b"PAR1": _parquet,
}
