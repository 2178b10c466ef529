"""The parts that a data set is made of: jets in memory, and stores that stay on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from parttag.data.selection.good_jets import aligned
from parttag.data.store.store import JetStore
from parttag.jets.arrays import JetArrays, concatenate, make_index
from parttag.jets.columns import row_bytes
from parttag.jets.kinds import MaxParticles

_CHUNK_JETS = 100_000


@runtime_checkable
class Part(Protocol):
    """Jets that all data sets can be made of."""

    @property
    def num_bytes(self) -> int:
        """Bytes that the jets' particles take."""
        ...

    @property
    def is_shuffled(self) -> bool:
        """Whether the jets are on disk, in a random order, to be read in blocks."""
        ...

    def __len__(self) -> int: ...

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: MaxParticles = None, /
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order."""
        ...

    def read(self, ranges: Sequence[tuple[int, int]]) -> JetArrays:
        """Return the jets of each range, from its first to before its last."""
        ...

    def without_particles(self) -> Iterator[JetArrays]:
        """Yield all jets in order, with what is known of them besides their particles."""
        ...

    def without_extras(self) -> "Part":
        """Return the same jets without the particle columns besides the four-momentum."""
        ...


class InMemory:
    """Jets in memory."""

    is_shuffled = False

    def __init__(self, jets: JetArrays) -> None:
        self.jets = jets

    @property
    def num_bytes(self) -> int:
        """Bytes that the jets' particles take."""
        return self.jets.p4.nbytes + self.jets.extra.nbytes + self.jets.columns.nbytes

    def __len__(self) -> int:
        return len(self.jets)

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: MaxParticles = None, /
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order."""
        return self.jets.take(rows, max_particles)

    def read(self, ranges: Sequence[tuple[int, int]]) -> JetArrays:
        """Return the jets of each range; views of them, if there is one range only."""
        return concatenate([self.jets.span(start, stop) for start, stop in ranges])

    def without_particles(self) -> Iterator[JetArrays]:
        """Yield all jets in order, with what is known of them besides their particles."""
        yield self.jets

    def without_extras(self) -> "InMemory":
        """Return the same jets without the particle columns besides the four-momentum."""
        return InMemory(self.jets.without_extras())


class InStore:
    """The jets of a store, which are read when they are asked for.

    Parameters
    ----------
    like
        Some jets that have the columns and sources of the whole data set; the store must have the
        same labels and extra columns, if in another order.
    file_number
        The place of the store's first source among those.
    extras
        Whether the extra columns are read.
    """

    def __init__(
        self, store: JetStore, like: JetArrays, file_number: int, *, extras: bool = True
    ) -> None:
        self.store = store
        self._like = like.span(0, 0)
        self._file_number = file_number
        self._extras = extras

    def __len__(self) -> int:
        return len(self.store)

    @property
    def num_bytes(self) -> int:
        """Bytes that the jets' particles take."""
        bytes_each = 16
        if self._extras:
            types = self.store.manifest.column_types
            bytes_each += 4 * len(self._like.extra_names) + row_bytes(types)
        return bytes_each * self.store.manifest.num_particles

    @property
    def is_shuffled(self) -> bool:
        """Whether the jets are in a random order, to be read in blocks."""
        return self.store.is_shuffled

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: MaxParticles = None, /
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order, from shards mapped into memory."""
        return self._fitted(self.store.take(rows, max_particles, extras=self._extras))

    def read(self, ranges: Sequence[tuple[int, int]]) -> JetArrays:
        """Return the jets of each range."""
        return self._fitted(self.store.read(ranges, extras=self._extras))

    def without_particles(self) -> Iterator[JetArrays]:
        """Yield all jets in order, with what is known of them besides their particles."""
        for start in range(0, len(self), _CHUNK_JETS):
            stop = min(start + _CHUNK_JETS, len(self))
            yield self.store.read([(start, stop)], particles=False)

    def without_extras(self) -> "InStore":
        """Return the same jets without the particle columns besides the four-momentum."""
        return InStore(self.store, self._like, self._file_number, extras=False)

    def _fitted(self, jets: JetArrays) -> JetArrays:
        jets = aligned(jets, self._like if self._extras else self._like.without_extras())
        shift = make_index(self._file_number, np.zeros(1, dtype=np.int64))
        return replace(jets, index=jets.index + shift, sources=self._like.sources)
