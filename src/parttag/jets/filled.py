"""Batches of sizes that repeat: filled up with empty jets and with rows that mean nothing.

What is captured as a CUDA graph runs again and again at the same places in memory, on jets whose
number of particles only the device then knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from parttag.jets.arrays import PER_JET, PER_PARTICLE
from parttag.jets.batch import JetBatch

# Sizes grow by an eighth: so much of a batch is filling at most, and few sizes come up.
_STEPS_OF_AN_OCTAVE = 6
_LEAST = 64


class BatchSizes(NamedTuple):
    """What a filled batch has room for."""

    jets: int
    particles: int
    pairs: int
    longest: int
    """Particles of a jet, at most."""


def sizes_for(batch: JetBatch, jets: int, longest: int) -> BatchSizes:
    """Return the sizes that a batch is filled up to; batches of like size have the same.

    Parameters
    ----------
    jets
        How many jets the fullest batch has.
    longest
        How many particles a jet has at most.
    """
    lengths = batch.lengths
    pairs = int((lengths * (lengths + 1) // 2).sum())
    return BatchSizes(jets, _room_for(batch.num_particles), _room_for(pairs), longest)


def _room_for(number: int) -> int:
    steps = math.ceil(_STEPS_OF_AN_OCTAVE * math.log2(max(number, _LEAST)) - 1e-9)
    return max(number, -(-math.ceil(2 ** (steps / _STEPS_OF_AN_OCTAVE)) // _LEAST) * _LEAST)


@dataclass(frozen=True, eq=False)
class FilledBatch(JetBatch):
    """A batch with room for as many jets, particles and pairs as ``sizes`` says.

    How much of it is used, only the device knows: ``offsets[-1]`` rows, and ``num_jets`` jets.
    Jets that fill it up have neither particles nor weight. ``lengths`` are no lengths but bounds:
    as many particles as a jet may have.
    """

    sizes: BatchSizes = field(kw_only=True)
    num_jets: Int64[Tensor, ""] = field(kw_only=True)

    @property
    def num_particles(self) -> int:
        """Number of rows: how many of them are particles, only the device knows."""
        return self.sizes.particles

    @property
    def max_length(self) -> int:
        """Number of particles that a jet has at most."""
        return self.sizes.longest

    @property
    def has_filling(self) -> bool:
        """Whether there are rows beyond the last particle, or may be: yes."""
        return True

    @property
    def is_particle(self) -> Bool[Tensor, " rows"]:
        """Whether a row is one of a particle."""
        rows: Tensor = torch.arange(self.sizes.particles, device=self.device)
        return rows < self.offsets[-1]

    def take_in(self, batch: JetBatch) -> None:
        """Hold another batch instead, which must fit; whatever was beyond it may stay."""
        number, jets = batch.num_particles, len(batch)
        for name in batch.held(PER_PARTICLE):
            getattr(self, name)[:number].copy_(getattr(batch, name)[:number], non_blocking=True)
        for name in batch.held(PER_JET):
            getattr(self, name)[:jets].copy_(getattr(batch, name), non_blocking=True)
        self.offsets[: jets + 1].copy_(batch.offsets, non_blocking=True)
        self.offsets[jets + 1 :].fill_(number)
        self.jet_weights[jets:].fill_(0.0)
        self.labels[jets:].fill_(0)
        self.num_jets.fill_(jets)


def room_like(batch: JetBatch, sizes: BatchSizes) -> FilledBatch:
    """Return an empty batch of these sizes on the device of another, with its columns."""
    rows = dict.fromkeys(PER_PARTICLE, sizes.particles) | dict.fromkeys(PER_JET, sizes.jets)
    rows["offsets"] = sizes.jets + 1
    values: dict[str, Any] = {f.name: getattr(batch, f.name) for f in fields(JetBatch)}
    for name, number in rows.items():
        values[name] = values[name].new_zeros((number, *values[name].shape[1:]))
    values["lengths"] = np.full(sizes.jets, sizes.longest)
    counted = torch.zeros((), dtype=torch.int64, device=batch.device)
    return FilledBatch(**values, sizes=sizes, num_jets=counted)


def filled(batch: JetBatch, sizes: BatchSizes) -> FilledBatch:
    """Return a batch filled up to these sizes."""
    room = room_like(batch, sizes)
    room.take_in(batch)
    return replace(room)
