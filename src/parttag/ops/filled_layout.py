"""Places of particles and pairs of jets whose lengths only the device knows.

All sizes are bounds, so that a CUDA graph can hold what is computed: rows and pairs beyond the last
are there, and mean nothing. See ``parttag.jets.filled``.
"""

from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from parttag.jets.filled import FilledBatch
from parttag.ops.layout import MATRIX_COLUMNS, AttentionPath, Group, JetLayout


class FilledLayout(JetLayout):
    """As ``JetLayout``, made from the offsets on the device.

    In plain torch all jets are one group, padded to the longest that there may be.
    """

    def __init__(self, batch: FilledBatch, path: AttentionPath = "torch") -> None:
        super().__init__(batch.lengths, batch.device, path=path)
        self.sizes = batch.sizes
        self.num_rows, self.num_pairs = batch.sizes.particles, batch.sizes.pairs
        self._offsets = batch.offsets

    @property
    def bucket(self) -> int:
        """As many rows as there are: the batch has been filled up."""
        return self.num_rows

    @property
    def num_matrix_cells(self) -> int:
        """Cells of the matrices of all jets, at most."""
        return 2 * self.num_pairs + MATRIX_COLUMNS * self.num_rows

    @property
    def offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Jet b owns particle rows ``offsets[b]:offsets[b + 1]``."""
        return self._offsets

    @cached_property
    def _lengths(self) -> Int64[Tensor, " jets"]:
        return self.offsets.diff()

    @cached_property
    def pair_offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Jet b owns pairs ``pair_offsets[b]:pair_offsets[b + 1]``."""
        return _offsets_of(self._lengths * (self._lengths + 1) // 2)

    @cached_property
    def matrix_offsets(self) -> Int64[Tensor, " jets_and_one"]:
        """Cells of jet b's matrix, if all are laid out one after the other."""
        rows = torch.div(self._lengths + MATRIX_COLUMNS - 1, MATRIX_COLUMNS, rounding_mode="floor")
        return _offsets_of(self._lengths * rows * MATRIX_COLUMNS)

    @cached_property
    def is_particle(self) -> Bool[Tensor, " rows"]:
        """Whether a row is one of a particle."""
        return self._rows < self.offsets[-1]

    @cached_property
    def num_real_pairs(self) -> Int64[Tensor, "1"]:
        """How many of the pairs there are, in memory of its own, aligned as kernels have it."""
        return self.pair_offsets[-1:].clone()

    @cached_property
    def _is_pair(self) -> Bool[Tensor, " pairs"]:
        return self._pairs < self.pair_offsets[-1]

    @cached_property
    def _rows(self) -> Int64[Tensor, " rows"]:
        return torch.arange(self.num_rows, device=self.device)

    @cached_property
    def _pairs(self) -> Int64[Tensor, " pairs"]:
        return torch.arange(self.num_pairs, device=self.device)

    @cached_property
    def jet_of_particle(self) -> Int64[Tensor, " rows"]:
        """The jet that each row belongs to; of rows beyond the last, the last one."""
        jets = torch.searchsorted(self.offsets[1:], self._rows, right=True)
        return jets.clamp(max=self.num_jets - 1)

    @cached_property
    def _num_partners(self) -> Int64[Tensor, " rows"]:
        partners = self._rows - self.offsets.index_select(0, self.jet_of_particle) + 1
        return torch.where(self.is_particle, partners, 0)

    @cached_property
    def diagonal(self) -> Int64[Tensor, " rows"]:
        """The pair that each particle makes with itself; beyond the last, some particle's."""
        return torch.where(self.is_particle, self._num_partners.cumsum(0) - 1, 0)

    @cached_property
    def first(self) -> Int64[Tensor, " pairs"]:
        """The row i of each pair i ≥ j; beyond the last pair, the first row."""
        rows = torch.searchsorted(self._num_partners.cumsum(0), self._pairs, right=True)
        return torch.where(self._is_pair, rows, 0)

    @cached_property
    def second(self) -> Int64[Tensor, " pairs"]:
        """The row j of each pair i ≥ j; beyond the last pair, the first row."""
        shift = (self._rows - self.diagonal).index_select(0, self.first)
        return torch.where(self._is_pair, self._pairs + shift, 0)

    @cached_property
    def _padded(self) -> tuple[tuple[Group, ...], Tensor, Tensor]:
        longest, jets = self.sizes.longest, self.num_jets
        steps = torch.arange(longest, device=self.device)
        is_padding = steps >= self._lengths[:, None]
        start = self.offsets[:-1, None]
        rows = torch.where(is_padding, start, start + steps).clamp(max=self.num_rows - 1)
        # A jet without particles has a key to look at, too: what comes of it is never used.
        key_is_padding = is_padding & (steps > 0)
        group = Group(jets, longest, slice(0, jets * longest), key_is_padding)
        jet = self.jet_of_particle
        slots = jet * longest + self._rows - self.offsets.index_select(0, jet)
        return (group,), rows.flatten(), torch.where(self.is_particle, slots, 0)

    @cached_property
    def cell_pairs(self) -> tuple[Int64[Tensor, " _cells"], ...]:
        """The pair that fills each cell; some pair or other in padded ones."""
        steps = torch.arange(self.sizes.longest, device=self.device)
        low, high = torch.minimum(steps[:, None], steps), torch.maximum(steps[:, None], steps)
        place = high * (high + 1) // 2 + low
        pairs = self.pair_offsets[:-1, None, None] + place
        return (pairs.clamp(max=self.num_pairs - 1).flatten(),)

    def slot_gradient(
        self, gradient: Float[Tensor, "rows heads width"]
    ) -> Float[Tensor, "slots heads width"]:
        """Return the gradient of each padded slot: zero where the slot is padding."""
        longest = self.sizes.longest
        steps = torch.arange(longest, device=self.device)
        is_padding = (steps >= self._lengths[:, None]).flatten()
        slots = gradient.index_select(0, self.slot_rows)
        return slots.masked_fill_(is_padding[:, None, None], 0.0)

    def clear_beyond(self, rows: Shaped[Tensor, "rows ..."]) -> None:
        """Set rows beyond the last particle to zero."""
        beyond = ~self.is_particle
        rows.masked_fill_(beyond.view(-1, *[1] * (rows.ndim - 1)), 0.0)

    def clear_beyond_pairs(self, values: Shaped[Tensor, "channels pairs"]) -> None:
        """Set pairs beyond the last to zero."""
        values.masked_fill_(~self._is_pair, 0.0)


def _offsets_of(lengths: Int64[Tensor, " jets"]) -> Int64[Tensor, " jets_and_one"]:
    offsets = lengths.new_zeros(len(lengths) + 1)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return offsets
