"""What a configuration names: a branch, a leaf of a group, or a part of an array's last axes.

``PFCands[:, :, 0]`` is the first number of every particle of an array of three axes;
``values[:, 0:2100:3]`` every third of a row. The first axis is that of the jets (or of the
particles, where a file holds those of all jets one after the other) and is always taken whole.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np

from parttag.errors import InputError

_FORM = re.compile(r"(?P<branch>.+?)\s*\[(?P<index>[^\[\]]*)\]")
_NUMBER = re.compile(r"-?\d{1,9}")
_RANGE = re.compile(r"(-?\d{1,9})?:(-?\d{1,9})?(?::(\d{1,9}))?")


@dataclass(frozen=True)
class Selection:
    """A branch of a file, and what is taken of its axes after the first; nothing: all of it."""

    branch: str
    index: tuple[int | slice, ...] = ()

    def row_shape(self, shape: Sequence[int], where: str) -> tuple[int, ...]:
        """Return the shape of a row of what is taken, of rows of this shape.

        Raises
        ------
        InputError
            If there are fewer axes than numbers, or one lies beyond its axis; ``where`` begins the
            sentence.
        """
        if len(self.index) > len(shape):
            raise InputError(
                f"{where} takes {len(self.index) + 1} axes of {self.branch}, which has "
                f"{len(shape) + 1}: its rows are of shape {tuple(shape)}"
            )
        left = []
        for number, (part, size) in enumerate(zip(self.index, shape, strict=False)):
            ends = (part, part) if isinstance(part, int) else (part.start, part.stop)
            past = 0 if isinstance(part, int) else 1
            if any(end is not None and not -size <= end < size + past for end in ends):
                raise InputError(
                    f"{where} reaches beyond axis {number + 1} of {self.branch}, which is of size "
                    f"{size}: its rows are of shape {tuple(shape)}"
                )
            if isinstance(part, slice):
                left.append(len(range(*part.indices(size))))
        return (*left, *shape[len(self.index) :])

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return what is taken of some rows, as an array of its own."""
        if not self.index:
            return rows
        return np.ascontiguousarray(rows[(slice(None), *self.index)])

    def of_lists(self, rows: ak.Array, where: str) -> ak.Array:
        """Return what is taken of rows that may be lists.

        Raises
        ------
        InputError
            If it lies beyond a row, or there are fewer axes; ``where`` begins the sentence.
        """
        if not self.index:
            return rows
        try:
            return ak.to_packed(rows[(slice(None), *self.index)])
        except (IndexError, ValueError, TypeError) as error:
            raise InputError(
                f"{where} reaches beyond {self.branch}, which is of type {rows.type.content}"
            ) from error


def find(name: str, available: Collection[str]) -> Selection | None:
    """Return what a name stands for among the branches of a file; ``None`` if for none.

    A branch of exactly this name comes first, then the only leaf of this name in whichever group
    (``EFlowTrack/EFlowTrack.PT`` for ``EFlowTrack.PT``), then a slice of either.

    Raises
    ------
    InputError
        If several leaves have the name, or what is in brackets is no slice.
    """
    branch = _branch(name, available)
    if branch is not None:
        return Selection(branch)
    sliced = _FORM.fullmatch(name.strip())
    branch = _branch(sliced["branch"], available) if sliced else None
    if sliced is None or branch is None:
        return None
    return Selection(branch, _index(sliced["index"], name))


def require(name: str, available: Collection[str], path: Path) -> Selection:
    """Return what a name that was looked up before stands for."""
    found = find(name, available)
    if found is None:
        raise InputError(f"{path} has no branch {name}")
    return found


def leaves(available: Iterable[str]) -> list[str]:
    """Return the branches that hold values, without those that only group others."""
    names = list(available)
    groups = {name.rpartition("/")[0] for name in names}
    return [name for name in names if name not in groups]


def _branch(name: str, available: Collection[str]) -> str | None:
    if name in available:
        return name
    if "." not in name:
        return None
    ends = [other for other in available if other.endswith(f"/{name}")]
    if len(ends) > 1:
        raise InputError(f"{name} may be {' or '.join(ends[:5])}: name one of them in full")
    return ends[0] if ends else None


def _index(text: str, name: str) -> tuple[int | slice, ...]:
    first, *rest = (part.strip() for part in text.split(","))
    index = [_part("".join(part.split())) for part in rest]
    if first != ":" or not index or None in index:
        raise InputError(
            f"{name}: after the whole first axis, write numbers or ranges of the last axes in the "
            "brackets, as in [:, :, 0] or [:, 0:2100:3]"
        )
    return tuple(part for part in index if part is not None)


def _part(text: str) -> int | slice | None:
    if _NUMBER.fullmatch(text):
        return int(text)
    ends = _RANGE.fullmatch(text)
    if ends is None or ends[3] == "0":
        return None
    start, stop, step = (None if end is None else int(end) for end in ends.groups())
    return slice(start, stop, step)
