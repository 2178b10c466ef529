"""A Transformer encoder in the style of NormFormer, as masked particle modelling uses it.

- Layer: x + linear(LN(attention(LN x))), then x + dense(LN x); one more LN than usual, between the
  heads and their output projection.
- Dense network: linear → leaky ReLU (slope 0.1) → LN → linear.
- Encoder: dense network from the inputs to the width, layers, LN.

The last linear layer of either branch begins at zero, so that a fresh layer changes nothing.

References
----------
arXiv:2401.13537, and the authors' code where the paper leaves it open; arXiv:2110.09456.
"""

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor, nn

from parttag.ops.attention import attend
from parttag.ops.kernels import Kernels, choose_path
from parttag.ops.layout import JetLayout

_SLOPE = 0.1


def dense_network(
    width_in: int, hidden: int, width_out: int, *, zero: bool = False, norm: bool = True
) -> nn.Sequential:
    """Return linear → leaky ReLU → LN → linear, the last layer at zero or without LN if asked for.

    Without the norm something else stands in its place, so that names stay.
    """
    last = nn.Linear(hidden, width_out)
    if zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    middle = nn.LayerNorm(hidden) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(width_in, hidden), nn.LeakyReLU(_SLOPE), middle, last)


class NormFormerLayer(nn.Module):
    """Attention among the particles of each jet, then a dense network on each of them."""

    def __init__(self, width: int, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_width = width // num_heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.heads_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.dense_norm = nn.LayerNorm(width)
        self.dense = dense_network(width, hidden, width, zero=True)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, particles: Float[Tensor, "particles width"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after attention among those of their jet."""
        qkv = self.qkv(self.attention_norm(particles))
        heads = qkv.view(len(particles), 3, self.num_heads, self.head_width)
        attended = attend(heads, None, layout, self.dropout if self.training else 0.0)
        particles = particles + self.out(self.heads_norm(attended.flatten(1)))
        output: Tensor = particles + self.dense(self.dense_norm(particles))
        return output


class NormFormer(nn.Module):
    """Particles with some inputs to particles of the encoder's width; see the module."""

    def __init__(
        self,
        num_inputs: int,
        width: int,
        hidden: int,
        *,
        num_layers: int,
        num_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = dense_network(num_inputs, hidden, width)
        self.layers = nn.ModuleList(
            NormFormerLayer(width, hidden, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, inputs: Float[Tensor, "particles inputs"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return the normalized particles; without layers, each from its own inputs alone."""
        return self.run_layers(self.embedding(inputs), layout)

    def run_layers(
        self, particles: Float[Tensor, "particles width"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return embedded particles after all layers, normalized."""
        for layer in self.layers:
            particles = layer(particles, layout)
        normalized: Tensor = self.norm(particles)
        return normalized


def layout_for(
    lengths: Int64[np.ndarray, " jets"],
    values: Float[Tensor, "particles width"],
    head_width: int,
    kernels: Kernels,
) -> JetLayout:
    """Return the layout of jets whose particles are ``values``, for heads of this width."""
    longest = int(lengths.max(initial=0))
    path = choose_path(kernels, values.device, values.dtype, head_width, longest)
    return JetLayout(lengths, values.device, path=path)
