"""Biased attention on packed jets, one program for a block of one jet's particles and one head.

The bias is read where the pair network wrote it, packed, one value for each pair i ≥ j: cell
(query, key) and cell (key, query) read the same number. The forward pass keeps the logarithm of
each softmax's denominator, from which the backward pass makes the weights again. On the way back a
program owns a block of particles I: it makes the gradients of their queries, keys and values and
of the pairs (I, J) with J ≤ I, so that nothing is added by two programs and the result does not
depend on their order.

The gradient of the bias is added up over the layers in one buffer; see ``SharedBias``.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.kernels import MAX_LENGTH
from parttag.ops.layout import JetLayout
from parttag.ops.shared_bias import SharedBias

# Dropout numbers its draws by query and key.
_DRAWS_PER_QUERY = tl.constexpr(MAX_LENGTH)
_LARGEST_SEED = 2**31 - 1


def attend(
    qkv: Float[Tensor, "particles 3 heads width"],
    bias: SharedBias | None,
    layout: JetLayout,
    dropout: float = 0.0,
) -> Float[Tensor, "particles heads width"]:
    """Return softmax(q kᵀ/√width + bias) v within each jet.

    Parameters
    ----------
    qkv
        Queries, keys and values of every particle; the width is a power of two, at least 16.
    bias
        Of the pairs i ≥ j, the same object in every layer; ``None`` for none.
    layout
        Where the batch's particles are; no jet has more than ``MAX_LENGTH``.
    dropout
        Probability with which an attention weight is dropped.
    """
    seed = torch.randint(_LARGEST_SEED, ()).item() if dropout > 0 else 0
    values = None if bias is None else bias.values
    output: Tensor = _Attend.apply(qkv.contiguous(), values, bias, layout, dropout, seed)
    return output


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        values: Tensor | None,
        bias: SharedBias | None,
        layout: JetLayout,
        dropout: float,
        seed: int,
    ) -> Tensor:
        rows, _, heads, width = qkv.shape
        output = qkv.new_empty(rows, heads, width)
        log_sum = qkv.new_empty(heads, rows, dtype=torch.float32)
        ctx.save_for_backward(qkv, values, output, log_sum)
        ctx.layout, ctx.bias = layout, bias
        ctx.scalars = (layout.num_pairs, rows, width**-0.5, dropout, seed)
        ctx.constants = {
            "heads": heads,
            "width": width,
            "block": _block(layout),
            "biased": bias is not None,
            "dropped": dropout > 0,
        }
        if bias is not None and ctx.needs_input_grad[1]:
            bias.num_uses += 1
        if rows:
            _forward[_grid(layout, heads)](
                qkv,
                qkv if values is None else values,
                output,
                log_sum,
                layout.offsets,
                layout.pair_offsets,
                *ctx.scalars,
                **ctx.constants,
            )
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, values, output, log_sum = ctx.saved_tensors
        layout: JetLayout = ctx.layout
        bias: SharedBias | None = ctx.bias if ctx.needs_input_grad[1] else None
        heads = qkv.shape[2]
        grad = grad.contiguous()
        # Σ_j P_ij dP_ij of every query i, as it appears in the gradient of the softmax.
        inner = (grad.float() * output.float()).sum(dim=2).t().contiguous()
        grad_qkv = torch.empty_like(qkv)
        add = False
        if bias is not None:
            add = bias.gradient is not None
            if bias.gradient is None:
                bias.gradient = torch.empty_like(bias.values, dtype=torch.float32)
        if len(qkv):
            _backward[_grid(layout, heads)](
                qkv,
                qkv if values is None else values,
                grad,
                inner,
                log_sum,
                grad_qkv,
                log_sum if bias is None else bias.gradient,
                layout.offsets,
                layout.pair_offsets,
                *ctx.scalars,
                **ctx.constants,
                bias_gradient=bias is not None,
                add_to_bias=add,
            )
        grad_bias = None if bias is None else bias.added()
        return grad_qkv, grad_bias, None, None, None, None


def _block(layout: JetLayout) -> int:
    """Return how many particles a program takes: most jets whole, and no more than 64."""
    return min(max(int(triton.next_power_of_2(layout.max_length)), 16), 64)


def _grid(layout: JetLayout, heads: int) -> tuple[int, int, int]:
    return layout.num_jets, heads, triton.cdiv(layout.max_length, _block(layout))


# ---------------------------------------------------------------------------------------- kernels


@triton.jit
@no_type_check
def _load(pointer, start, kind, head, particles, n, heads: tl.constexpr, width: tl.constexpr):
    """Return queries (kind 0), keys (1) or values (2) of particles of a jet, 0 beyond the last."""
    columns = tl.arange(0, width)
    rows = (start + particles).to(tl.int64)
    places = ((rows * 3 + kind) * heads + head)[:, None] * width + columns[None, :]
    return tl.load(pointer + places, mask=(particles < n)[:, None], other=0.0)


@triton.jit
@no_type_check
def _pairs(first, second):
    """Return the place of pairs of particles among those of their jet."""
    high = tl.maximum(first[:, None], second[None, :])
    low = tl.minimum(first[:, None], second[None, :])
    return high * (high + 1) // 2 + low


@triton.jit
@no_type_check
def _logits(q, k, bias, queries, keys, n, scale, biased: tl.constexpr):
    """Return q kᵀ/√width + bias in float32, −∞ where the key is none."""
    logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    if biased:
        real = (queries < n)[:, None] & (keys < n)[None, :]
        logits += tl.load(bias + _pairs(queries, keys), mask=real, other=0.0).to(tl.float32)
    return tl.where((keys < n)[None, :], logits, float("-inf"))


@triton.jit
@no_type_check
def _keep(seed, dropout, start, head, queries, keys, heads: tl.constexpr):
    """Return 0 for dropped attention weights and 1/(1 − dropout) for kept ones."""
    query = (start.to(tl.int32) + queries) * heads + head
    draws = tl.rand(seed, query[:, None] * _DRAWS_PER_QUERY + keys[None, :])
    return tl.where(draws >= dropout, 1.0 / (1.0 - dropout), 0.0)


@triton.jit
@no_type_check
def _forward(
    qkv,
    bias,
    output,
    log_sum,
    offsets,
    pair_offsets,
    num_pairs,
    num_rows,
    scale,
    dropout,
    seed,
    heads: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    biased: tl.constexpr,
    dropped: tl.constexpr,
):
    jet, head = tl.program_id(0), tl.program_id(1)
    start = tl.load(offsets + jet)
    n = (tl.load(offsets + jet + 1) - start).to(tl.int32)
    begin = tl.program_id(2) * block
    if begin >= n:
        return
    queries = begin + tl.arange(0, block)
    bias += head.to(tl.int64) * num_pairs + tl.load(pair_offsets + jet)
    q = _load(qkv, start, 0, head, queries, n, heads, width)
    top = tl.full([block], float("-inf"), tl.float32)
    total = tl.zeros([block], tl.float32)
    summed = tl.zeros([block, width], tl.float32)
    for first_key in range(0, n, block):
        keys = first_key + tl.arange(0, block)
        k = _load(qkv, start, 1, head, keys, n, heads, width)
        v = _load(qkv, start, 2, head, keys, n, heads, width)
        logits = _logits(q, k, bias, queries, keys, n, scale, biased)
        new_top = tl.maximum(top, tl.max(logits, axis=1))
        weights = tl.exp(logits - new_top[:, None])
        shrink = tl.exp(top - new_top)
        total = total * shrink + tl.sum(weights, axis=1)
        if dropped:
            weights *= _keep(seed, dropout, start, head, queries, keys, heads)
        summed = summed * shrink[:, None]
        summed += tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        top = new_top
    real = queries < n
    rows = (start + queries).to(tl.int64)
    places = (rows * heads + head)[:, None] * width + tl.arange(0, width)[None, :]
    tl.store(output + places, summed / total[:, None], mask=real[:, None])
    tl.store(log_sum + head.to(tl.int64) * num_rows + rows, top + tl.log(total), mask=real)


@triton.jit
@no_type_check
def _load_query(
    grad,
    inner,
    log_sum,
    start,
    head,
    particles,
    n,
    num_rows,
    heads: tl.constexpr,
    width: tl.constexpr,
):
    """Return a query's output gradient, its product with the output, and the softmax's log sum."""
    real = particles < n
    rows = (start + particles).to(tl.int64)
    places = (rows * heads + head)[:, None] * width + tl.arange(0, width)[None, :]
    by_head = head.to(tl.int64) * num_rows + rows
    return (
        tl.load(grad + places, mask=real[:, None], other=0.0),
        tl.load(inner + by_head, mask=real, other=0.0),
        # Weights of queries that are none: exp(−∞) = 0.
        tl.load(log_sum + by_head, mask=real, other=float("inf")),
    )


@triton.jit
@no_type_check
def _weights_and_gradient(
    q,
    k,
    v,
    grad,
    inner,
    log_sum,
    bias,
    queries,
    keys,
    n,
    start,
    head,
    scale,
    dropout,
    seed,
    heads: tl.constexpr,
    biased: tl.constexpr,
    dropped: tl.constexpr,
):
    """Return the attention weights as they were applied, and the gradient of the logits."""
    weights = tl.exp(_logits(q, k, bias, queries, keys, n, scale, biased) - log_sum[:, None])
    grad_weights = tl.dot(grad, tl.trans(v), input_precision="ieee")
    applied = weights
    if dropped:
        keep = _keep(seed, dropout, start, head, queries, keys, heads)
        applied = weights * keep
        grad_weights *= keep
    return applied, weights * (grad_weights - inner[:, None])


@triton.jit
@no_type_check
def _backward(
    qkv,
    bias,
    grad,
    inner,
    log_sum,
    grad_qkv,
    grad_bias,
    offsets,
    pair_offsets,
    num_pairs,
    num_rows,
    scale,
    dropout,
    seed,
    heads: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
    biased: tl.constexpr,
    dropped: tl.constexpr,
    bias_gradient: tl.constexpr,
    add_to_bias: tl.constexpr,
):
    jet, head = tl.program_id(0), tl.program_id(1)
    start = tl.load(offsets + jet)
    n = (tl.load(offsets + jet + 1) - start).to(tl.int32)
    begin = tl.program_id(2) * block
    if begin >= n:
        return
    pairs_of_jet = head.to(tl.int64) * num_pairs + tl.load(pair_offsets + jet)
    bias += pairs_of_jet
    grad_bias += pairs_of_jet
    own = begin + tl.arange(0, block)
    q = _load(qkv, start, 0, head, own, n, heads, width)
    k = _load(qkv, start, 1, head, own, n, heads, width)
    v = _load(qkv, start, 2, head, own, n, heads, width)
    do, inner_own, log_sum_own = _load_query(
        grad, inner, log_sum, start, head, own, n, num_rows, heads, width
    )
    dq = tl.zeros([block, width], tl.float32)
    dk = tl.zeros([block, width], tl.float32)
    dv = tl.zeros([block, width], tl.float32)
    for other_begin in range(0, n, block):
        other = other_begin + tl.arange(0, block)
        q_other = _load(qkv, start, 0, head, other, n, heads, width)
        k_other = _load(qkv, start, 1, head, other, n, heads, width)
        v_other = _load(qkv, start, 2, head, other, n, heads, width)
        do_other, inner_other, log_sum_other = _load_query(
            grad, inner, log_sum, start, head, other, n, num_rows, heads, width
        )
        # The block as keys, asked by the others; of the others as keys only the logits matter.
        applied, from_other = _weights_and_gradient(
            q_other, k, v, do_other, inner_other, log_sum_other, bias, other, own, n, start, head,
            scale, dropout, seed, heads, biased, dropped,
        )  # fmt: skip
        dv += tl.dot(tl.trans(applied).to(do.dtype), do_other, input_precision="ieee")
        dk += tl.dot(tl.trans(from_other).to(q.dtype), q_other, input_precision="ieee")
        if other_begin == begin:
            to_other = from_other
        else:
            _, to_other = _weights_and_gradient(
                q, k_other, v_other, do, inner_own, log_sum_own, bias, own, other, n, start, head,
                scale, dropout, seed, heads, biased, dropped,
            )  # fmt: skip
        dq += tl.dot(to_other.to(k.dtype), k_other, input_precision="ieee")
        if bias_gradient and other_begin <= begin:
            is_diagonal = own[:, None] == other[None, :]
            both = to_other + tl.where(is_diagonal, 0.0, tl.trans(from_other))
            stored = (own < n)[:, None] & (other[None, :] <= own[:, None])
            places = grad_bias + _pairs(own, other)
            if add_to_bias:
                both += tl.load(places, mask=stored, other=0.0)
            tl.store(places, both, mask=stored)
    real = (own < n)[:, None]
    rows = (start + own).to(tl.int64)
    places = (rows * 3 * heads + head)[:, None] * width + tl.arange(0, width)[None, :]
    tl.store(grad_qkv + places, dq * scale, mask=real)
    tl.store(grad_qkv + places + heads * width, dk * scale, mask=real)
    tl.store(grad_qkv + places + 2 * heads * width, dv, mask=real)
