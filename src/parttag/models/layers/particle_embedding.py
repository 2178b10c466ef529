"""The network that makes of a particle's features a vector as wide as the blocks of attention."""

from itertools import pairwise

from jaxtyping import Bool, Float
from torch import Tensor, nn

from parttag.models.layers.basic import LinearGELU
from parttag.models.layers.batch_norm import PackedBatchNorm


class EmbeddingLayer(nn.Module):
    """A layer norm, a linear layer and a GELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width_in)
        self.linear = LinearGELU(width_in, width_out)

    def forward(self, x: Float[Tensor, "particles inputs"]) -> Float[Tensor, "particles outputs"]:
        """Return the next layer's particles."""
        embedded: Tensor = self.linear(self.norm(x))
        return embedded


class Embedding(nn.Module):
    """Features of particles, normalized over the batch, to the width of the blocks."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.input_norm = PackedBatchNorm(dims[0])
        self.layers = nn.ModuleList(EmbeddingLayer(*widths) for widths in pairwise(dims))

    def forward(
        self,
        features: Float[Tensor, "particles features"],
        is_particle: Bool[Tensor, " particles"] | None = None,
    ) -> Float[Tensor, "particles width"]:
        """Return the embedded particles; rows that are none have no part in the norm."""
        embedded: Tensor = self.input_norm.normalize(features, is_particle)
        for layer in self.layers:
            embedded = layer(embedded)
        return embedded
