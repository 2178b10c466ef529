"""Vectors to the nearest of a codebook, which follows the vectors: the middle of a VQ-VAE.

- Forwards each vector becomes its nearest code; backwards its gradient passes as if nothing had
  happened (straight-through).
- The loss draws vectors to their codes (commitment). Codes are not moved by gradients: each is the
  running mean of the vectors that chose it.
- The first training batch sets the codebook by k-means. Every twenty batches, codes that no vector
  has chosen since are put on random vectors of the batch.

The published tokenizers use vqtorch, whose codebook learns by gradients, with one shift and scale
for all codes that learns faster: that is ``gradient_quantizer.py``. Running means need neither, and
no learning rate. The published loss with β = 0.9 draws vectors with 1 − β = 0.1 of its weight; the
other 0.9, which move the codes, are what the running means do here.

With several ranks sums are taken over all of them and random vectors are the first rank's, so that
all hold the same codebook.

References
----------
arXiv:1711.00937, with the running means of its appendix A.1; arXiv:2305.08842 (vqtorch).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.ops.collectives import from_first_rank, sum_over_ranks

_DECAY = 0.99
_REPLACE_EVERY = 20
_KMEANS_STEPS = 10
# Added to the number of vectors of a code, so that one that nobody chooses divides by no zero.
_SMOOTHING = 1e-5
# Distances that are in memory at a time: 64 MB.
_MAX_DISTANCES = 1 << 24


class Quantized(NamedTuple):
    """What the quantizer makes of vectors."""

    values: Float[Tensor, "vectors width"]
    """The codes chosen; their gradient is that of the vectors."""
    codes: Int64[Tensor, " vectors"]
    """Their numbers."""
    commitment: Float[Tensor, " vectors"]
    """Mean squared difference of each vector to its code, which pulls the vector only."""


class VectorQuantizer(nn.Module):
    """A codebook; see the module's documentation.

    Everything that decides what it does next is in its state: a continued training goes on exactly.
    """

    codebook: Tensor
    sizes: Tensor
    sums: Tensor
    uses: Tensor
    is_initialized: Tensor
    replace_every: int = _REPLACE_EVERY

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codebook", torch.randn(num_codes, width))
        # Running number of vectors a batch that choose each code, their running sum, and how many
        # have chosen it since codes were last replaced.
        self.register_buffer("sizes", torch.zeros(num_codes))
        self.register_buffer("sums", torch.zeros(num_codes, width))
        self.register_buffer("uses", torch.zeros(num_codes))
        self.register_buffer("is_initialized", torch.tensor(False))
        self.num_batches = 0
        # As a device knows it only at the price of waiting for it.
        self._is_initialized: bool | None = None
        self.register_load_state_dict_post_hook(lambda module, _: module.forget())

    def forget(self) -> None:
        """Ask the state again whether the codebook is initialized: it has just been loaded."""
        self._is_initialized = None

    def get_extra_state(self) -> Tensor:
        """Return the number of training batches seen."""
        return torch.tensor(self.num_batches)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of training batches seen."""
        self.num_batches = int(state)

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Quantized:
        """Return the codes of the vectors; in training, move the codebook afterwards."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(self.codebook.dtype)
            learns = self.training and torch.is_grad_enabled()
            if learns:
                self._initialize(vectors.detach())
            codes = self.nearest(vectors)
            chosen = self.codebook[codes]
            if learns:
                self._follow(vectors.detach(), codes)
            values = vectors + (chosen - vectors).detach()
            return Quantized(values, codes, (vectors - chosen).square().mean(dim=1))

    def table(self) -> Float[Tensor, "codes width"]:
        """Return the vectors of all codes."""
        return self.codebook

    @torch.no_grad()
    def nearest(self, vectors: Float[Tensor, "vectors width"]) -> Int64[Tensor, " vectors"]:
        """Return the number of the nearest code of each vector."""
        rows = max(_MAX_DISTANCES // len(self.codebook), 1)
        table = self.table()
        half = 0.5 * table.square().sum(dim=1)
        parts = [
            torch.addmm(half, part, table.t(), alpha=-1).argmin(dim=1)
            for part in vectors.split(rows)
        ]
        return torch.cat(parts)

    # ------------------------------------------------------------------------- the codebook learns

    @torch.no_grad()
    def _initialize(self, vectors: Float[Tensor, "vectors width"]) -> None:
        """Set the codebook by k-means, unless it is set already or there is no vector."""
        if self._is_initialized is None:
            self._is_initialized = bool(self.is_initialized)
        if self._is_initialized:
            return
        drawn, has_vectors = self._draw(vectors)
        if not has_vectors.item():
            return
        self.codebook.copy_(drawn)
        for _ in range(_KMEANS_STEPS):
            counts, sums = self._sums(vectors, self.nearest(vectors))
            means = sums / counts.clamp(min=1)[:, None]
            self.codebook.copy_(torch.where(counts[:, None] > 0, means, self.codebook))
        self._begin(counts)
        self.is_initialized.fill_(True)
        self._is_initialized = True

    def _begin(self, counts: Float[Tensor, " codes"]) -> None:
        """Start the running means from the clusters of the first batch."""
        self.sizes.copy_(counts.clamp(min=1))
        self.sums.copy_(self.codebook * self.sizes[:, None])

    @torch.no_grad()
    def _follow(
        self, vectors: Float[Tensor, "vectors width"], codes: Int64[Tensor, " vectors"]
    ) -> None:
        """Move each code towards the mean of the vectors that chose it."""
        counts, sums = self._sums(vectors, codes)
        self.sizes.lerp_(counts, 1 - _DECAY)
        self.sums.lerp_(sums, 1 - _DECAY)
        self.uses += counts
        self.num_batches += 1
        if self.num_batches % self.replace_every == 0:
            self._replace(vectors)
        self.codebook.copy_(self.sums / (self.sizes + _SMOOTHING)[:, None])

    def _replace(self, vectors: Float[Tensor, "vectors width"]) -> None:
        """Put codes that nobody has chosen on random vectors, each as if chosen once."""
        drawn, has_vectors = self._draw(vectors)
        self._put((self.uses == 0) & has_vectors, drawn)
        self.uses.zero_()

    def _put(self, is_new: Tensor, vectors: Float[Tensor, "codes width"]) -> None:
        """Make codes stand for these vectors."""
        self.sizes.copy_(torch.where(is_new, 1.0, self.sizes))
        self.sums.copy_(torch.where(is_new[:, None], vectors, self.sums))

    def _draw(self, vectors: Float[Tensor, "vectors width"]) -> tuple[Tensor, Tensor]:
        """Return as many random vectors of the first rank as there are codes, and if it has any."""
        number, num_codes = len(vectors), len(self.codebook)
        if number >= num_codes:
            rows = torch.randperm(number)[:num_codes]
        else:
            rows = torch.randint(max(number, 1), (num_codes,))
        table = vectors if number else torch.zeros_like(self.codebook[:1])
        drawn = table[rows.to(vectors.device, non_blocking=True)]
        has_vectors = drawn.new_full((num_codes, 1), float(number > 0))
        both = from_first_rank(torch.cat([drawn, has_vectors], dim=1))
        return both[:, :-1], both[0, -1] > 0

    def _sums(
        self, vectors: Float[Tensor, "vectors width"], codes: Int64[Tensor, " vectors"]
    ) -> tuple[Tensor, Tensor]:
        """Return number and sum of the vectors of each code, over all ranks."""
        ones = F.pad(vectors, (0, 1), value=1.0)
        total = ones.new_zeros(len(self.codebook), ones.shape[1]).index_add_(0, codes, ones)
        total = sum_over_ranks(total)
        return total[:, -1], total[:, :-1]
