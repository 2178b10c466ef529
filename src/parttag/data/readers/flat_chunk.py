"""A chunk of branches for formulas, in which lists are taken apart and put together once each.

What Awkward Array does around an operation takes as long as NumPy takes for that operation on some
hundred thousand numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import awkward as ak
import numpy as np
from jaxtyping import Int64, Shaped

from parttag.data.readers.expressions import Value

Numbers: TypeAlias = Shaped[np.ndarray, " _numbers"]
Offsets: TypeAlias = Int64[np.ndarray, " _bounds"]


class Flat(NamedTuple):
    """Branches as the numbers in their lists, which begin and end at the same places."""

    values: dict[str, Numbers]
    offsets: Offsets


class _Flattened(NamedTuple):
    numbers: Numbers
    offsets: Offsets | None
    """``None`` for a number an entry. Equal ones are the same array."""


class Chunk:
    """Branches of equally many entries, and what is derived of them."""

    def __init__(self, branches: Mapping[str, ak.Array]) -> None:
        self._arrays: dict[str, Value] = dict(branches)
        self._num_entries = len(next(iter(branches.values()))) if branches else 0
        self._flat: dict[str, _Flattened | None] = {}
        self._known: list[Offsets] = []
        self._repeated: dict[tuple[str, int], Numbers] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._arrays or name in self._flat

    def flattened(self, names: Iterable[str]) -> Flat | None:
        """Return branches as the numbers in their lists, those of an entry repeated for its list.

        ``None`` if there are no lists, or their lengths differ, or they are lists of something else
        than numbers.
        """
        parts = {name: self._taken_apart(name) for name in names}
        found = [part for part in parts.values() if part is not None]
        offsets = next((part.offsets for part in found if part.offsets is not None), None)
        if offsets is None or len(found) < len(parts) or not all(_fits(p, offsets) for p in found):
            return None
        values = {
            name: part.numbers
            if part.offsets is not None
            else self._of_lists(name, part.numbers, offsets)
            for name, part in zip(parts, found, strict=True)
        }
        return Flat(values, offsets)

    def lists(self, names: Iterable[str]) -> dict[str, Value]:
        """Return branches as Awkward Array has them, rows of slots as lists.

        As lists they are broadcast, whatever their lengths.
        """
        return {name: _as_lists(self._array(name)) for name in names}

    def add(self, name: str, value: Value) -> bool:
        """Add what a formula has given; return whether it has an entry for each of the others."""
        if not isinstance(value, ak.Array) or len(value) != self._num_entries:
            return False
        self._forget(name)
        self._arrays[name] = value
        return True

    def add_flat(self, name: str, value: Value, offsets: Offsets) -> bool:
        """Add what a formula has given of the numbers in lists; return whether they are as many."""
        if not isinstance(value, np.ndarray) or value.shape != (int(offsets[-1]),):
            return False
        self._forget(name)
        self._flat[name] = _Flattened(value, offsets)
        return True

    def arrays(self) -> dict[str, ak.Array]:
        """Return everything."""
        return {name: self._array(name) for name in (*self._arrays, *self._flat)}

    def _array(self, name: str) -> Value:
        if name not in self._arrays:
            flat = self._flat[name]
            assert flat is not None
            self._arrays[name] = _in_lists(flat)
        return self._arrays[name]

    def _forget(self, name: str) -> None:
        """Forget a branch that has the name of what is made of it."""
        self._arrays.pop(name, None)
        self._flat.pop(name, None)
        self._repeated = {key: own for key, own in self._repeated.items() if key[0] != name}

    def _taken_apart(self, name: str) -> _Flattened | None:
        if name not in self._flat:
            self._flat[name] = self._take_apart(self._arrays[name])
        return self._flat[name]

    def _take_apart(self, array: ak.Array) -> _Flattened | None:
        layout = _as_lists(array).layout
        if _holds_numbers(layout):
            return _Flattened(np.asarray(layout.data), None)
        if not isinstance(layout, ak.contents.ListOffsetArray) or not _holds_numbers(
            layout.content
        ):
            return None
        content, own = layout.content, np.asarray(layout.offsets.data).astype(np.int64, copy=False)
        numbers = np.asarray(content.data)[own[0] : own[-1]]
        own = own - own[0] if own[0] else own
        for known in self._known:
            if np.array_equal(known, own):
                return _Flattened(numbers, known)
        self._known.append(own)
        return _Flattened(numbers, own)

    def _of_lists(self, name: str, numbers: Numbers, offsets: Offsets) -> Numbers:
        """Return a number an entry as one for each place of the entry's list."""
        key = (name, id(offsets))
        if key not in self._repeated:
            self._repeated[key] = np.repeat(numbers, np.diff(offsets))
        return self._repeated[key]


def _fits(part: _Flattened, offsets: Offsets) -> bool:
    if part.offsets is None:
        return len(part.numbers) == len(offsets) - 1
    return part.offsets is offsets


def _in_lists(flat: _Flattened) -> ak.Array:
    content = ak.contents.NumpyArray(flat.numbers)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(flat.offsets), content))


# By their attributes: ``isinstance`` takes longer with Awkward Array's classes than a formula's
# arithmetic does.
def _holds_numbers(layout: ak.contents.Content) -> bool:
    return bool(layout.is_numpy) and len(layout.data.shape) == 1


def _is_of_offsets(layout: ak.contents.Content) -> bool:
    return type(layout) is ak.contents.ListOffsetArray


def _as_lists(array: ak.Array) -> ak.Array:
    """Return rows of slots as lists."""
    layout = array.layout
    if _is_of_offsets(layout) and _holds_numbers(layout.content):
        return array  # already: to ask Awkward Array takes as long as a formula
    for axis in range(1, array.ndim):
        array = ak.from_regular(array, axis=axis)
    return array
