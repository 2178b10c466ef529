"""A simulation in shards, one a file: options and its number decide what each holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from parttag.data.simulation import toptagging
from parttag.data.simulation.card import ATLAS_3_3_2
from parttag.data.simulation.clustering import Jets, join, leading_jets
from parttag.data.simulation.detector import detect
from parttag.data.simulation.files import LabeledJets, write_jets
from parttag.data.simulation.generator import MAX_SEED, Generator
from parttag.data.simulation.packages import package_versions
from parttag.data.simulation.veto import SCALE, leading_jet_veto
from parttag.options import Options

STATEMENT = (
    "top-landscape-like, simulated with parttag; scores are not comparable with published tables"
)

# Every shard and label has a seed of Pythia's of its own, so that no two simulations with
# different seeds share an event.
_SEEDS_PER_SIMULATION = 100_000


class SimulationOptions(Options):
    """What decides which jets a simulation gives."""

    num_jets: int = Field(ge=20, le=10_000_000)
    """Jets of all files together, half of them top jets: 80 % for training, 10 % each for
    validation and test."""
    seed: int = Field(0, ge=0, lt=MAX_SEED // _SEEDS_PER_SIMULATION)
    """Simulations with different seeds share no event."""
    windows: toptagging.Windows = "study"
    """Ranges of pTHat: ``demonstration`` is three times as fast and truncates the sample."""
    mpi: bool = False
    """Multiparton interactions: with them jets are like the reference jets, but take three times as
    long."""
    jets_per_file: int = Field(2000, ge=1000)
    """Jets of a file at most; also what an interruption can cost."""
    batch_size: int = Field(100, ge=1)
    """Events made at a time; the detector's random numbers depend on it."""


@dataclass(frozen=True)
class Shard:
    """One file of a simulation: its number, its path under the directory, its number of jets."""

    number: int
    path: str
    num_jets: int


def plan_shards(options: SimulationOptions) -> tuple[Shard, ...]:
    """Return the shards of a simulation: those of ``train/``, then ``val/``, then ``test/``."""
    held_out = options.num_jets // 10
    sizes = {"train": options.num_jets - 2 * held_out, "val": held_out, "test": held_out}
    shards: list[Shard] = []
    for split, num_jets in sizes.items():
        num_files = -(-num_jets // options.jets_per_file)
        for i in range(num_files):
            # Files of nearly equal size: the first ones take what is left over.
            size = num_jets // num_files + (i < num_jets % num_files)
            shards.append(Shard(len(shards), f"{split}/toptagging_{i:03d}.root", size))
    return tuple(shards)


def describe(options: SimulationOptions) -> dict[str, Any]:
    """Return everything that decides which jets a simulation gives, for its provenance."""
    return {
        "statement": STATEMENT,
        "sample": "toptagging",
        "options": options.model_dump(),
        "pythia": {
            label: list(toptagging.pythia_settings(label, options.windows, options.mpi))
            for label in toptagging.LABELS
        },
        "veto": {"scale": SCALE, "leading_jet_pt": list(toptagging.PARTON_WINDOW)},
        "detector": ATLAS_3_3_2.name,
        "selection": toptagging.SELECTION,
        "versions": package_versions(),
    }


def make_shard(options: SimulationOptions, out: Path, shard: Shard) -> None:
    """Simulate the jets of a shard and write its file under ``out``.

    Raises
    ------
    InputError
        If the optional packages are missing, or the file cannot be written.
    """
    num_top = (shard.num_jets + 1) // 2
    counts = dict(zip(toptagging.LABELS, (num_top, shard.num_jets - num_top), strict=True))
    parts, num_events = [], {}
    for label, count in counts.items():
        jets, num_events[label] = make_jets(options, label, count, _seed(options, shard, label))
        parts.append(jets)
    is_top = np.arange(shard.num_jets) < num_top
    order = np.random.default_rng((options.seed, shard.number)).permutation(shard.num_jets)
    labels = dict(zip(toptagging.LABELS, (is_top[order], ~is_top[order]), strict=True))
    labeled = LabeledJets(join(parts).take(order), labels)
    provenance = {
        **describe(options),
        "shard": {
            "path": shard.path,
            "seeds": {label: _seed(options, shard, label) for label in counts},
            "events": num_events,
            "jets": counts,
            "sha256": labeled.sha256(),
        },
    }
    write_jets(out / shard.path, labeled, provenance)


def make_jets(options: SimulationOptions, label: str, num_jets: int, seed: int) -> tuple[Jets, int]:
    """Return so many jets of a label, and the number of events it took: vetoed ones not counted.

    The jets depend on the options and Pythia's ``seed`` (1 to ``MAX_SEED``).

    Raises
    ------
    InputError
        If the optional packages are missing.
    """
    generator = Generator(
        toptagging.pythia_settings(label, options.windows, options.mpi),
        seed,
        leading_jet_veto(toptagging.RADIUS, *toptagging.PARTON_WINDOW),
    )
    rng = np.random.default_rng(seed)
    parts: list[Jets] = []
    num_events = 0
    while sum(map(len, parts)) < num_jets:
        batch = generator.next_batch(options.batch_size)
        num_events += batch.num_events
        flow = detect(batch.stable, ATLAS_3_3_2, rng)
        jets = leading_jets(flow, batch.num_events, toptagging.RADIUS, toptagging.MIN_PT)
        parts.append(toptagging.select(jets, batch.tops, label))
    return join(parts).take(np.arange(num_jets)), num_events


def _seed(options: SimulationOptions, shard: Shard, label: str) -> int:
    own = shard.number * len(toptagging.LABELS) + toptagging.LABELS.index(label)
    return 1 + options.seed * _SEEDS_PER_SIMULATION + own
