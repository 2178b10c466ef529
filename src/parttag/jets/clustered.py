"""Jets as clustering gives them: particles packed, with any columns of particles and of jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from parttag.jets.packing import offsets_of, take_packed


@dataclass(frozen=True, eq=False)
class Lists:
    """Other objects of jets, packed: jet ``b`` has the rows ``offsets[b]:offsets[b + 1]``."""

    offsets: Int64[np.ndarray, " jets_and_one"]
    columns: Mapping[str, Shaped[np.ndarray, " objects"]]

    @property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of objects of each jet."""
        return np.diff(self.offsets)

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> Lists:
        """Return the objects of the jets at ``rows``, in that order."""
        offsets, taken = take_packed([*self.columns.values()], self.offsets, rows)
        return Lists(offsets, dict(zip(self.columns, taken, strict=True)))


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets with their particles packed; p4 in GeV.

    ``event`` numbers the event of each jet, ``p4`` is the sum of its particles. Jet ``b`` owns the
    rows ``offsets[b]:offsets[b + 1]`` of ``particles``, which are in order of falling pT. What else
    is known is in ``columns`` (of the particles), ``jet_columns`` and ``lists`` (of other objects
    in the jets, by their name).
    """

    event: Int64[np.ndarray, " jets"]
    p4: Float64[np.ndarray, "jets 4"]
    offsets: Int64[np.ndarray, " jets_and_one"]
    particles: Float64[np.ndarray, "particles 4"]
    columns: Mapping[str, Shaped[np.ndarray, " particles"]] = field(default_factory=dict)
    jet_columns: Mapping[str, Shaped[np.ndarray, " jets"]] = field(default_factory=dict)
    lists: Mapping[str, Lists] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.event)

    @property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of particles of each jet."""
        return np.diff(self.offsets)

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> Jets:
        """Return the jets at ``rows``, in that order."""
        offsets, (particles, *taken) = take_packed(
            [self.particles, *self.columns.values()], self.offsets, rows
        )
        return Jets(
            self.event[rows],
            self.p4[rows],
            offsets,
            particles,
            dict(zip(self.columns, taken, strict=True)),
            {name: column[rows] for name, column in self.jet_columns.items()},
            {name: own.take(rows) for name, own in self.lists.items()},
        )

    def truncate(self, num_particles: int) -> Jets:
        """Return the jets with at most so many particles, those of the highest pT."""
        rank = np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], self.lengths)
        kept = rank < num_particles
        return replace(
            self,
            offsets=offsets_of(np.minimum(self.lengths, num_particles)),
            particles=self.particles[kept],
            columns={name: column[kept] for name, column in self.columns.items()},
        )

    def with_columns(self, **jet_columns: Shaped[np.ndarray, " jets"]) -> Jets:
        """Return the jets with more known of each."""
        return replace(self, jet_columns={**self.jet_columns, **jet_columns})


def join(parts: Sequence[Jets]) -> Jets:
    """Return the jets of all parts, at least one, one after the other."""
    return Jets(
        event=np.concatenate([part.event for part in parts]),
        p4=np.concatenate([part.p4 for part in parts]),
        offsets=offsets_of(np.concatenate([part.lengths for part in parts])),
        particles=np.concatenate([part.particles for part in parts]),
        columns=_joined([part.columns for part in parts]),
        jet_columns=_joined([part.jet_columns for part in parts]),
        lists={
            name: _joined_lists([part.lists[name] for part in parts]) for name in parts[0].lists
        },
    )


def _joined_lists(parts: Sequence[Lists]) -> Lists:
    offsets = offsets_of(np.concatenate([part.lengths for part in parts]))
    return Lists(offsets, _joined([part.columns for part in parts]))


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
