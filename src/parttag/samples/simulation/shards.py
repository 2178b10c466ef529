"""A simulation in shards, one a file: the sample and its number decide what each holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parttag.data.writers.jetclass import JetClassTable, write_jets
from parttag.jets.clustered import Jets, join
from parttag.samples.simulation.generator import Generator
from parttag.samples.simulation.packages import package_versions
from parttag.samples.simulation.sample import SEEDS_PER_SIMULATION, Channel, Sample

# Every channel of every shard has a seed of its own.
_CHANNELS_PER_SHARD = 2


@dataclass(frozen=True)
class Shard:
    """One file of a simulation: its number, its path under the directory, its jets by channel."""

    number: int
    path: str
    jets: Mapping[str, int]


def plan_shards(sample: Sample) -> tuple[Shard, ...]:
    """Return the shards of a simulation: those of ``train/``, then ``val/``, then ``test/``."""
    num_jets = sample.options.num_jets
    held_out = num_jets // 10
    sizes = {"train": num_jets - 2 * held_out, "val": held_out, "test": held_out}
    shards: list[Shard] = []
    for split, size in sizes.items():
        written: Counter[str] = Counter()
        for plan in sample.files(size):
            path = f"{split}/{plan.stem}_{written[plan.stem]:03d}.root"
            written[plan.stem] += 1
            shards.append(Shard(len(shards), path, plan.jets))
    return tuple(shards)


def describe(sample: Sample) -> dict[str, Any]:
    """Return everything that decides which jets a simulation gives, for its provenance."""
    return {
        "statement": sample.statement,
        "sample": sample.name,
        "format": sample.file_format,
        "options": sample.options.model_dump(),
        "pythia": {channel.name: list(channel.settings) for channel in sample.channels},
        **sample.details(),
        "versions": package_versions(),
    }


def make_shard(sample: Sample, out: Path, shard: Shard) -> None:
    """Simulate the jets of a shard and write its file under ``out``.

    Raises
    ------
    InputError
        If the optional packages are missing, or the file cannot be written.
    """
    parts: list[Jets] = []
    num_events, seeds = {}, {}
    for place, (name, count) in enumerate(shard.jets.items()):
        own = shard.number * _CHANNELS_PER_SHARD + place
        seeds[name] = 1 + sample.options.seed * SEEDS_PER_SIMULATION + own
        jets, num_events[name] = make_jets(sample, sample.channel(name), count, seeds[name])
        parts.append(jets)
    of_jet = np.repeat([sample.channel(name).label for name in shard.jets], [*shard.jets.values()])
    order = np.random.default_rng((sample.options.seed, shard.number)).permutation(len(of_jet))
    labels = {label: of_jet[order] == label for label in sample.labels}
    table = JetClassTable.of_clustered(join(parts).take(order), labels)
    provenance = {
        **describe(sample),
        "shard": {
            "path": shard.path,
            "seeds": seeds,
            "events": num_events,
            "jets": dict(shard.jets),
            "sha256": table.sha256(),
        },
    }
    write_jets(out / shard.path, table, provenance)


def make_jets(sample: Sample, channel: Channel, num_jets: int, seed: int) -> tuple[Jets, int]:
    """Return so many jets of a channel, and the number of events it took: vetoed ones not counted.

    The jets depend on the sample and Pythia's ``seed`` (1 to ``MAX_SEED``).

    Raises
    ------
    InputError
        If the optional packages are missing.
    """
    generator = Generator(
        channel.settings, seed, channel.parent, sample.veto(), origins=sample.origins
    )
    rng = np.random.default_rng(seed)
    parts: list[Jets] = []
    num_events = 0
    while sum(map(len, parts)) < num_jets or not parts:
        batch = generator.next_batch(sample.options.batch_size)
        num_events += batch.num_events
        parts.append(sample.find_jets(batch, channel, rng))
    return join(parts).take(np.arange(num_jets)), num_events
