"""One query a jet that looks at itself and at the jet's particles: a program a jet and head."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.kernels.device_guard import on_its_device
from parttag.ops.layout import JetLayout


@on_its_device
def class_attend(
    query: Float[Tensor, "jets heads width"],
    own: Float[Tensor, "jets 2 heads width"],
    particles: Float[Tensor, "particles 2 heads width"],
    layout: JetLayout,
) -> Float[Tensor, "jets heads width"]:
    """Return one attention output a jet, over the query's own key and value and the particles'.

    Parameters
    ----------
    query
        One query a jet; the width is a power of two.
    own, particles
        Keys and values of the query's own token, and of every particle.
    layout
        Where the batch's particles are.
    """
    output: Tensor = _ClassAttend.apply(
        query.contiguous(), own.contiguous(), particles.contiguous(), layout
    )
    return output


class _ClassAttend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, own: Tensor, particles: Tensor, layout: JetLayout
    ) -> Tensor:
        jets, heads, width = query.shape
        output = torch.empty_like(query)
        log_sum = query.new_empty(jets, heads, dtype=torch.float32)
        ctx.save_for_backward(query, own, particles, output, log_sum)
        ctx.layout = layout
        ctx.constants = {
            "heads": heads,
            "width": width,
            "block": _block(layout),
            "num_warps": 1,
            "enable_fp_fusion": True,
        }
        if jets:
            _forward[(jets, heads)](
                query, own, particles, output, log_sum, layout.offsets, width**-0.5, **ctx.constants
            )
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, own, particles, output, log_sum = ctx.saved_tensors
        jets, heads, width = query.shape
        grads = [torch.empty_like(tensor) for tensor in (query, own, particles)]
        if ctx.layout.is_particle is not None:  # rows beyond the last particle are not written
            grads[2].zero_()
        if jets:
            _backward[(jets, heads)](
                query,
                own,
                particles,
                output,
                log_sum,
                grad.contiguous(),
                *grads,
                ctx.layout.offsets,
                width**-0.5,
                **ctx.constants,
            )
        return *grads, None


def _block(layout: JetLayout) -> int:
    return min(max(int(triton.next_power_of_2(layout.max_length)), 16), 32)


# ---------------------------------------------------------------------------------------- kernels


@triton.jit
@no_type_check
def _forward(
    query,
    own,
    particles,
    output,
    log_sum,
    offsets,
    scale,
    heads: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
):
    jet, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    columns = tl.arange(0, width)
    start = tl.load(offsets + jet)
    n = (tl.load(offsets + jet + 1) - start).to(tl.int32)
    at = (jet * heads + head) * width + columns
    q = tl.load(query + at).to(tl.float32) * scale
    own_key = (jet * 2 * heads + head) * width + columns
    top = tl.sum(q * tl.load(own + own_key).to(tl.float32))
    total = tl.full([], 1.0, tl.float32)
    summed = tl.load(own + own_key + heads * width).to(tl.float32)
    for begin in range(0, n, block):
        slots = begin + tl.arange(0, block)
        real = (slots < n)[:, None]
        keys = ((start + slots) * 2 * heads + head)[:, None] * width + columns[None, :]
        k = tl.load(particles + keys, mask=real, other=0.0).to(tl.float32)
        v = tl.load(particles + keys + heads * width, mask=real, other=0.0).to(tl.float32)
        logits = tl.where(slots < n, tl.sum(k * q[None, :], axis=1), float("-inf"))
        new_top = tl.maximum(top, tl.max(logits))
        weights = tl.exp(logits - new_top)
        shrink = tl.exp(top - new_top)
        total = total * shrink + tl.sum(weights)
        summed = summed * shrink + tl.sum(weights[:, None] * v, axis=0)
        top = new_top
    tl.store(output + at, summed / total)
    tl.store(log_sum + jet * heads + head, top + tl.log(total))


@triton.jit
@no_type_check
def _backward(
    query,
    own,
    particles,
    output,
    log_sum,
    grad,
    grad_query,
    grad_own,
    grad_particles,
    offsets,
    scale,
    heads: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
):
    jet, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    columns = tl.arange(0, width)
    start = tl.load(offsets + jet)
    n = (tl.load(offsets + jet + 1) - start).to(tl.int32)
    at = (jet * heads + head) * width + columns
    q = tl.load(query + at).to(tl.float32)
    do = tl.load(grad + at).to(tl.float32)
    inner = tl.sum(do * tl.load(output + at).to(tl.float32))
    log_total = tl.load(log_sum + jet * heads + head)
    own_key = (jet * 2 * heads + head) * width + columns
    k_own = tl.load(own + own_key).to(tl.float32)
    weight = tl.exp(tl.sum(q * k_own) * scale - log_total)
    v_own = tl.load(own + own_key + heads * width).to(tl.float32)
    grad_logit = weight * (tl.sum(do * v_own) - inner) * scale
    tl.store(grad_own + own_key, grad_logit * q)
    tl.store(grad_own + own_key + heads * width, weight * do)
    dq = grad_logit * k_own
    for begin in range(0, n, block):
        slots = begin + tl.arange(0, block)
        real = (slots < n)[:, None]
        keys = ((start + slots) * 2 * heads + head)[:, None] * width + columns[None, :]
        k = tl.load(particles + keys, mask=real, other=0.0).to(tl.float32)
        v = tl.load(particles + keys + heads * width, mask=real, other=0.0).to(tl.float32)
        logits = tl.sum(k * q[None, :], axis=1) * scale
        weights = tl.where(slots < n, tl.exp(logits - log_total), 0.0)
        grad_logits = weights * (tl.sum(v * do[None, :], axis=1) - inner) * scale
        tl.store(grad_particles + keys, grad_logits[:, None] * q[None, :], mask=real)
        tl.store(grad_particles + keys + heads * width, weights[:, None] * do[None, :], mask=real)
        dq += tl.sum(grad_logits[:, None] * k, axis=0)
    tl.store(grad_query + at, dq)
