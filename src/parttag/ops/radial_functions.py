"""Mixtures of bell curves 1/(1 + c²s) of the invariants s of pairs, for the Lorentz Group Network.

Twenty curves a pair would be written and read back several times in plain torch. Here pairs pass
in chunks that fit the cache, and the curves are computed again on the way back.
``bell_mixture_reference`` is the definition.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Pairs in a chunk: with twenty curves in float32, 320 kB.
_CHUNK = 4096


def bell_mixture_reference(
    s: Float[Tensor, " pairs"],
    widths: Float[Tensor, " curves"],
    weight: Float[Tensor, "outputs curves_and_one"],
    bias: Float[Tensor, " outputs"],
) -> Float[Tensor, "outputs pairs"]:
    """Return Σₖ wₖ/(1 + cₖ²s) + w₀ + bias, and the bias alone where s = 0: the definition."""
    curves = 1 / (1 + widths.square()[:, None] * s)
    mixture = weight[:, :-1] @ curves + weight[:, -1:]
    return torch.where(s > 0, mixture, 0) + bias[:, None]


def bell_mixture(
    s: Float[Tensor, " pairs"],
    widths: Float[Tensor, " curves"],
    weight: Float[Tensor, "outputs curves_and_one"],
    bias: Float[Tensor, " outputs"],
) -> Float[Tensor, "outputs pairs"]:
    """Return Σₖ wₖ/(1 + cₖ²s) + w₀ + bias, and the bias alone where s = 0.

    Parameters
    ----------
    s
        Invariant of each pair, not negative; no gradient flows to it.
    widths
        The cₖ.
    weight
        The wₖ of each output, w₀ last.
    bias
        Added to every output.
    """
    output: Tensor = _BellMixture.apply(s.detach(), widths, weight, bias)
    return output


class _BellMixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor, widths: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(s, widths, weight)
        output = s.new_empty(len(bias), len(s))
        for chunk in _chunks(s):
            output[:, chunk] = torch.addmm(bias[:, None], weight, _curves(s[chunk], widths))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        s, widths, weight = ctx.saved_tensors
        grad_widths, grad_weight = torch.zeros_like(widths), torch.zeros_like(weight)
        for chunk in _chunks(s):
            curves, grad_out = _curves(s[chunk], widths), grad[:, chunk]
            grad_weight += grad_out @ curves.t()
            # The derivative of a curve by its c is −2 c s times its square.
            slopes = curves[:-1].square_().mul_(s[chunk])
            grad_widths += (slopes * (weight[:, :-1].t() @ grad_out)).sum(dim=1)
        return None, -2 * widths * grad_widths, grad_weight, grad.sum(dim=1)


def _curves(s: Tensor, widths: Tensor) -> Tensor:
    """Return the curves and a last row of ones; all are 0 where s = 0."""
    curves = s.new_ones(len(widths) + 1, len(s))
    torch.addcmul(curves[:-1], widths.square()[:, None], s, out=curves[:-1])
    curves[:-1].reciprocal_()
    return curves.mul_(s > 0)


def _chunks(s: Tensor) -> list[slice]:
    """Return the chunks of the pairs; on a GPU, whose caches hold none, all pairs are one."""
    size = _CHUNK if s.device.type == "cpu" else max(len(s), 1)
    return [slice(start, start + size) for start in range(0, len(s), size)]
