"""Groups of jets of similar length, padded within a group only: for what needs a dense jet.

The particles of a batch are packed; ``spread`` lays them out group by group, ``gather`` packs what
was computed for them again. Neither ever waits for the device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from parttag.ops.layout import similar_lengths


@dataclass(frozen=True, eq=False)
class JetGroup:
    """Some jets of a batch, each with as many slots as the longest of them has particles.

    ``rows`` tells which particle fills a slot; that of a padded slot is some real one, whose value
    is finite and means nothing.
    """

    rows: Int64[Tensor, "jets length"]
    is_real: Bool[Tensor, "jets length"]


@dataclass(frozen=True, eq=False)
class JetGroups:
    """All jets of a batch that have particles, in groups, longest jets first.

    ``slots`` is the slot of each particle, counted through all groups.
    """

    groups: tuple[JetGroup, ...]
    slots: Int64[Tensor, " particles"]

    def spread(
        self, particles: Float[Tensor, "particles width"]
    ) -> tuple[Float[Tensor, "_jets _length width"], ...]:
        """Return the particles in the slots of each group; a padded slot holds some other one."""
        return tuple(
            particles.index_select(0, group.rows.flatten()).view(*group.rows.shape, -1)
            for group in self.groups
        )

    def gather(
        self, parts: tuple[Float[Tensor, "_jets _length width"], ...]
    ) -> Float[Tensor, "particles width"]:
        """Return what the slots of the groups hold for each particle."""
        return torch.cat([part.flatten(0, 1) for part in parts]).index_select(0, self.slots)


def make_groups(
    lengths: Int64[np.ndarray, " jets"], device: torch.device | str = "cpu"
) -> JetGroups:
    """Return the groups of jets with these numbers of particles."""
    num_particles = int(lengths.sum())
    start = np.cumsum(lengths) - lengths
    slots = np.empty(num_particles, dtype=np.int64)
    groups, num_slots = [], 0
    for jets in similar_lengths(lengths):
        steps = np.arange(lengths[jets[0]])
        rows = start[jets, None] + steps
        is_real = steps < lengths[jets, None]
        slots[rows[is_real]] = num_slots + np.flatnonzero(is_real)
        rows = np.where(is_real, rows, start[jets, None])
        groups.append(JetGroup(_to(rows, device), _to(is_real, device)))
        num_slots += rows.size
    return JetGroups(tuple(groups), _to(slots, device))


def _to(values: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)
