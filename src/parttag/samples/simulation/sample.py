"""Simulated samples: their events, detector, choice of jets and files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from parttag.jets.clustered import Jets
from parttag.options import Options
from parttag.samples.simulation.generator import MAX_SEED, EventBatch

# Every file and kind of event has a seed of Pythia's of its own, so that no two simulations with
# different seeds share an event.
SEEDS_PER_SIMULATION = 100_000


class SimulationOptions(Options):
    """What decides which jets a simulation gives, whatever the sample."""

    num_jets: int = Field(ge=20, le=10_000_000)
    """Jets of all files together, the same number of each class: 80 % for training, 10 % each for
    validation and test."""
    seed: int = Field(0, ge=0, lt=MAX_SEED // SEEDS_PER_SIMULATION)
    """Simulations with different seeds share no event."""
    mpi: bool = False
    """Multiparton interactions: with them jets are like the reference jets, but take three to five
    times as long."""
    jets_per_file: int = Field(2000, ge=1000)
    """Jets of a file at most; also what an interruption can cost."""
    batch_size: int = Field(100, ge=1)
    """Events made at a time; the detector's random numbers depend on it."""


@dataclass(frozen=True)
class Channel:
    """One kind of event, and the label of the jets that are looked for in it.

    ``parent`` is the |PDG id| of the particle whose decay the jet must hold, if any.
    """

    name: str
    label: str
    settings: tuple[str, ...]
    parent: int | None = None


@dataclass(frozen=True)
class FilePlan:
    """A file to make: its name without number and ending, and its jets by name of channel."""

    stem: str
    jets: Mapping[str, int]


@dataclass(frozen=True)
class Sample(ABC):
    """A sample of simulated jets; everything that comes out follows from ``options``."""

    name: ClassVar[str]
    statement: ClassVar[str]
    """What must be said of the jets wherever they go."""
    labels: ClassVar[tuple[str, ...]]
    """The label branches of every file."""
    file_format: ClassVar[int] = 1
    """Raised whenever files get other branches, so that no directory holds two sorts of files."""
    origins: ClassVar[bool] = False
    """Whether its files say what particles come from."""
    options: SimulationOptions

    @property
    @abstractmethod
    def channels(self) -> tuple[Channel, ...]:
        """The kinds of event that the jets come from."""

    @abstractmethod
    def files(self, num_jets: int) -> Sequence[FilePlan]:
        """Return the files that ``num_jets`` jets of a split are written to."""

    @abstractmethod
    def find_jets(self, batch: EventBatch, channel: Channel, rng: np.random.Generator) -> Jets:
        """Return the jets that the detector sees in a batch and the selection takes."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """Return what else decides which jets come out: detector, selection and the like."""

    def veto(self) -> Any:
        """Return a user hook of Pythia's that gives up events early, if there is one."""
        return None

    def channel(self, name: str) -> Channel:
        """Return the channel of this name."""
        return next(channel for channel in self.channels if channel.name == name)


def nearly_equal(total: int, parts: int) -> list[int]:
    """Return sizes of parts that differ by one at most: the first ones take what is left over."""
    return [total // parts + (i < total % parts) for i in range(parts)]
