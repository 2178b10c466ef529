"""The packed bias as a matrix a jet and head, and the gradient of these matrices packed again.

A layer of attention then reads rows, aligned and without arithmetic for every pair. That is paid
with twice the bytes of the packed bias: 4 % of those of a training step.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from parttag.ops.kernels.device_guard import on_its_device
from parttag.ops.kernels.pair_features import particles_of
from parttag.ops.layout import MATRIX_COLUMNS, JetLayout
from parttag.ops.shared_bias import BiasGradient, SharedBias

_BLOCK = 512
_COLUMNS = tl.constexpr(MATRIX_COLUMNS)


def share(bias: Float[Tensor, "heads pairs"], layout: JetLayout) -> SharedBias:
    """Return the bias as the layers of a network share it."""
    gradient = BiasGradient()
    token: Tensor = _Token.apply(bias, layout, gradient)
    return SharedBias(bias.detach().contiguous(), token, gradient)


class _Token(torch.autograd.Function):
    """Nothing, which takes the gradient of the bias back; the layers take it."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, layout: JetLayout, gradient: BiasGradient) -> Tensor:
        ctx.layout, ctx.gradient, ctx.dtype = layout, gradient, bias.dtype
        return bias.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        total = ctx.gradient.take()
        return None if total is None else fold(total, ctx.layout, ctx.dtype), None, None


@torch.no_grad()
@on_its_device
def spread(
    values: Float[Tensor, "heads pairs"], layout: JetLayout, scale: float, dtype: torch.dtype
) -> Float[Tensor, "heads cells"]:
    """Return ``scale`` times the bias of every cell (query, key), and 0 right of the last key."""
    heads = len(values)
    matrices = values.new_empty(heads, layout.num_matrix_cells, dtype=dtype)
    if layout.num_rows:
        most = layout.max_length * triton.cdiv(layout.max_length, MATRIX_COLUMNS) * MATRIX_COLUMNS
        _spread[(layout.num_jets, triton.cdiv(most, _BLOCK))](
            values,
            matrices,
            layout.offsets,
            layout.pair_offsets,
            layout.matrix_offsets,
            layout.num_pairs,
            layout.num_matrix_cells,
            scale,
            heads=heads,
            block=_BLOCK,
            enable_fp_fusion=True,
        )
    return matrices


@torch.no_grad()
@on_its_device
def fold(
    gradient: Float[Tensor, "heads cells"], layout: JetLayout, dtype: torch.dtype
) -> Float[Tensor, "heads pairs"]:
    """Return the gradient of ``spread``: cells (i, j) and (j, i) together."""
    heads = len(gradient)
    packed = gradient.new_empty(heads, layout.num_pairs, dtype=dtype)
    if layout.num_rows:
        most = layout.max_length * (layout.max_length + 1) // 2
        _fold[(layout.num_jets, triton.cdiv(most, _BLOCK))](
            gradient,
            packed,
            layout.offsets,
            layout.pair_offsets,
            layout.matrix_offsets,
            layout.num_pairs,
            layout.num_matrix_cells,
            heads=heads,
            block=_BLOCK,
            enable_fp_fusion=True,
        )
    return packed


# ---------------------------------------------------------------------------------------- kernels


@triton.jit
@no_type_check
def num_columns(n):
    """Return the columns of the matrix of a jet of n particles."""
    return (n + _COLUMNS - 1) // _COLUMNS * _COLUMNS


@triton.jit(do_not_specialize=["num_pairs", "num_cells"])
@no_type_check
def _spread(
    values,
    matrices,
    offsets,
    pair_offsets,
    matrix_offsets,
    num_pairs,
    num_cells,
    scale,
    heads: tl.constexpr,
    block: tl.constexpr,
):
    jet = tl.program_id(0)
    n = (tl.load(offsets + jet + 1) - tl.load(offsets + jet)).to(tl.int32)
    columns = num_columns(n)
    cells = tl.program_id(1) * block + tl.arange(0, block)
    if tl.program_id(1) * block >= n * columns:
        return
    row = cells // columns
    column = cells - row * columns
    high, low = tl.maximum(row, column), tl.minimum(row, column)
    values += tl.load(pair_offsets + jet) + high * (high + 1) // 2 + low
    matrices += tl.load(matrix_offsets + jet) + cells
    is_cell = cells < n * columns
    for _ in range(heads):
        bias = tl.load(values, mask=is_cell & (column < n), other=0.0)
        tl.store(matrices, bias * scale, mask=is_cell)
        values += num_pairs
        matrices += num_cells


@triton.jit(do_not_specialize=["num_pairs", "num_cells"])
@no_type_check
def _fold(
    gradient,
    packed,
    offsets,
    pair_offsets,
    matrix_offsets,
    num_pairs,
    num_cells,
    heads: tl.constexpr,
    block: tl.constexpr,
):
    jet = tl.program_id(0)
    n = (tl.load(offsets + jet + 1) - tl.load(offsets + jet)).to(tl.int32)
    pair = tl.program_id(1) * block + tl.arange(0, block)
    real = pair < n * (n + 1) // 2
    if tl.program_id(1) * block >= n * (n + 1) // 2:
        return
    i, j = particles_of(pair)
    columns = num_columns(n)
    gradient += tl.load(matrix_offsets + jet)
    packed += tl.load(pair_offsets + jet) + pair
    for _ in range(heads):
        total = tl.load(gradient + i * columns + j, mask=real, other=0.0)
        total += tl.load(gradient + j * columns + i, mask=real & (i != j), other=0.0)
        tl.store(packed, total, mask=real)
        gradient += num_cells
        packed += num_pairs
