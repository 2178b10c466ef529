"""The blocks of a Particle Transformer: those of the particles, and those of the class token.

What they compute is said in ``particle_transformer.py``.
"""

from collections import OrderedDict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from parttag.models.layers.basic import Dropout, Linear, LinearGELU
from parttag.ops.attention import (
    AttentionBias,
    attend,
    class_attend,
    class_attention_weights,
)
from parttag.ops.layout import JetLayout
from parttag.ops.linear import linear


class Block(nn.Module):
    """What both blocks share: NormFormer's extra norms and scales (arXiv:2110.09456)."""

    def __init__(self, width: int, num_heads: int, feedforward_factor: int, dropout: float) -> None:
        super().__init__()
        hidden = feedforward_factor * width
        self.num_heads = num_heads
        self.attention_dropout = dropout
        self.dropout = Dropout(dropout)
        self.pre_attention_norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.head_scale = nn.Parameter(torch.ones(num_heads))
        self.post_attention_norm = nn.LayerNorm(width)
        feedforward = OrderedDict(
            norm=nn.LayerNorm(width),
            hidden=LinearGELU(width, hidden),
            hidden_dropout=Dropout(dropout),
            hidden_norm=nn.LayerNorm(hidden),
            out=Linear(hidden, width),
            dropout=Dropout(dropout),
        )
        self.feedforward = nn.Sequential(feedforward)
        self.residual_scale = nn.Parameter(torch.ones(width))
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile what comes before attention and after it: each looks at one row at a time."""
        for name in ("_inputs", "_residuals"):
            setattr(self, name, torch.compile(getattr(self, name), *args, **options))

    def _heads(self, x: Tensor, kinds: int) -> Float[Tensor, "rows kinds heads head_width"]:
        head_width = x.shape[1] // (kinds * self.num_heads)
        return x.view(len(x), kinds, self.num_heads, head_width)

    def _residuals(
        self, x: Float[Tensor, "rows width"], attended: Float[Tensor, "rows heads head_width"]
    ) -> Float[Tensor, "rows width"]:
        # A head's scale multiplies what the output layer makes of it, so it may go into the layer.
        scale = self.head_scale.repeat_interleave(attended.shape[2])
        out = linear(attended.flatten(1), self.out.weight * scale[:, None], self.out.bias * scale)
        x = x + self.dropout(self.post_attention_norm(out))
        residual: Tensor = torch.addcmul(self.feedforward(x), self.residual_scale, x)
        return residual


class ParticleBlock(Block):
    """A block of the particles: biased attention among those of each jet."""

    def forward(
        self,
        particles: Float[Tensor, "particles width"],
        bias: AttentionBias | None,
        layout: JetLayout,
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after biased attention among those of their jet."""
        dropout = self.attention_dropout if self.training else 0.0
        attended = attend(self._inputs(particles), bias, layout, dropout)
        return self._residuals(particles, attended)

    def _inputs(
        self, particles: Float[Tensor, "particles width"]
    ) -> Float[Tensor, "particles 3 heads head_width"]:
        return self._heads(self.qkv(self.pre_attention_norm(particles)), 3)


class ClassBlock(Block):
    """A block of the class tokens: each attends to itself and to the particles of its jet."""

    def forward(
        self,
        tokens: Float[Tensor, "jets width"],
        particles: Float[Tensor, "particles width"],
        layout: JetLayout,
    ) -> Float[Tensor, "jets width"]:
        """Return the class tokens; as queries they are not normalized."""
        return self._residuals(tokens, class_attend(*self._inputs(tokens, particles), layout))

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
        bias_q, bias_kv = self.qkv.bias.split([width, 2 * width])
        query = linear(tokens, weight_q, bias_q)
        own, others = (
            linear(self.pre_attention_norm(x), weight_kv, bias_kv) for x in (tokens, particles)
        )
        return self._heads(query, 1)[:, 0], self._heads(own, 2), self._heads(others, 2)
