"""The blocks of weaver's Particle Transformer of versions 2 and 3.

- Block: x + dropout(attention(norm x)), then that + dropout(linear(dropout(SiLU(g) · h))) with g
  and h two linear layers of the norm of it (SwiGLU, arXiv:2002.05202). None of NormFormer's further
  norms and scales.
- Version 2 has layer norms and biases. Version 3 (``rms_norm``) has RMS norms without them: no
  linear layer of a block has a bias.
- Drop path: in training, both branches of a block are left out for some of the jets, and multiplied
  by 1/(1 − p) for the others (arXiv:1603.09382).

Our names beside weaver's: ``hidden`` is fc1, ``gate`` fc1_g, ``feedforward.out`` fc2.
"""

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from parttag.models.layers.basic import Dropout
from parttag.ops.attention import (
    AttentionBias,
    attend,
    class_attend,
    class_attention_weights,
)
from parttag.ops.layout import JetLayout


def make_norm(width: int, *, rms: bool) -> nn.Module:
    """Return a layer norm, or an RMS norm, which has no bias."""
    return nn.RMSNorm(width) if rms else nn.LayerNorm(width)


class SwiGLU(nn.Module):
    """A norm, and two linear layers of which one gates the other."""

    def __init__(self, width: int, hidden: int, dropout: float, *, rms_norm: bool) -> None:
        super().__init__()
        self.norm = make_norm(width, rms=rms_norm)
        self.hidden = nn.Linear(width, hidden, bias=not rms_norm)
        self.gate = nn.Linear(width, hidden, bias=not rms_norm)
        self.out = nn.Linear(hidden, width, bias=not rms_norm)
        self.hidden_dropout = Dropout(dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Return the rows after both layers."""
        normed = self.norm(x)
        hidden = F.silu(self.gate(normed)) * self.hidden(normed)
        output: Tensor = self.dropout(self.out(self.hidden_dropout(hidden)))
        return output


class SwiGLUBlock(nn.Module):
    """What both blocks share."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        feedforward_factor: int,
        dropout: float,
        *,
        drop_path: float = 0.0,
        rms_norm: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_dropout = dropout
        self.drop_path = drop_path
        self.dropout = Dropout(dropout)
        self.pre_attention_norm = make_norm(width, rms=rms_norm)
        self.qkv = nn.Linear(width, 3 * width, bias=not rms_norm)
        self.out = nn.Linear(width, width, bias=not rms_norm)
        self.feedforward = SwiGLU(width, feedforward_factor * width, dropout, rms_norm=rms_norm)
        nn.init.xavier_uniform_(self.qkv.weight)
        for layer in (self.qkv, self.out):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the network of each row; attention is written by hand for jets of any lengths."""
        self.feedforward.compile(*args, **options)

    def _heads(self, x: Tensor, kinds: int) -> Float[Tensor, "rows kinds heads head_width"]:
        head_width = x.shape[1] // (kinds * self.num_heads)
        return x.view(len(x), kinds, self.num_heads, head_width)

    def _residuals(
        self,
        x: Float[Tensor, "rows width"],
        attended: Float[Tensor, "rows heads head_width"],
        jet_of_row: Tensor | None,
        num_jets: int,
    ) -> Float[Tensor, "rows width"]:
        branch = self.dropout(self.out(attended.flatten(1)))
        x = x + self._path(branch, jet_of_row, num_jets)
        return x + self._path(self.feedforward(x), jet_of_row, num_jets)

    def _path(self, branch: Tensor, jet_of_row: Tensor | None, num_jets: int) -> Tensor:
        """Return a branch, in training without some of the jets."""
        if not self.training or self.drop_path == 0:
            return branch
        keep = 1 - self.drop_path
        scale = branch.new_empty(num_jets).bernoulli_(keep).div_(keep)
        if jet_of_row is not None:
            scale = scale[jet_of_row]
            # Rows beyond the last particle are of no jet.
            scale = F.pad(scale, (0, len(branch) - len(scale)))
        return branch * scale[:, None]


class SwiGLUParticleBlock(SwiGLUBlock):
    """A block of the particles: biased attention among those of each jet."""

    def forward(
        self,
        particles: Float[Tensor, "particles width"],
        bias: AttentionBias | None,
        layout: JetLayout,
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after biased attention among those of their jet."""
        dropout = self.attention_dropout if self.training else 0.0
        heads = self._heads(self.qkv(self.pre_attention_norm(particles)), 3)
        attended = attend(heads, bias, layout, dropout)
        return self._residuals(particles, attended, layout.jet_of_particle, layout.num_jets)


class SwiGLUClassBlock(SwiGLUBlock):
    """A block of the class tokens: each attends to itself and to the particles of its jet."""

    def forward(
        self,
        tokens: Float[Tensor, "jets width"],
        particles: Float[Tensor, "particles width"],
        layout: JetLayout,
    ) -> Float[Tensor, "jets width"]:
        """Return the class tokens; as queries they are not normalized."""
        attended = class_attend(*self._inputs(tokens, particles), layout)
        return self._residuals(tokens, attended, None, layout.num_jets)

    def attention(
        self, tokens: Tensor, particles: Tensor, layout: JetLayout
    ) -> Float[Tensor, "particles heads"]:
        """Return the weight that each particle has for its jet's token, in every head."""
        query, own, others = self._inputs(tokens, particles)
        return class_attention_weights(query, own, others, layout)

    def _inputs(self, tokens: Tensor, particles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries, and keys and values of tokens and particles."""
        width = tokens.shape[1]
        weight_q, weight_kv = self.qkv.weight.split([width, 2 * width])
        bias_q = bias_kv = None
        if self.qkv.bias is not None:
            bias_q, bias_kv = self.qkv.bias.split([width, 2 * width])
        query = self._heads(F.linear(tokens, weight_q, bias_q), 1)[:, 0]
        own, others = (
            self._heads(F.linear(self.pre_attention_norm(x), weight_kv, bias_kv), 2)
            for x in (tokens, particles)
        )
        return query, own, others
