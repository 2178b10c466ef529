"""Places of a batch's particles and pairs: index tensors, made from the lengths alone.

Particles are packed as in ``JetBatch``. Pairs are packed likewise: those with i ≥ j of the first
jet, then of the second, and so on, each jet's in the order (0, 0), (1, 0), (1, 1), (2, 0), …

For attention, jets are put into groups of similar length and padded within a group only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from parttag.jets.packing import offsets_of

# A group is closed when one more jet would raise the share of padding in its pairs above this.
_MAX_PADDING = 0.15
# Or, on a CPU, above this number of cells: those of eight heads then fit a cache, which makes
# attention among 100 particles and more up to twice as fast.
_CELLS_IN_CACHE = 65_536
# On a CPU, oneDNN takes milliseconds to prepare for a matrix product of a size that is new to it.
_ROWS_IN_BUCKET = 128
_LEAST_ROWS = 1024  # fewer are not worth up to 127 more

MATRIX_COLUMNS = 8
"""The columns of ``JetLayout.matrix_offsets`` are a multiple of so many."""

AttentionPath = Literal["torch", "triton", "padded", "reference"]
"""Products of groups of jets, Triton's kernels, torch's own on padded jets, the definition."""


@dataclass(frozen=True, eq=False)
class Group:
    """Jets of similar length, padded to the longest of them.

    ``slots`` is the group's range in the padded particles of all groups, (jets, length) flattened.
    A padded slot points at a particle of the same jet: what it holds is finite and never used.
    """

    num_jets: int
    length: int
    slots: slice
    key_is_padding: Bool[Tensor, "jets length"]

    def of(self, slots: Shaped[Tensor, "slots ..."]) -> Shaped[Tensor, "jets length ..."]:
        """Return a view of these jets' part of the padded particles of all groups."""
        part: Tensor = slots[self.slots].unflatten(0, (self.num_jets, self.length))
        return part


class JetLayout:
    """Where particles and pairs of jets lie, on the device that uses it.

    Nothing is made before it is asked for: kernels that read packed jets need only ``offsets`` and
    ``pair_offsets``. Slots (jet, particle) and cells (jet, query, key) are counted through all
    groups, one after the other.

    Parameters
    ----------
    lengths
        Number of particles of each jet.
    device
        Where the index tensors are made.
    path
        Which implementation of attention takes the jets.
    max_padding
        The share of padding in the cells of a group is at most this.
    """

    def __init__(
        self,
        lengths: Int64[np.ndarray, " jets"],
        device: torch.device | str = "cpu",
        *,
        path: AttentionPath = "torch",
        max_padding: float = _MAX_PADDING,
    ) -> None:
        self.lengths = lengths
        self.max_padding = 1.0 if path == "padded" else max_padding
        self.device = torch.device(device)
        self.path = path
        self.num_rows = int(lengths.sum())
        self.num_pairs = int((lengths * (lengths + 1) // 2).sum())

    @property
    def uses_kernels(self) -> bool:
        """Whether Triton's kernels take the jets."""
        return self.path == "triton"

    @property
    def bucket(self) -> int:
        """Rows that particles may be padded to with anything, so that few sizes come up.

        As many as there are particles, unless they are many and a CPU's ``attend`` takes them.
        """
        if not self._is_of_cpu or self.num_rows < _LEAST_ROWS:
            return self.num_rows
        return -(-self.num_rows // _ROWS_IN_BUCKET) * _ROWS_IN_BUCKET

    @property
    def _is_of_cpu(self) -> bool:
        """Whether products of groups of jets on a CPU take the jets."""
        return self.path == "torch" and self.device.type == "cpu"

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
        return self._move(offsets_of(self.lengths))

    @cached_property
    def pair_offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Jet b owns pairs ``pair_offsets[b]:pair_offsets[b + 1]``."""
        return self._move(offsets_of(self.lengths * (self.lengths + 1) // 2))

    @cached_property
    def matrix_offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Cells of jet b's matrix, if all are laid out one after the other.

        A matrix of n rows has n columns and up to seven more, so that every row is aligned.
        """
        return self._move(offsets_of(self._matrix_sizes))

    @property
    def num_matrix_cells(self) -> int:
        """Cells of the matrices of all jets."""
        return int(self._matrix_sizes.sum())

    @property
    def _matrix_sizes(self) -> Int64[np.ndarray, " jets"]:
        columns = -(-self.lengths // MATRIX_COLUMNS) * MATRIX_COLUMNS
        sizes: np.ndarray = self.lengths * columns
        return sizes

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
        return pairs + (rows - self.diagonal).index_select(0, self.first)

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
    def is_particle(self) -> Bool[Tensor, " rows"] | None:
        """Whether a row is one of a particle; ``None`` where all are."""
        return None

    @property
    def num_real_pairs(self) -> Int64[Tensor, "1"] | None:
        """How many of the pairs there are; ``None`` where all are."""
        return None

    def slot_gradient(
        self, gradient: Float[Tensor, "rows heads width"]
    ) -> Float[Tensor, "slots heads width"]:
        """Return the gradient of each padded slot: zero where the slot is padding."""
        slots = gradient.new_zeros(len(self.slot_rows), *gradient.shape[1:])
        return slots.index_copy_(0, self.row_slots, gradient[: self.num_rows])

    def clear_beyond(self, rows: Shaped[Tensor, "rows ..."]) -> None:
        """Set rows beyond the last particle to zero."""
        rows[self.num_rows :] = 0.0

    def clear_beyond_pairs(self, values: Shaped[Tensor, "channels pairs"]) -> None:
        """Set pairs beyond the last to zero; here there are none."""

    def spread(
        self, particles: Float[Tensor, "particles width"]
    ) -> list[Float[Tensor, "_jets _length width"]]:
        """Return the particles in the slots of each group; a padded slot holds some other one."""
        slots = particles.index_select(0, self.slot_rows)
        return [group.of(slots) for group in self.groups]

    def gather(
        self, parts: Sequence[Float[Tensor, "_jets _length width"]]
    ) -> Float[Tensor, "particles width"]:
        """Return what the slots of the groups, of which there must be one, hold for particles."""
        return torch.cat([part.flatten(0, 1) for part in parts]).index_select(0, self.row_slots)

    @cached_property
    def _padded(self) -> tuple[tuple[Group, ...], Tensor, Tensor]:
        """Put jets into groups and slots: on the host, where their lengths are."""
        groups: list[Group] = []
        slot_rows = [np.empty(0, dtype=np.int64)]
        row_slots = np.empty(self.num_rows, dtype=np.int64)
        start = 0
        first_rows = offsets_of(self.lengths)
        for jets in self._jets:
            rows, is_real = padded_rows(first_rows[jets], self.lengths[jets])
            row_slots[rows[is_real]] = start + np.flatnonzero(is_real)
            slot_rows.append(rows.ravel())
            slots = slice(start, start + rows.size)
            groups.append(Group(len(jets), rows.shape[1], slots, self._move(~is_real)))
            start += rows.size
        return tuple(groups), self._move(np.concatenate(slot_rows)), self._move(row_slots)

    @cached_property
    def cell_pairs(self) -> tuple[Int64[Tensor, " _cells"], ...]:
        """For each group, the pair that fills each cell; some pair or other in padded ones."""
        first_pairs = offsets_of(self.lengths * (self.lengths + 1) // 2)
        parts = []
        for jets in self._jets:
            steps = np.arange(self.lengths[jets[0]])
            low, high = np.minimum(steps[:, None], steps), np.maximum(steps[:, None], steps)
            pairs = first_pairs[jets, None, None] + (high * (high + 1) // 2 + low)
            parts.append(self._move(np.minimum(pairs, self.num_pairs - 1).ravel()))
        return tuple(parts)

    @cached_property
    def pair_cells(self) -> Int64[Tensor, "2 pairs"]:
        """The two cells of each pair, (i, j) and (j, i)."""
        cells = [self.offsets.new_empty(0)]
        start = 0
        for group in self.groups:
            slots = torch.arange(group.key_is_padding.numel(), device=self.device)
            cells.append(start + group.length * slots)
            start += group.length * len(slots)
        of_query = torch.cat(cells)[self.row_slots]  # the first of each particle, as query
        place = (self._num_partners - 1).clamp_(min=0)
        # Of many numbers, ``index_select`` takes a third of the time of indexing.
        return torch.stack(
            [
                of_query.index_select(0, query) + place.index_select(0, key)
                for query, key in ((self.first, self.second), (self.second, self.first))
            ]
        )

    @cached_property
    def _jets(self) -> tuple[Int64[np.ndarray, " _jets"], ...]:
        """The jets of each group, on the host."""
        max_cells = _CELLS_IN_CACHE if self._is_of_cpu else None
        return tuple(similar_lengths(self.lengths, None, self.max_padding, max_cells))

    def _move(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)


def similar_lengths(
    lengths: Int64[np.ndarray, " jets"],
    others: Int64[np.ndarray, " jets"] | None = None,
    max_padding: float = _MAX_PADDING,
    max_cells: int | None = None,
) -> Iterator[Int64[np.ndarray, " group"]]:
    """Yield groups of jets, longest jets first; jets without particles are in none.

    A jet's cells are its pairs of particles. Padded to the longest lengths in it, a group's cells
    are padding to the share ``max_padding`` at most, and no more than ``max_cells``, unless they
    are those of one jet.

    Parameters
    ----------
    lengths
        Number of particles of each jet.
    others
        If pairs are of one of these and one of others, the number of others of each jet.
    """
    limit = np.inf if max_cells is None else max_cells
    if others is None:
        others, order = lengths, np.argsort(-lengths, kind="stable")
    else:
        order = np.lexsort((-others, -lengths))
    order = order[(lengths[order] > 0) & (others[order] > 0)]
    start = cells = longest = longest_other = 0
    sizes = zip(lengths[order].tolist(), others[order].tolist(), strict=True)
    for stop, (own, other) in enumerate(sizes):
        if stop == start:
            longest = own
        longest_other = other if other > longest_other else longest_other
        cells += own * other
        padded = (stop + 1 - start) * longest * longest_other
        is_too_large = padded > limit and stop > start
        if is_too_large or cells < (1 - max_padding) * padded:
            yield order[start:stop]
            start, cells, longest, longest_other = stop, own * other, own, other
    if start < len(order):
        yield order[start:]


def padded_rows(
    starts: Int64[np.ndarray, " jets"], lengths: Int64[np.ndarray, " jets"]
) -> tuple[Int64[np.ndarray, "jets slots"], Bool[np.ndarray, "jets slots"]]:
    """Return the row that fills each slot of some jets, and where the slot is not padding.

    A padded slot gets the jet's first row.
    """
    steps = np.arange(lengths.max())
    is_real = steps < lengths[:, None]
    first = starts[:, None]
    return np.where(is_real, first + steps, first), is_real
