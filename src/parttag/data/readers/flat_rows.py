"""Where each jet begins among particles that a file holds one after the other.

Numbers are read a piece at a time, forwards: a file may claim any number of jets.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from parttag.errors import InputError
from parttag.jets.packing import offsets_of

Rows = Callable[[int, int], np.ndarray]
"""Returns the numbers of the rows from a start to a stop."""

_PIECE = 1 << 20


class Ends:
    """Where jets begin and end.

    Parameters
    ----------
    lengths
        The numbers of particles of some jets.
    name
        Of the array that says it.
    """

    def __init__(self, lengths: Rows, num_jets: int, name: str) -> None:
        self.lengths, self.num_jets, self.name = lengths, num_jets, name
        self._stop, self._end = 0, 0  # the last jet that was asked for, and where it ends
        self._start, self._ends = 0, offsets_of(np.empty(0, np.int64))

    def of(self, start: int, stop: int) -> Int64[np.ndarray, " jets_and_one"]:
        """Return where the jets from ``start`` to ``stop`` begin, and where the last one ends."""
        if (start, stop) != (self._start, self._stop):
            assert start in (0, self._stop), "jets are read forwards"
            first = self._end if start else 0
            lengths = self.lengths(start, stop)
            self._start, self._stop = start, stop
            self._ends = first + offsets_of(lengths.astype(np.int64))
            self._end = int(self._ends[-1])
        return self._ends


def ends_by_count(
    rows: Rows, length: int, name: str, path: Path, *, num_particles: int, num_jets: Sequence[int]
) -> Ends:
    """Return the ends of jets whose numbers of particles an array holds.

    Raises
    ------
    InputError
        If a number is negative, or all together are not as many as there are particles.
    """
    del num_jets  # as many as there are counts
    total = 0
    for start in range(0, length, _PIECE):
        lengths = rows(start, min(start + _PIECE, length))
        if (lengths < 0).any():
            raise InputError(f"{path}: {name} must hold one whole number, 0 or more, a jet")
        # Beyond the particles that there are, nothing is added up: numbers may overflow.
        largest = int(lengths.max(initial=0))
        total += largest if largest > num_particles else int(lengths.sum(dtype=np.int64))
        if total > num_particles:
            break
    if total != num_particles:
        raise InputError(
            f"{path}: {name} counts {total:,} particles, but there are {num_particles:,}"
        )
    return Ends(rows, length, name)


def ends_by_offsets(
    rows: Rows, length: int, name: str, path: Path, *, num_particles: int, num_jets: Sequence[int]
) -> Ends:
    """Return the ends of jets whose first particles' rows an array holds, and may be the end too.

    Parameters
    ----------
    num_jets
        The number of jets that another array has, if there is one: it says whether the last number
        is the end of the last jet or the beginning of one.

    Raises
    ------
    InputError
        If the numbers run backwards, do not begin at 0, or lie beyond the particles.
    """
    last = -1
    for start in range(0, length, _PIECE):
        starts = rows(start, min(start + _PIECE, length))
        ordered = starts[0] >= max(last, 0) and (starts[1:] >= starts[:-1]).all()
        if not ordered or (start == 0 and starts[0] != 0):
            raise InputError(
                f"{path}: {name} must begin at 0 and never fall: it is the row of each jet's first "
                "particle"
            )
        last = int(starts[-1])
    if last > num_particles:
        raise InputError(
            f"{path}: {name} goes up to row {last:,}, but there are {num_particles:,} particles"
        )
    has_end = last == num_particles and (not num_jets or num_jets[0] != length)

    def lengths(start: int, stop: int) -> np.ndarray:
        starts = rows(start, min(stop + 1, length)).astype(np.int64)
        return np.diff(starts if stop < length else np.append(starts, num_particles))

    return Ends(lengths, max(0, length - has_end), name)
