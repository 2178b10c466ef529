"""The two halves of OmniJet-α's tokenizer as its authors' code has them (arXiv:2403.05618).

- One linear layer from the inputs to the width, and one at the end (``to_latent``, ``to_features``
  of the tokenizer): no dense networks, and no norm after the last layer.
- Layer: x + LN(linear(attention(LN x))); then that + linear(dropout(SiLU(linear(LN of it)))).

The weight of the first LN and the last linear layer begin at zero, so that a fresh layer adds
nothing but the LN's bias of what has no spread.
"""

from jaxtyping import Float
from torch import Tensor, nn

from parttag.ops.attention import attend
from parttag.ops.layout import JetLayout


class OmniJetLayer(nn.Module):
    """Attention among the particles of each jet, its norm after the output projection."""

    def __init__(self, width: int, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.shape = (3, num_heads, width // num_heads)
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.out_norm = nn.LayerNorm(width)
        last = nn.Linear(hidden, width)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout), last
        )
        nn.init.zeros_(self.attention_norm.weight)
        nn.init.xavier_uniform_(self.qkv.weight)
        for zero in (self.qkv.bias, self.out.bias, last.weight, last.bias):
            nn.init.zeros_(zero)

    def forward(
        self, particles: Float[Tensor, "particles width"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after attention among those of their jet."""
        heads = self.qkv(self.attention_norm(particles)).unflatten(1, self.shape)
        attended = attend(heads, None, layout, self.dropout if self.training else 0.0)
        particles = particles + self.out_norm(self.out(attended.flatten(1)))
        output: Tensor = particles + self.dense(particles)
        return output


class OmniJetCoder(nn.Module):
    """A linear layer and layers of attention; see the module."""

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
        self.embedding = nn.Linear(num_inputs, width)
        self.layers = nn.ModuleList(
            OmniJetLayer(width, hidden, num_heads, dropout) for _ in range(num_layers)
        )

    def forward(
        self, inputs: Float[Tensor, "particles inputs"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after the last layer."""
        particles: Tensor = self.embedding(inputs)
        for layer in self.layers:
            particles = layer(particles, layout)
        return particles
