"""A codebook that learns by gradients, as the published tokenizers' does (vqtorch).

- The codes are those of a table under one affine transform for all, (1 + λs)·c + λb with λ = 2: by
  it they follow vectors that move together faster than each on its own.
- Forwards each vector becomes its nearest code. Backwards its gradient passes to the vector, and ν
  times it, ν = 2, to the code.
- The loss draws vectors to their codes with 1 − β and codes to their vectors with β = 0.9; here in
  units of the former, so that a weight of 1 is the published 10.
- The first training batch sets the table by k-means. Every ten batches, codes that no vector has
  chosen since are put on random vectors of the batch.

References
----------
arXiv:2305.08842; the settings are those of the configurations of arXiv:2401.13537 and
arXiv:2403.05618.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from parttag.models.layers.vector_quantizer import Quantized, VectorQuantizer

_RATE = 2.0
_NU = 2.0
_BETA = 0.9


class GradientQuantizer(VectorQuantizer):
    """A codebook that learns by gradients; see the module's documentation."""

    replace_every = 10
    scale: Tensor
    bias: Tensor

    def __init__(self, num_codes: int, width: int) -> None:
        super().__init__(num_codes, width)
        codebook = self.codebook
        for name in ("codebook", "sizes", "sums"):
            delattr(self, name)
        self.codebook = nn.Parameter(codebook)
        self.scale = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def table(self) -> Float[Tensor, "codes width"]:
        """Return the vectors of all codes, the affine transform included."""
        return self.codebook * (1 + _RATE * self.scale) + _RATE * self.bias

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Quantized:
        """Return the codes of the vectors; in training, gradients go to the codebook too."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(self.codebook.dtype)
            learns = self.training and torch.is_grad_enabled()
            if learns:
                self._initialize(vectors.detach())
            codes = self.nearest(vectors)
            chosen = self.table()[codes]
            if learns:
                self._count(vectors.detach(), codes)
            values = vectors + (chosen - vectors).detach() + _NU * (chosen - chosen.detach())
            pulls = [(vectors - chosen.detach()).square(), (vectors.detach() - chosen).square()]
            loss = pulls[0] + _BETA / (1 - _BETA) * pulls[1]
            return Quantized(values, codes, loss.mean(dim=1))

    @torch.no_grad()
    def raw_labels(self, codes: Int64[Tensor, " vectors"]) -> Int64[Tensor, " vectors"]:
        """Return, in place of each code, the entry of the table nearest to its vector.

        The affine transform, which a code's vector has and the entries do not, is left out of the
        comparison: so are the labels of the published masked particle modelling made.
        """
        vectors = self.table()
        distances = torch.cdist(vectors.double(), self.codebook.double())
        return distances.argmin(dim=1)[codes]

    @torch.no_grad()
    def _count(
        self, vectors: Float[Tensor, "vectors width"], codes: Int64[Tensor, " vectors"]
    ) -> None:
        """Count which codes are used, and put those that are not on vectors."""
        self.uses += self._sums(vectors, codes)[0]
        self.num_batches += 1
        if self.num_batches % self.replace_every == 0:
            self._replace(vectors)

    def _begin(self, counts: Float[Tensor, " codes"]) -> None:
        """Keep no running means."""

    @torch.no_grad()
    def _put(self, is_new: Tensor, vectors: Float[Tensor, "codes width"]) -> None:
        """Make codes stand for these vectors."""
        entries = (vectors - _RATE * self.bias) / (1 + _RATE * self.scale)
        self.codebook.copy_(torch.where(is_new[:, None], entries, self.codebook))
