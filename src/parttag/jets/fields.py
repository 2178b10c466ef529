"""What jets are made of, said once: arrays, batches, stores and files follow from it.

A field that is added to ``JetFields``, with its metadata, is taken, joined, written, read and put
on a device with the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Int64, Shaped

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
    the field that holds them; without, a row is one number.
    """

    per: Literal["particle", "jet", "boundary"]
    dtype: str
    columns: tuple[str, ...] | str | None = None

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
        names = self.names(owner)
        return () if names is None else (len(names),)


def rows_per(
    per: Literal["particle", "jet", "boundary"],
    dtype: str,
    columns: tuple[str, ...] | str | None = None,
) -> dict[str, Rows]:
    """Return the metadata of a field; see ``Rows``."""
    return {"rows": Rows(per, dtype, columns)}


@dataclass(frozen=True, eq=False)
class JetFields(Generic[Array]):
    """The fields that ``JetArrays`` and ``JetBatch`` have in common.

    ``labels`` are label columns in the one, class indices in the other.
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


def array_fields(kind: type[JetFields[Array]]) -> Mapping[str, Rows]:
    """Return what the rows of each array are, by the name of the field."""
    return {own.name: own.metadata["rows"] for own in fields(kind) if "rows" in own.metadata}
