"""Dropout on a CPU, where torch's own takes one random number of 64 bits an element, on one thread.

That was a fifth of a Particle Transformer's training step. Here an element takes 16 bits of a
faster generator, which is seeded by torch's: a run is still determined by ``torch.manual_seed``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEVELS = 1 << 16
_LARGEST_SEED = 2**63 - 1


def dropped_share(probability: float) -> float:
    """Return the probability with which ``draw_kept`` drops: the nearest multiple of 1/65536."""
    return min(round(probability * _LEVELS), _LEVELS - 1) / _LEVELS


def draw_kept(
    shape: Sequence[int], probability: float, device: torch.device
) -> UInt8[Tensor, "..."]:
    """Return 0 for each element that is dropped and 1 for each that is kept."""
    if device.type != "cpu":
        kept = torch.empty(*shape, dtype=torch.uint8, device=device)
        return kept.bernoulli_(1 - dropped_share(probability))
    count = math.prod(shape)
    generator = np.random.SFC64(int(torch.randint(_LARGEST_SEED, ()).item()))
    draws = generator.random_raw(math.ceil(count / 4)).view(np.uint16)[:count]
    is_kept = draws >= np.uint16(dropped_share(probability) * _LEVELS)
    # As bytes: torch takes five times as long to make numbers of booleans.
    return torch.from_numpy(is_kept.view(np.uint8)).view(*shape)


def drop(x: Float[Tensor, "*shape"], probability: float) -> Float[Tensor, "*shape"]:
    """Return x with elements set to zero with this probability, the others scaled up to match."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, probability)
    output: Tensor = _Drop.apply(x, probability)
    return output


class _Drop(torch.autograd.Function):
    """Keeps one byte an element for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, probability: float) -> Tensor:
        kept = draw_kept(x.shape, probability, x.device)
        ctx.save_for_backward(kept)
        ctx.scale = 1 / (1 - dropped_share(probability))
        return kept.to(x.dtype).mul_(x).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return kept.to(grad.dtype).mul_(grad).mul_(ctx.scale), None
