"""The order of an epoch's jets: a function of seed and epoch, given out window by window.

A *window* is a run of the order that is read and shuffled at a time. Which windows there are and
what is in them depends on the data set, the seed and the epoch only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from parttag.jets.packing import offsets_of

WINDOW_BYTES = 1 << 26
"""Particles of a window of jets that are streamed: so much is read, and mixed, at a time."""
WINDOW_JETS = 8192
"""Jets of a window of jets that are at hand: long enough to cost little, short enough to wait."""
BLOCKS_PER_WINDOW = 16


@dataclass(frozen=True)
class Window:
    """Jets that are read together.

    ``rows`` are those to take, in order: of the jets in ``ranges``, read one after the other, or of
    the whole data set if there are no ranges.
    """

    rows: Int64[np.ndarray, " jets"]
    ranges: tuple[tuple[int, int], ...] = ()

    def rows_of_all(self) -> Int64[np.ndarray, " jets"]:
        """Return the numbers in the data set of the jets to take, in order."""
        if not self.ranges:
            return self.rows
        read = np.concatenate([np.arange(start, stop) for start, stop in self.ranges])
        chosen: Int64[np.ndarray, " jets"] = read[self.rows]
        return chosen


@runtime_checkable
class Order(Protocol):
    """An order of jets, in windows."""

    @property
    def num_jets(self) -> int:
        """Number of all jets."""
        ...

    @property
    def window_jets(self) -> int:
        """Number of jets of a window; the last one may have fewer."""
        ...

    def window(self, number: int) -> Window:
        """Return a window by its number."""
        ...


def rows_of(order: Order, start: int, stop: int) -> Int64[np.ndarray, " jets"]:
    """Return the numbers in the data set of the jets from ``start`` to ``stop`` of an order."""
    size = order.window_jets
    start, stop = min(start, order.num_jets), min(stop, order.num_jets)
    pieces = [np.zeros(0, dtype=np.int64)]
    for number in range(start // size, -(-stop // size)):
        first = number * size
        rows = order.window(number).rows_of_all()
        pieces.append(rows[max(start - first, 0) : stop - first])
    return np.concatenate(pieces)


@dataclass(frozen=True)
class Sequential:
    """The jets as they come."""

    num_jets: int
    window_jets: int = WINDOW_JETS

    def window(self, number: int) -> Window:
        """Return a window by its number."""
        start = number * self.window_jets
        stop = min(start + self.window_jets, self.num_jets)
        return Window(np.arange(stop - start), ((start, stop),))


class FullShuffle:
    """Every order of the jets is equally likely; it takes 8 bytes a jet.

    For jets that can be had at random: in memory, or mapped into it.
    """

    def __init__(
        self, num_jets: int, seed: int, epoch: int, window_jets: int = WINDOW_JETS
    ) -> None:
        self.num_jets = num_jets
        self.window_jets = window_jets
        self._order = np.random.default_rng([seed, epoch]).permutation(num_jets)

    def window(self, number: int) -> Window:
        """Return a window by its number."""
        return Window(self._order[number * self.window_jets : (number + 1) * self.window_jets])


class BlockShuffle:
    """Blocks of neighbors in random order; the jets of ``BLOCKS_PER_WINDOW`` of them are mixed.

    It is for stores whose jets are in a random order already, which is what ``prepare`` writes:
    each window is then a random choice of the jets in random order. So within an epoch every batch
    is distributed as if it were drawn from the whole set without replacement. Between epochs, jets
    of one block stay in one window: they meet again in a batch more often than others do.

    With several parts each window takes from every part as many jets as chance has it, by the
    multivariate hypergeometric distribution: the parts are mixed exactly, even if they differ.

    Parameters
    ----------
    part_sizes
        Jets of each part of the data set; a block lies in one part.
    window_jets
        Jets that are mixed.
    """

    def __init__(self, part_sizes: Sequence[int], window_jets: int, seed: int, epoch: int) -> None:
        self.num_jets = sum(part_sizes)
        self.window_jets = min(window_jets, max(self.num_jets, 1))
        self._seed, self._epoch = seed, epoch
        rng = np.random.default_rng([seed, epoch])
        block_jets = -(-self.window_jets // BLOCKS_PER_WINDOW)
        starts = offsets_of(part_sizes)
        self._parts = [
            _Blocks.shuffled(int(start), size, block_jets, rng)
            for start, size in zip(starts, part_sizes, strict=False)
        ]
        self._taken = self._draw_counts(part_sizes, rng)
        self._last: tuple[int, Window] | None = None

    def _draw_counts(
        self, part_sizes: Sequence[int], rng: np.random.Generator
    ) -> Int64[np.ndarray, "windows_and_one parts"]:
        """Return how many jets of each part come before each window."""
        ends = np.arange(self.window_jets, self.num_jets + self.window_jets, self.window_jets)
        if len(part_sizes) == 1:
            taken_in_all: Int64[np.ndarray, " windows_and_one"]
            taken_in_all = np.minimum(np.concatenate([[0], ends]), self.num_jets)
            return taken_in_all[:, None]
        left = np.array(part_sizes, dtype=np.int64)
        taken = [np.zeros_like(left)]
        for _ in ends:
            size = min(self.window_jets, int(left.sum()))
            drawn = rng.multivariate_hypergeometric(left, size, method="marginals")
            left = left - drawn
            taken.append(taken[-1] + drawn)
        return np.stack(taken)

    def window(self, number: int) -> Window:
        """Return a window by its number; the last one asked for is at hand."""
        last = self._last  # of this moment: other threads ask too
        if last is None or last[0] != number:
            self._last = last = (number, self._draw_window(number))
        return last[1]

    def _draw_window(self, number: int) -> Window:
        ranges = [
            piece
            for part, begin, end in zip(
                self._parts, self._taken[number], self._taken[number + 1], strict=True
            )
            for piece in part.ranges(int(begin), int(end))
        ]
        # The generator of the epoch itself is [seed, epoch], which is the same as [seed, epoch, 0].
        rng = np.random.default_rng([self._seed, self._epoch, 1 + number])
        return Window(rng.permutation(sum(b - a for a, b in ranges)), tuple(ranges))


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a part in their order."""

    firsts: Int64[np.ndarray, " blocks"]
    """Number of the first jet of each block."""
    ends: Int64[np.ndarray, " blocks_and_one"]
    """Jets of the part that come before each block, and all at the end."""

    @classmethod
    def shuffled(
        cls, start: int, size: int, block_jets: int, rng: np.random.Generator
    ) -> "_Blocks":
        """Cut a part into blocks, of which the last may be shorter, and shuffle them."""
        firsts = rng.permutation(np.arange(start, start + size, block_jets))
        sizes = np.minimum(block_jets, start + size - firsts)
        return cls(firsts, offsets_of(sizes))

    def ranges(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Return jets ``begin`` to ``end`` of the part's order, as ranges of their numbers."""
        found = []
        first = int(np.searchsorted(self.ends, begin, side="right")) - 1
        while begin < end:
            until = min(end, int(self.ends[first + 1]))
            shift = int(self.firsts[first] - self.ends[first])
            found.append((begin + shift, until + shift))
            begin, first = until, first + 1
        return found
