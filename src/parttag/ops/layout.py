"""Where particles and pairs of a batch lie: index tensors, made from the lengths alone.

Particles are packed as in ``JetBatch``. Pairs are packed likewise: those with i ≥ j of the first
jet, then of the second, and so on, each jet's in the order (0, 0), (1, 0), (1, 1), (2, 0), …

For attention, jets are put into groups of similar length and padded within a group only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

# A group is closed when one more jet would raise the share of padding in its pairs above this.
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


class JetLayout:
    """Where particles and pairs of jets lie, on the device that uses it.

    Nothing is made before it is asked for: kernels that read packed jets need only ``offsets`` and
    ``pair_offsets``. Cells are counted through all groups, one after the other. ``uses_kernels``
    says which implementation of attention takes the jets.
    """

    def __init__(
        self,
        lengths: Int64[np.ndarray, " jets"],
        device: torch.device | str = "cpu",
        *,
        uses_kernels: bool = False,
    ) -> None:
        self.lengths = lengths
        self.device = torch.device(device)
        self.uses_kernels = uses_kernels
        self.num_rows = int(lengths.sum())
        self.num_pairs = int((lengths * (lengths + 1) // 2).sum())

    @property
    def num_jets(self) -> int:
        """Number of jets in the batch."""
        return len(self.lengths)

    @property
    def max_length(self) -> int:
        """Number of particles of the longest jet."""
        return int(self.lengths.max(initial=0))

    @cached_property
    def offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Jet b owns particle rows ``offsets[b]:offsets[b + 1]``."""
        return self._move(_ends(self.lengths))

    @cached_property
    def pair_offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Jet b owns pairs ``pair_offsets[b]:pair_offsets[b + 1]``."""
        return self._move(_ends(self.lengths * (self.lengths + 1) // 2))

    @cached_property
    def jet_of_particle(self) -> Int64[Tensor, " particles"]:
        """The jet that each particle row belongs to."""
        jets = torch.arange(self.num_jets, device=self.device)
        counts = self.offsets.diff()
        return torch.repeat_interleave(jets, counts, output_size=self.num_rows)

    @cached_property
    def diagonal(self) -> Int64[Tensor, " particles"]:
        """The pair that each particle makes with itself."""
        # Particle i of a jet has i + 1 pairs, (i, 0) to (i, i): its diagonal pair is its last one.
        return self._num_partners.cumsum(0) - 1

    @cached_property
    def first(self) -> Int64[Tensor, " pairs"]:
        """The particle row i of each pair i ≥ j."""
        rows = torch.arange(self.num_rows, device=self.device)
        return torch.repeat_interleave(rows, self._num_partners, output_size=self.num_pairs)

    @cached_property
    def second(self) -> Int64[Tensor, " pairs"]:
        """The particle row j of each pair i ≥ j."""
        rows = torch.arange(self.num_rows, device=self.device)
        pairs = torch.arange(self.num_pairs, device=self.device)
        return pairs + (rows - self.diagonal)[self.first]

    @property
    def _num_partners(self) -> Int64[Tensor, " particles"]:
        rows = torch.arange(self.num_rows, device=self.device)
        return rows - self.offsets[self.jet_of_particle] + 1

    @property
    def groups(self) -> tuple[Group, ...]:
        """Jets of similar length, the longest first; jets without particles are in none."""
        return self._padded[0]

    @property
    def slot_rows(self) -> Int64[Tensor, " slots"]:
        """The particle that fills each padded slot."""
        return self._padded[1]

    @property
    def row_slots(self) -> Int64[Tensor, " particles"]:
        """The padded slot of each particle."""
        return self._padded[2]

    @property
    def pair_cells(self) -> Int64[Tensor, "2 pairs"]:
        """The two cells of each pair, (i, j) and (j, i)."""
        return self._padded[3]

    @cached_property
    def _padded(self) -> tuple[tuple[Group, ...], Tensor, Tensor, Tensor]:
        """Put jets into groups, slots and cells: on the host, where their lengths are."""
        lengths = self.lengths
        row_start, pair_start = _ends(lengths)[:-1], _ends(lengths * (lengths + 1) // 2)[:-1]
        groups: list[Group] = []
        slot_rows: list[np.ndarray] = []
        row_slots = np.empty(self.num_rows, dtype=np.int64)
        query_cells = np.empty(self.num_rows, dtype=np.int64)  # each particle's first, as query
        slots = cells = 0
        for jets in similar_lengths(lengths):
            length = int(lengths[jets[0]])
            steps = np.arange(length)
            is_real = steps < lengths[jets, None]
            rows = row_start[jets, None] + steps
            own_slots = np.flatnonzero(is_real)
            row_slots[rows[is_real]] = slots + own_slots
            query_cells[rows[is_real]] = cells + own_slots * length
            low, high = np.minimum(steps[:, None], steps), np.maximum(steps[:, None], steps)
            pairs = pair_start[jets, None, None] + (high * (high + 1) // 2 + low)
            slot_rows.append(np.minimum(rows, self.num_rows - 1).ravel())
            groups.append(
                Group(
                    num_jets=len(jets),
                    length=length,
                    slots=slice(slots, slots + rows.size),
                    cell_pairs=self._move(np.minimum(pairs, self.num_pairs - 1).ravel()),
                    key_is_padding=self._move(~is_real),
                )
            )
            slots += rows.size
            cells += pairs.size

        place = np.arange(self.num_rows) - np.repeat(row_start, lengths)
        first, second = self.first.cpu().numpy(), self.second.cpu().numpy()
        pair_cells = np.stack(
            [query_cells[first] + place[second], query_cells[second] + place[first]]
        )
        return (
            tuple(groups),
            self._move(np.concatenate([np.empty(0, dtype=np.int64), *slot_rows])),
            self._move(row_slots),
            self._move(pair_cells),
        )

    def _move(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)


def _ends(counts: Int64[np.ndarray, " jets"]) -> Int64[np.ndarray, " jets_and_one"]:
    """Return 0 and the running sums."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def similar_lengths(
    lengths: Int64[np.ndarray, " jets"], max_padding: float = _MAX_PADDING
) -> Iterator[Int64[np.ndarray, " group"]]:
    """Yield groups of jets, longest jets first; jets without particles are in none.

    Padded to its longest jet, a group's pairs are padding to the share ``max_padding`` at most.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    start, cells = 0, 0
    for stop, jet in enumerate(order):
        cells += int(lengths[jet]) ** 2
        padded = (stop + 1 - start) * int(lengths[order[start]]) ** 2
        if cells < (1 - max_padding) * padded:
            yield order[start:stop]
            start, cells = stop, int(lengths[jet]) ** 2
    if start < len(order):
        yield order[start:]
