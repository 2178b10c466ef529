"""The fields of jets, said once: arrays, batches, stores and files follow from them.

A field that is added to ``JetFields``, with its metadata, is taken, joined, written, read and put
on a device with the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import numpy as np
from jaxtyping import Float, Int64, Shaped, UInt8

from parttag.jets.columns import ColumnTypes, row_bytes
from parttag.jets.kinds import Kinds

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", np.ndarray, Tensor)
else:
    Array = TypeVar("Array")

_MOMENTUM = ("px", "py", "pz", "energy")


@dataclass(frozen=True)
class Rows:
    """What the rows of a field are.

    ``per`` is what has one row each; of the offsets that is the beginning of a jet, and the end.
    ``dtype`` is the type in NumPy and in files. ``columns`` are the names of the columns, or names
    the field that holds them; without, a row is one number. ``packed`` names the field with the
    types of columns that are packed into bytes (``jets/columns.py``).
    """

    per: Literal["particle", "jet", "boundary"]
    dtype: str
    columns: tuple[str, ...] | str | None = None
    packed: str | None = None

    def names(self, owner: object) -> tuple[str, ...] | None:
        """Return the names of the columns; none where a row is one number.

        Parameters
        ----------
        owner
            What has the fields that hold names, such as the jets themselves.
        """
        return getattr(owner, self.columns) if isinstance(self.columns, str) else self.columns

    def shape(self, owner: object) -> tuple[int, ...]:
        """Return the shape of a row; see ``names``."""
        if self.packed is not None:
            return (row_bytes(self.types(owner)),)
        names = self.names(owner)
        return () if names is None else (len(names),)

    def types(self, owner: object) -> ColumnTypes:
        """Return names and types of the columns that are packed; see ``names``."""
        types: ColumnTypes = () if self.packed is None else getattr(owner, self.packed)
        return types

    def is_absent(self, owner: object) -> bool:
        """Return whether the field has nothing to hold, and is not written."""
        return self.packed is not None and not self.types(owner)


def rows_per(
    per: Literal["particle", "jet", "boundary"],
    dtype: str,
    columns: tuple[str, ...] | str | None = None,
    packed: str | None = None,
) -> dict[str, Rows]:
    """Return the metadata of a field; see ``Rows``."""
    return {"rows": Rows(per, dtype, columns, packed)}


# Arrays of no columns, which those who make jets need not give.
_NO_COLUMNS = cast("Any", None)


@dataclass(frozen=True, eq=False)
class JetFields(Generic[Array]):
    """The fields that ``JetArrays`` and ``JetBatch`` have in common.

    ``labels`` are label columns in the one, class indices in the other. ``columns`` and
    ``jet_columns`` are what a configuration names of particles and jets besides, each in the type
    of the files, packed into bytes (``jets/columns.py``). ``kinds`` are the kinds of particles,
    where there are several; then one of ``columns`` says of which each is (``jets/kinds.py``).
    """

    p4: Float[Array, "rows 4"] = field(metadata=rows_per("particle", "<f4", _MOMENTUM))
    extra: Float[Array, "rows extras"] = field(metadata=rows_per("particle", "<f4", "extra_names"))
    extra_names: tuple[str, ...]
    offsets: Int64[Array, " jets_and_one"] = field(metadata=rows_per("boundary", "<i8"))
    jet_p4: Float[Array, "jets 4"] = field(metadata=rows_per("jet", "<f4", _MOMENTUM))
    jet_axis: Float[Array, "jets 2"] = field(metadata=rows_per("jet", "<f4", ("eta", "phi")))
    labels: Shaped[Array, "jets ..."]
    jet_weights: Float[Array, " jets"] = field(metadata=rows_per("jet", "<f4"))
    index: Int64[Array, " jets"] = field(metadata=rows_per("jet", "<i8"))
    columns: UInt8[Array, "_rows bytes"] = field(
        default=_NO_COLUMNS,
        kw_only=True,
        metadata=rows_per("particle", "|u1", packed="column_types"),
    )
    column_types: ColumnTypes = field(default=(), kw_only=True)
    jet_columns: UInt8[Array, "_jets jet_bytes"] = field(
        default=_NO_COLUMNS,
        kw_only=True,
        metadata=rows_per("jet", "|u1", packed="jet_column_types"),
    )
    jet_column_types: ColumnTypes = field(default=(), kw_only=True)
    kinds: Kinds = field(default=(), kw_only=True)

    def held(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of these fields that hold something.

        Without columns the arrays for them have no columns, and rows that mean nothing.
        """
        if self.column_types and self.jet_column_types:
            return names
        return _held(names, bool(self.column_types), bool(self.jet_column_types))


@lru_cache
def _held(names: tuple[str, ...], columns: bool, jet_columns: bool) -> tuple[str, ...]:
    absent = {"columns": not columns, "jet_columns": not jet_columns}
    return tuple(name for name in names if not absent.get(name, False))


def array_fields(kind: type[JetFields[Array]]) -> Mapping[str, Rows]:
    """Return what the rows of each array are, by the name of the field."""
    return {own.name: own.metadata["rows"] for own in fields(kind) if "rows" in own.metadata}
