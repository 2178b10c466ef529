"""Biased attention on packed jets: a program for a block of a jet's queries and one head.

The bias is read from a matrix a jet and head (``bias_matrices.py``). The forward pass keeps the
logarithm of each softmax's denominator, from which the backward pass makes the weights again. On
the way back one program has a whole jet and head: block by block of keys it sums the gradients of
keys and values in registers, and those of the queries in memory. So nothing is added by two
programs, and the result does not depend on their order.

The gradient of the bias is added up over the layers in one buffer; see ``SharedBias``.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.kernels.bias_matrices import num_columns, spread
from parttag.ops.kernels.device_guard import on_its_device
from parttag.ops.layout import MATRIX_COLUMNS, JetLayout
from parttag.ops.shared_bias import SharedBias

_LARGEST_SEED = 2**31 - 1
_LOG2_E = tl.constexpr(1.4426950408889634)
_COLUMNS = tl.constexpr(MATRIX_COLUMNS)


@on_its_device
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
        Of the pairs i ≥ j, the same object in every layer, read in the precision of ``qkv``;
        ``None`` for none.
    layout
        Where the batch's particles are; no jet has more than ``MAX_LENGTH``.
    dropout
        Probability with which an attention weight is dropped.
    """
    # On the device, where a captured step draws another one each time that it runs.
    seed = torch.zeros(1, dtype=torch.int64, device=qkv.device)
    if dropout > 0:
        seed = torch.randint(_LARGEST_SEED, (1,), device=qkv.device)
    if bias is not None and bias.matrices is None:
        bias.matrices = spread(bias.values, layout, qkv.shape[-1] ** 0.5, qkv.dtype)
    token = None if bias is None else bias.token
    output: Tensor = _Attend.apply(qkv.contiguous(), token, bias, layout, dropout, seed)
    return output


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        token: Tensor | None,
        bias: SharedBias | None,
        layout: JetLayout,
        dropout: float,
        seed: Tensor,
    ) -> Tensor:
        rows, _, heads, width = qkv.shape
        # Rows beyond the last particle are not written, and go on to what sums over all of them.
        new = qkv.new_empty if layout.is_particle is None else qkv.new_zeros
        output = new(rows, heads, width)
        log2_sum = qkv.new_empty(heads, rows, dtype=torch.float32)
        matrices = qkv if bias is None else bias.matrices
        ctx.save_for_backward(qkv, matrices, output, log2_sum)
        ctx.layout, ctx.gradient = layout, None if bias is None else bias.gradient
        ctx.token_size = None if token is None else token.shape
        # Draws are integers of 32 bits with a sign.
        threshold = min(round(dropout * 2**32), 2**32 - 1) - 2**31
        ctx.scalars = (layout.num_matrix_cells, rows, width**-0.5, 1 - dropout, threshold, seed)
        ctx.constants = {
            "heads": heads,
            "width": width,
            "block": _block(layout),
            "biased": bias is not None,
            "dropped": dropout > 0,
            "enable_fp_fusion": True,
        }
        if rows:
            _forward[(layout.num_jets, heads, triton.cdiv(layout.max_length, _block(layout)))](
                qkv,
                matrices,
                output,
                log2_sum,
                layout.offsets,
                layout.matrix_offsets,
                *ctx.scalars,
                **ctx.constants,
                num_warps=1,
                num_stages=1,
            )
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, matrices, output, log2_sum = ctx.saved_tensors
        layout: JetLayout = ctx.layout
        heads = qkv.shape[2]
        new = torch.empty_like if layout.is_particle is None else torch.zeros_like
        grad_qkv = new(qkv)
        # Sums over the keys before the last block, if there are blocks.
        partial = torch.empty_like(output, dtype=torch.float32)
        of_bias, add = log2_sum, False
        if has_bias := ctx.gradient is not None and ctx.needs_input_grad[1]:
            of_bias, add = ctx.gradient.buffer(matrices)
        if len(qkv):
            _backward[(layout.num_jets, heads)](
                qkv,
                matrices,
                output,
                grad.contiguous(),
                log2_sum,
                grad_qkv,
                partial,
                of_bias,
                layout.offsets,
                layout.matrix_offsets,
                *ctx.scalars,
                **ctx.constants,
                bias_gradient=has_bias,
                add_to_bias=add,
                num_warps=4 if qkv.dtype == torch.float32 else 2,
                num_stages=1,
            )
        # Of the token, which holds nothing: so that autograd goes on to it.
        grad_token = grad.new_empty(ctx.token_size) if has_bias else None
        return grad_qkv, grad_token, None, None, None, None


def _block(layout: JetLayout) -> int:
    """Return how many particles a program takes at a time: jets are not much longer."""
    return min(max(int(triton.next_power_of_2(layout.max_length)), 16), 32)


# ---------------------------------------------------------------------------------------- kernels


@triton.jit
@no_type_check
def _places(start, particles, head, heads: tl.constexpr, width: tl.constexpr):
    """Return where particles have their values of a head."""
    rows = (start + particles).to(tl.int64) * heads + head
    return rows[:, None] * width + tl.arange(0, width)[None, :]


@triton.jit
@no_type_check
def _load(pointer, start, kind, head, particles, n, heads: tl.constexpr, width: tl.constexpr):
    """Return queries (kind 0), keys (1) or values (2) of particles of a jet, 0 beyond the last."""
    places = _places(start * 3 + kind, particles * 3, head, heads, width)
    return tl.load(pointer + places, mask=(particles < n)[:, None], other=0.0)


@triton.jit
@no_type_check
def _logits(q, k, bias, inside, keys, n, biased: tl.constexpr):
    """Return √width (q kᵀ/√width + bias), −∞ where the key is none."""
    # Sums begin with the bias: so it comes to where the product's cells are, and no other way.
    if biased:
        logits = tl.load(bias, mask=inside, other=0.0).to(tl.float32)
        logits = tl.dot(q, tl.trans(k), logits, input_precision="ieee")
    else:
        logits = tl.dot(q, tl.trans(k), input_precision="ieee")
    return tl.where((keys < n)[None, :], logits, float("-inf"))


@triton.jit
@no_type_check
def _mix(x):
    """Return an integer of 32 bits each of which depends on all of x (murmur3's finalizer)."""
    x = (x ^ (x >> 16)) * 0x85EBCA6B
    x = (x ^ (x >> 13)) * 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
@no_type_check
def _keep(seed, threshold, start, head, queries, keys, heads: tl.constexpr):
    """Return whether attention weights are kept, from seed, query, key and head alone.

    A query gets two numbers, from which those of its keys are mixed: some nine instructions a
    weight, where ten rounds of Philox take a hundred.
    """
    row = (start + queries).to(tl.uint32) * heads + head.to(tl.uint32)
    first = _mix(_mix(row) + seed.to(tl.uint32))
    second = _mix(first + 0x9E3779B9)
    x = first[:, None] + (keys.to(tl.uint32) * 0x9E3779B9)[None, :]
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15) ^ second[:, None]) * 0x846CA68B
    return x.to(tl.int32, bitcast=True) >= threshold


@triton.jit(do_not_specialize=["num_cells", "num_rows"])
@no_type_check
def _forward(
    qkv,
    bias,
    output,
    log2_sum,
    offsets,
    matrix_offsets,
    num_cells,
    num_rows,
    scale,
    kept,
    threshold,
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
    is_query = queries < n
    columns = num_columns(n)
    to_log2 = scale * _LOG2_E
    bias += tl.multiple_of(head.to(tl.int64) * num_cells + tl.load(matrix_offsets + jet), _COLUMNS)
    q = _load(qkv, start, 0, head, queries, n, heads, width)
    top = tl.full([block], float("-inf"), tl.float32)
    total = tl.zeros([block], tl.float32)
    summed = tl.zeros([block, width], tl.float32)
    for first_key in range(0, n, block):
        keys = first_key + tl.arange(0, block)
        k = _load(qkv, start, 1, head, keys, n, heads, width)
        v = _load(qkv, start, 2, head, keys, n, heads, width)
        cells = bias + (queries * columns)[:, None] + keys[None, :]
        inside = is_query[:, None] & (keys < columns)[None, :]
        logits = _logits(q, k, cells, inside, keys, n, biased)
        new_top = tl.maximum(top, tl.max(logits, axis=1) * to_log2)
        weights = tl.exp2(logits * to_log2 - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(weights, axis=1)
        if dropped:
            keep = _keep(tl.load(seed), threshold, start, head, queries, keys, heads)
            weights = tl.where(keep, weights, 0.0)
        summed = summed * shrink[:, None]
        summed += tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        top = new_top
    places = output + _places(start, queries, head, heads, width)
    tl.store(places, summed / (total * kept)[:, None], mask=is_query[:, None])
    sums = log2_sum + head.to(tl.int64) * num_rows + start + queries
    tl.store(sums, top + tl.log2(total), mask=is_query)


@triton.jit(do_not_specialize=["num_cells", "num_rows"])
@no_type_check
def _backward(
    qkv,
    bias,
    output,
    grad,
    log2_sum,
    grad_qkv,
    partial,
    grad_bias,
    offsets,
    matrix_offsets,
    num_cells,
    num_rows,
    scale,
    kept,
    threshold,
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
    columns = num_columns(n)
    to_log2 = scale * _LOG2_E
    matrix = tl.multiple_of(head.to(tl.int64) * num_cells + tl.load(matrix_offsets + jet), _COLUMNS)
    bias += matrix
    grad_bias += matrix
    log2_sum += head.to(tl.int64) * num_rows + start
    for first_key in range(0, n, block):
        keys = first_key + tl.arange(0, block)
        k = _load(qkv, start, 1, head, keys, n, heads, width)
        v = _load(qkv, start, 2, head, keys, n, heads, width)
        dk = tl.zeros([block, width], tl.float32)
        dv = tl.zeros([block, width], tl.float32)
        for first_query in range(0, n, block):
            queries = first_query + tl.arange(0, block)
            is_query = queries < n
            cells = (queries * columns)[:, None] + keys[None, :]
            inside = is_query[:, None] & (keys < columns)[None, :]
            q = _load(qkv, start, 0, head, queries, n, heads, width)
            # Weights of queries that are none: exp(−∞) = 0.
            log2_total = tl.load(log2_sum + queries, mask=is_query, other=float("inf"))
            logits = _logits(q, k, bias + cells, inside, keys, n, biased)
            weights = tl.exp2(logits * to_log2 - log2_total[:, None])
            places = _places(start, queries, head, heads, width)
            do = tl.load(grad + places, mask=is_query[:, None], other=0.0)
            o = tl.load(output + places, mask=is_query[:, None], other=0.0)
            # Σ_j P_ij dP_ij of every query i, as it appears in the gradient of the softmax.
            inner = tl.sum(do.to(tl.float32) * o.to(tl.float32), axis=1)
            grad_weights = tl.dot(do, tl.trans(v), input_precision="ieee")
            applied = weights
            if dropped:
                keep = _keep(tl.load(seed), threshold, start, head, queries, keys, heads)
                applied = tl.where(keep, weights, 0.0)
                grad_weights = tl.where(keep, grad_weights * (1.0 / kept), 0.0)
            grad_logits = weights * (grad_weights - inner[:, None])
            if bias_gradient:
                added = grad_logits
                if add_to_bias:
                    added += tl.load(grad_bias + cells, mask=inside, other=0.0)
                tl.store(grad_bias + cells, added, mask=inside)
            short = grad_logits.to(q.dtype)
            dv += tl.dot(tl.trans(applied.to(do.dtype)), do, input_precision="ieee")
            dk += tl.dot(tl.trans(short), q, input_precision="ieee")
            dq = tl.dot(short, k, input_precision="ieee")
            if first_key > 0:
                dq += tl.load(partial + places, mask=is_query[:, None], other=0.0)
            if first_key + block < n:
                tl.store(partial + places, dq, mask=is_query[:, None])
            else:
                to_query = grad_qkv + _places(start * 3, queries * 3, head, heads, width)
                tl.store(to_query, dq * scale, mask=is_query[:, None])
        # The next block of keys reads what other threads may have written.
        tl.debug_barrier()
        is_key = (keys < n)[:, None]
        to_key = grad_qkv + _places(start * 3 + 1, keys * 3, head, heads, width)
        tl.store(to_key, dk * scale, mask=is_key)
        tl.store(to_key + heads * width, dv * (1.0 / kept), mask=is_key)
