"""Branches to NumPy columns, and what is said of those that are not as a layout has them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Shaped, UInt8

from parttag.data.readers.layout import too_many_particles
from parttag.data.readers.slices import find, leaves
from parttag.errors import InputError
from parttag.jets.packing import offsets_of, without

_MOST_SHOWN = 40


def require_branches(names: Iterable[str], available: Iterable[str], path: Path) -> None:
    """Check that a file has these branches.

    Raises
    ------
    InputError
        If one is missing; the message names it and lists what is there.
    """
    there = list(available)
    for name in names:
        if find(name, there) is None:
            raise InputError(f"{path} has no branch {name}; {in_short(name, leaves(there))}")


def in_short(wanted: str, there: Sequence[str]) -> str:
    """Return what branches there are, or the ones like the wanted one if there are many."""
    if len(there) <= _MOST_SHOWN:
        return f"it has {', '.join(there) or 'none'}"
    like = ", ".join(get_close_matches(wanted, there, 5, 0.3)) or "none"
    return f"of its {len(there):,} branches these are like it: {like}"


def list_lengths(array: ak.Array) -> Int64[np.ndarray, " entries"]:
    """Return how many values each entry of an array of lists has."""
    layout = array.layout
    lengths: np.ndarray = (
        np.diff(np.asarray(layout.offsets))  # as uproot has them: twenty times faster
        if isinstance(layout, ak.contents.ListOffsetArray)
        else ak.to_numpy(ak.num(array))
    )
    return lengths.astype(np.int64, copy=False)


@dataclass(frozen=True)
class Branches:
    """The rows of a file from ``first_row`` on.

    Parameters
    ----------
    leading
        The branch of particles whose lengths those of the others must equal.
    max_particles
        That a jet may have.
    """

    branches: Mapping[str, ak.Array]
    path: Path
    first_row: int
    leading: str
    max_particles: int

    def has(self, names: Iterable[str]) -> bool:
        """Return whether all these branches are there."""
        return all(name in self.branches for name in names)

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of particles of each jet."""
        return self._list_lengths(self.leading)

    @cached_property
    def offsets(self) -> Int64[np.ndarray, " jets_and_one"]:
        """Jet ``b`` owns the rows ``offsets[b]:offsets[b + 1]`` of the particles."""
        return offsets_of(self.lengths)

    @property
    def num_entries(self) -> int:
        """Number of rows of the branches."""
        return len(self.lengths)

    @property
    def num_jets(self) -> int:
        """Number of jets of these rows."""
        return self.num_entries

    @property
    def rows(self) -> Int64[np.ndarray, " jets"]:
        """The row of each jet, for its index."""
        rows: np.ndarray = self.first_row + np.arange(self.num_jets, dtype=np.int64)
        return rows

    def name_of(self, row: int) -> str:
        """Return how a message calls a row."""
        return f"jet {self.first_row + row}"

    def of_particles(
        self, name: str, rows: Integer[np.ndarray, " chosen"] | slice = slice(None)
    ) -> Float64[np.ndarray, " chosen"]:
        """Return a jagged or rectangular branch, flattened, or some of its values.

        Raises
        ------
        InputError
            If it is neither, does not hold numbers, or differs in length from the leading one.
        """
        with np.errstate(invalid="ignore"):  # damaged files have numbers that signal
            return self.typed_of_particles(name, rows).astype(np.float64)

    def typed_of_particles(
        self, name: str, rows: Integer[np.ndarray, " chosen"] | slice = slice(None)
    ) -> Shaped[np.ndarray, " chosen"]:
        """Return what ``of_particles`` does, in the type of the file."""
        lengths = self._list_lengths(name)
        self._require_one_a_jet(name)
        if not np.array_equal(lengths, self.lengths):
            jet = int(np.flatnonzero(lengths != self.lengths)[0])
            raise InputError(
                f"{self.path}: {self.leading} and {name} differ in length "
                f"({self.lengths[jet]} and {lengths[jet]} particles in {self.name_of(jet)}): write "
                "both for the same particles"
            )
        return self._numbers(ak.flatten(self.branches[name]), name)[rows]

    def without(self, slots: Bool[np.ndarray, " slots"], names: Iterable[str]) -> "Branches":
        """Return the same jets with some slots taken out of these branches of particles."""
        offsets = without(slots, self.offsets)
        kept = {n: ak.unflatten(self.of_particles(n)[~slots], np.diff(offsets)) for n in names}
        return replace(self, branches={**self.branches, **kept})

    def of_jets(self, name: str) -> Float64[np.ndarray, " jets"]:
        """Return a flat branch.

        Raises
        ------
        InputError
            If it is not flat, does not hold numbers, or not as many as there are jets.
        """
        return self.typed_of_jets(name).astype(np.float64)

    def typed_of_jets(self, name: str) -> Shaped[np.ndarray, " jets"]:
        """Return what ``of_jets`` does, in the type of the file."""
        self._refuse_objects(name)
        if self.branches[name].ndim != 1:
            raise InputError(f"{self.path}: {name} must hold one number a jet, not a list")
        self._require_one_a_jet(name)
        return self._numbers(self.branches[name], name)

    def is_of_jets(self, name: str) -> bool:
        """Return whether a branch has one value a jet, and not one a particle."""
        return bool(self.branches[name].ndim == 1)

    def one_hot(self, names: Iterable[str]) -> UInt8[np.ndarray, "jets labels"]:
        """Return flat branches as columns of zeros and ones.

        Raises
        ------
        InputError
            If one holds anything else.
        """
        names = tuple(names)
        columns = np.empty((self.num_jets, len(names)), dtype=np.uint8)
        for column, name in enumerate(names):
            columns[:, column] = self._zeros_and_ones(name)
        return columns

    def rows_of_zeros_and_ones(self, name: str, width: int) -> UInt8[np.ndarray, "jets labels"]:
        """Return a branch of one list a jet, each of so many zeros and ones.

        Raises
        ------
        InputError
            If it holds anything else.
        """
        lengths = self._list_lengths(name)
        self._require_one_a_jet(name)
        if (lengths != width).any():
            raise InputError(
                f"{self.path}: {name} must hold {width} numbers a jet, one for each of "
                f"data.columns.labels.names, but holds {lengths[lengths != width][0]}"
            )
        values = self._numbers(ak.flatten(self.branches[name]), name).reshape(-1, width)
        return self._as_zeros_and_ones(values, name)

    def texts(self, name: str) -> Shaped[np.ndarray, " jets"]:
        """Return a branch of one text a jet.

        Raises
        ------
        InputError
            If it holds anything else.
        """
        self._require_one_a_jet(name)
        texts = ak.to_list(self.branches[name])
        if not all(isinstance(text, str) for text in texts):
            raise InputError(
                f"{self.path}: {name} holds no texts, but those of data.columns.labels.values are"
            )
        return np.array(texts, dtype=object)

    def _zeros_and_ones(self, name: str) -> UInt8[np.ndarray, " jets"]:
        return self._as_zeros_and_ones(self.of_jets(name), name)

    def _as_zeros_and_ones(self, values: np.ndarray, name: str) -> np.ndarray:
        wrong = np.argwhere((values != 0) & (values != 1))
        if len(wrong):
            raise InputError(
                f"{self.path}: {name} must be 0 or 1, but is {values[tuple(wrong[0])]:g} for "
                f"{self.name_of(int(wrong[0][0]))}"
            )
        return values.astype(np.uint8)

    def _require_one_a_jet(self, name: str) -> None:
        self.require_one_an_entry(name)

    def require_one_an_entry(self, name: str) -> None:
        """Refuse a branch with more or fewer rows than the leading one.

        Raises
        ------
        InputError
            If it is such.
        """
        number = len(self.branches[name])
        if number != self.num_entries:
            raise InputError(
                f"{self.path} is damaged: from entry {self.first_row} on, {name} has {number} "
                f"entries where {self.leading} has {self.num_entries}; get the file again, or "
                "leave it out"
            )

    def _list_lengths(self, name: str) -> Int64[np.ndarray, " jets"]:
        self._refuse_objects(name)
        if self.branches[name].ndim != 2:
            raise InputError(
                f"{self.path}: {name} must hold a list of numbers, one a particle"
                + (
                    f"; it has {self.branches[name].ndim} axes: take a part of the last ones, as "
                    f"in {name}[:, :, 0]"
                    if self.branches[name].ndim > 2
                    else ""
                )
            )
        lengths = list_lengths(self.branches[name])
        if lengths.max(initial=0) > self.max_particles:
            number = f"{lengths.max():,}"
            raise too_many_particles(self.path, number, self.max_particles, name)
        return lengths

    def _refuse_objects(self, name: str) -> None:
        """Refuse what is no array of numbers at all, of which awkward has no dimension."""
        kind = str(self.branches[name].type.content)
        if "TRef" in kind:
            raise InputError(
                f"{self.path}: {name} holds references to other objects, not numbers: name it in "
                "data.columns.particles.of_jet.references"
            )
        fields = self.branches[name].fields
        if fields or kind.count("string") or kind.count("bytes"):
            what = f"records of {', '.join(fields)}" if fields else "texts"
            raise InputError(f"{self.path}: {name} must hold numbers, not {what}")

    def _numbers(self, array: ak.Array, name: str) -> Shaped[np.ndarray, " values"]:
        values: np.ndarray = ak.to_numpy(array)
        if values.dtype.kind not in "bfiu":
            raise InputError(f"{self.path}: {name} must hold numbers, not {values.dtype}")
        return values
