"""Branches of entries that are events of several jets: what they hold of jets and of particles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import awkward as ak
import numpy as np
from jaxtyping import Int64, Shaped

from parttag.data.readers.branches import Branches, list_lengths
from parttag.errors import InputError
from parttag.jets.arrays import MAX_JETS_OF_EVENT, make_rows
from parttag.jets.validity import row_name


@dataclass
class Tally:
    """What is counted while a file is read, to be said at its end."""

    references: int = 0
    missing: int = 0
    """References to what the file does not hold."""


@dataclass(frozen=True)
class Lists:
    """Whole numbers, several for each owner: an event or a jet."""

    lengths: Int64[np.ndarray, " owners"]
    values: Int64[np.ndarray, " values"]

    @cached_property
    def entries(self) -> Int64[np.ndarray, " values"]:
        """The owner of each value."""
        owners: np.ndarray = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return owners


@dataclass(frozen=True)
class ParticlesOfEvents(Branches):
    """The particles of events; ``lengths`` are of these."""

    def name_of(self, row: int) -> str:
        """Return how a message calls an event."""
        return f"event {self.first_row + row}"


@dataclass(frozen=True)
class JetsOfEvents(Branches):
    """The jets of events from ``first_row`` on.

    Parameters
    ----------
    number
        Of jets of each event.
    """

    number: Int64[np.ndarray, " events"]

    @property
    def num_entries(self) -> int:
        """Number of events."""
        return len(self.number)

    @property
    def num_jets(self) -> int:
        """Number of jets of all events."""
        return int(self.number.sum())

    @cached_property
    def entries(self) -> Int64[np.ndarray, " jets"]:
        """The event of each jet, from 0 on."""
        events: np.ndarray = np.repeat(np.arange(len(self.number)), self.number)
        return events

    @cached_property
    def rows(self) -> Int64[np.ndarray, " jets"]:
        """The row of each jet; see ``parttag.jets.arrays.make_rows``.

        Raises
        ------
        InputError
            If an event has too many jets.
        """
        if self.number.max(initial=0) > MAX_JETS_OF_EVENT:
            event = int(self.number.argmax())
            raise InputError(
                f"{self.path}: {self.event_name(event)} has {self.number[event]:,} jets, more than "
                f"{MAX_JETS_OF_EVENT:,}; leave the softest ones out of the file"
            )
        number = np.arange(len(self.entries)) - np.repeat(
            np.cumsum(self.number) - self.number, self.number
        )
        return make_rows(self.first_row + self.entries, number)

    def name_of(self, row: int) -> str:
        """Return how a message calls a jet."""
        return row_name(int(self.rows[row]))

    def event_name(self, event: int) -> str:
        """Return how a message calls an event."""
        return f"event {self.first_row + event}"

    def is_of_jets(self, name: str) -> bool:
        """Return whether a branch has one value an event, or one for each of its jets."""
        array = self.branches[name]
        if array.ndim != 2:
            return bool(array.ndim == 1)
        return np.array_equal(list_lengths(array), self.number)

    def typed_of_jets(self, name: str) -> Shaped[np.ndarray, " jets"]:
        """Return a branch of one value a jet, or of one an event, which then holds for its jets.

        Raises
        ------
        InputError
            If it is neither, or does not hold numbers.
        """
        array = self.branches[name]
        self.require_one_an_entry(name)
        if array.ndim == 1:
            return np.repeat(self._numbers(array, name), self.number)
        if array.ndim != 2:
            raise InputError(
                f"{self.path}: {name} must hold one number for each jet of an event, or one for "
                f"all of them, not {array.type.content}"
            )
        self._require_one_a_jet(name)
        return self._numbers(ak.flatten(array), name)

    def whole_numbers(self, name: str) -> Int64[np.ndarray, " jets"]:
        """Return a branch of one whole number a jet.

        Raises
        ------
        InputError
            If it is not.
        """
        values = self.of_jets(name)
        if (values != np.floor(values)).any():
            raise InputError(f"{self.path}: {name} must hold whole numbers")
        return values.astype(np.int64)

    def lists(self, name: str) -> Lists:
        """Return a branch of several whole numbers an event.

        Raises
        ------
        InputError
            If it is not.
        """
        array = self.branches[name]
        self.require_one_an_entry(name)
        if array.ndim != 2:
            raise InputError(
                f"{self.path}: {name} must hold a list of whole numbers for each event"
            )
        return Lists(list_lengths(array), self._whole(ak.flatten(array), name))

    def lists_of_jets(self, name: str, field: str | None = None) -> Lists:
        """Return a branch of several whole numbers for each jet, or a field of its records.

        Raises
        ------
        InputError
            If it is not.
        """
        array = self.branches[name]
        self.require_one_an_entry(name)
        if array.ndim < 2 or (field is not None and field not in _fields(array, self.num_jets)):
            kind = {"refs": "ROOT references (TRefArray)", None: "a list of whole numbers"}
            raise InputError(
                f"{self.path}: {name} must hold {kind.get(field, 'ElementLinks')} for each jet of "
                f"an event, not {array.type.content}"
            )
        self._require_one_a_jet(name)
        if not self.num_jets:  # of objects of which there is none, not even the type is known
            return Lists(np.zeros(0, np.int64), np.zeros(0, np.int64))
        jets = ak.flatten(array if field is None else array[field])
        if jets.ndim != 2:
            raise InputError(f"{self.path}: {name} must hold a list of whole numbers for each jet")
        return Lists(list_lengths(jets), self._whole(ak.flatten(jets), name))

    def _whole(self, array: ak.Array, name: str) -> Int64[np.ndarray, " values"]:
        values: Shaped[np.ndarray, " values"] = self._numbers(array, name)
        if values.dtype.kind == "f" and (values != np.floor(values)).any():
            raise InputError(f"{self.path}: {name} must hold whole numbers")
        return values.astype(np.int64)

    def _require_one_a_jet(self, name: str) -> None:
        lengths = list_lengths(self.branches[name])
        if not np.array_equal(lengths, self.number):
            event = int(np.flatnonzero(lengths != self.number)[0])
            raise InputError(
                f"{self.path}: {name} has {lengths[event]} values in {self.event_name(event)}, "
                f"where {self.leading} has {self.number[event]}: both must have one a jet"
            )


def _fields(array: ak.Array, num_jets: int) -> list[str]:
    return list(ak.fields(array)) if num_jets else ["refs", "m_persKey", "m_persIndex"]


def numbers_of_jets(branches: Branches, name: str) -> Int64[np.ndarray, " events"]:
    """Return the number of jets of each event, by a branch with one value a jet.

    Raises
    ------
    InputError
        If it holds no lists.
    """
    array = branches.branches[name]
    if array.ndim < 2:
        raise InputError(
            f"{branches.path}: {name} must hold one value for each jet of an event, not "
            f"{array.type.content}; if an entry is one jet, leave out data.columns.jets"
        )
    return list_lengths(array)
