"""Where particles and pairs of a batch lie: index tensors, made once a batch from the lengths.

Particles are packed as in ``JetBatch``. Pairs are packed likewise: those with i ≥ j of the first
jet, then of the second, and so on, each jet's in the order (0, 0), (1, 0), (1, 1), (2, 0), …

For attention, jets are put into groups of similar length and padded within a group only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

# A group is closed when one more jet would raise the share of padding in its attention above this.
_MAX_PADDING = 0.15


@dataclass(frozen=True, eq=False)
class Group:
    """Jets of similar length, padded to the longest of them.

    ``slots`` is the group's range in the padded particles of all groups, (jets, length) flattened;
    ``cell_pairs`` tells which pair fills each cell (jet, query, key). Padded slots and cells point
    at some real particle or pair: what they hold is finite and never used.
    """

    num_jets: int
    length: int
    slots: slice
    cell_pairs: Int64[Tensor, " cells"]
    key_is_padding: Bool[Tensor, "jets length"]


@dataclass(frozen=True, eq=False)
class JetLayout:
    """Index tensors of one batch, on the device that uses them.

    ``first`` and ``second`` are the particle rows i ≥ j of each pair and ``diagonal`` the pairs
    i = j. ``slot_rows`` tells which particle fills each padded slot, ``row_slots`` which slot each
    particle has. With the cells of all groups one after the other, ``pair_cells`` holds the two
    cells, (i, j) and (j, i), of each pair.
    """

    lengths: Int64[np.ndarray, " jets"]
    groups: tuple[Group, ...]
    first: Int64[Tensor, " pairs"]
    second: Int64[Tensor, " pairs"]
    diagonal: Int64[Tensor, " particles"]
    jet_of_particle: Int64[Tensor, " particles"]
    slot_rows: Int64[Tensor, " slots"]
    row_slots: Int64[Tensor, " particles"]
    pair_cells: Int64[Tensor, "2 pairs"]

    @property
    def num_jets(self) -> int:
        """Number of jets in the batch."""
        return len(self.lengths)

    @property
    def num_pairs(self) -> int:
        """Number of pairs i ≥ j in the batch."""
        return len(self.first)


def make_layout(
    lengths: Int64[np.ndarray, " jets"], device: torch.device | str = "cpu"
) -> JetLayout:
    """Return the layout of jets with these numbers of particles."""

    def on_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device, non_blocking=True)

    row_start = np.cumsum(lengths) - lengths
    pair_counts = lengths * (lengths + 1) // 2
    pair_start = np.cumsum(pair_counts) - pair_counts
    num_rows, num_pairs = int(lengths.sum()), int(pair_counts.sum())

    # Particle i of a jet has i + 1 pairs, (i, 0) to (i, i): its diagonal pair is its last one.
    place = np.arange(num_rows) - np.repeat(row_start, lengths)
    diagonal = np.cumsum(place + 1) - 1
    first = np.repeat(np.arange(num_rows), place + 1)
    second = np.arange(num_pairs) + np.repeat(np.arange(num_rows) - diagonal, place + 1)

    groups: list[Group] = []
    slot_rows: list[np.ndarray] = []
    row_slots = np.empty(num_rows, dtype=np.int64)
    query_cells = np.empty(num_rows, dtype=np.int64)  # the first cell of each particle as query
    slots = cells = 0
    for jets in _similar_lengths(lengths):
        length = int(lengths[jets[0]])
        steps = np.arange(length)
        is_real = steps < lengths[jets, None]
        rows = row_start[jets, None] + steps
        own_slots = np.flatnonzero(is_real)
        row_slots[rows[is_real]] = slots + own_slots
        query_cells[rows[is_real]] = cells + own_slots * length
        low, high = np.minimum(steps[:, None], steps), np.maximum(steps[:, None], steps)
        pairs = pair_start[jets, None, None] + (high * (high + 1) // 2 + low)
        slot_rows.append(np.minimum(rows, num_rows - 1).ravel())
        groups.append(
            Group(
                num_jets=len(jets),
                length=length,
                slots=slice(slots, slots + rows.size),
                cell_pairs=on_device(np.minimum(pairs, num_pairs - 1).ravel()),
                key_is_padding=on_device(~is_real),
            )
        )
        slots += rows.size
        cells += pairs.size

    pair_cells = np.stack([query_cells[first] + place[second], query_cells[second] + place[first]])
    return JetLayout(
        lengths=lengths,
        groups=tuple(groups),
        first=on_device(first),
        second=on_device(second),
        diagonal=on_device(diagonal),
        jet_of_particle=on_device(np.repeat(np.arange(len(lengths)), lengths)),
        slot_rows=on_device(np.concatenate([np.empty(0, dtype=np.int64), *slot_rows])),
        row_slots=on_device(row_slots),
        pair_cells=on_device(pair_cells),
    )


def _similar_lengths(lengths: Int64[np.ndarray, " jets"]) -> Iterator[np.ndarray]:
    """Yield groups of jets, longest jets first; jets without particles are in none."""
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    start, cells = 0, 0
    for stop, jet in enumerate(order):
        cells += int(lengths[jet]) ** 2
        padded = (stop + 1 - start) * int(lengths[order[start]]) ** 2
        if cells < (1 - _MAX_PADDING) * padded:
            yield order[start:stop]
            start, cells = stop, int(lengths[jet]) ** 2
    if start < len(order):
        yield order[start:]
