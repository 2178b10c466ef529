"""Drops random particles of the longest jets of a batch, in training."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.packing import places

Draw = Callable[[int], Float32[np.ndarray, " number"]]
"""Returns so many random numbers in [0, 1)."""


def _draw_by_torch(number: int) -> Float32[np.ndarray, " number"]:
    drawn: np.ndarray = torch.rand(number).numpy()
    return drawn


def random_subset(
    lengths: Int64[np.ndarray, " jets"], most: int, draw: Draw = _draw_by_torch
) -> Bool[np.ndarray, " particles"]:
    """Return which particles a jet keeps: all, or ``most`` of them at random if it has more.

    Only jets that are cut are shuffled: a tenth of a batch, where sorting all of it took most of
    the host's time in a step.
    """
    order = draw(int(lengths.sum()))
    is_cut = np.repeat(lengths > most, lengths)
    cut = np.flatnonzero(is_cut)
    long = lengths[lengths > most]
    shuffled = np.lexsort((order[cut], np.repeat(np.arange(len(long)), long)))
    keep = ~is_cut
    keep[cut[shuffled]] = places(long) < most
    return keep


class ParticleTrimmer(nn.Module):
    """Drops random particles of the longest jets of a training batch.

    After five calls, each batch is cut to the q-quantile of its multiplicities with q uniform in
    (0.9, 1.02), at most 1: jets that are longer keep a random subset of their particles.
    """

    _WARM_UP_CALLS = 5
    _QUANTILES = (0.9, 1.02)

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0
        self.is_done_before = False
        """Whether batches come with what is left of them, so that there is nothing to do."""

    def get_extra_state(self) -> Tensor:
        """Return the number of calls, so that a continued run goes on as it would have."""
        return torch.tensor(self.num_calls)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of calls."""
        self.num_calls = int(state)

    def forward(self, batch: JetBatch) -> JetBatch:
        """Return the batch, in training with fewer particles."""
        if not self.training or self.is_done_before:
            return batch
        self.num_calls += 1
        kept = self._kept(batch.lengths, self.num_calls, _draw_by_torch)
        return batch if kept is None else batch.keep_particles(kept)

    def kept(
        self, lengths: Int64[np.ndarray, " jets"], step: int, generator: np.random.Generator
    ) -> Bool[np.ndarray, " particles"] | None:
        """Return which particles of a training batch are kept; ``None`` if all are.

        For whoever prepares batches, in threads of its own, when ``is_done_before`` is set.

        Parameters
        ----------
        lengths
            Number of particles of each jet.
        step
            The number of the batch, from 0 on.
        generator
            What is drawn from.
        """
        return self._kept(lengths, step + 1, lambda number: generator.random(number, np.float32))

    def _kept(
        self, lengths: Int64[np.ndarray, " jets"], number: int, draw: Draw
    ) -> Bool[np.ndarray, " particles"] | None:
        if number <= self._WARM_UP_CALLS or len(lengths) == 0:  # a rank's, of a small batch
            return None
        low, high = self._QUANTILES
        quantile = min(low + (high - low) * float(draw(1)[0]), 1.0)
        longest = max(int(np.quantile(lengths, quantile)), 1)
        if lengths.max() <= longest:
            return None
        return random_subset(lengths, longest, draw)
