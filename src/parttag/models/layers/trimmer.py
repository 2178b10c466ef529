"""Drops random particles of the longest jets of a batch, in training."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.packing import places


def random_subset(lengths: Int64[np.ndarray, " jets"], most: int) -> Bool[np.ndarray, " particles"]:
    """Return which particles a jet keeps: all, or ``most`` of them at random if it has more.

    Only jets that are cut are shuffled: a tenth of a batch, where sorting all of it took most of
    the host's time in a step.
    """
    order = torch.rand(int(lengths.sum())).numpy()
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

    def get_extra_state(self) -> Tensor:
        """Return the number of calls, so that a continued run goes on as it would have."""
        return torch.tensor(self.num_calls)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of calls."""
        self.num_calls = int(state)

    def forward(self, batch: JetBatch) -> JetBatch:
        """Return the batch, in training with fewer particles."""
        if not self.training:
            return batch
        self.num_calls += 1
        if self.num_calls <= self._WARM_UP_CALLS or len(batch) == 0:  # a rank's, of a small batch
            return batch
        low, high = self._QUANTILES
        quantile = min(low + (high - low) * torch.rand(()).item(), 1.0)
        longest = max(int(np.quantile(batch.lengths, quantile)), 1)
        if batch.max_length <= longest:
            return batch
        return batch.keep_particles(random_subset(batch.lengths, longest))
