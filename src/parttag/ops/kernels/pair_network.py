"""The steps of the pair network, each one pass over the pairs: read, compute, write once.

In training, the batch norms need the moments of every layer over all pairs before the next layer
can go on. So a pass computes one layer: it reads what the layer before has left (its linear output,
or for the first layer the features), normalizes, activates, multiplies, writes the linear output,
and leaves mean and squared deviations of each tile, which are joined in float64. The backward pass
does the same the other way, and sums the gradients of weights over the tiles of a program.

``parttag.ops.pair_training`` has the formulas and calls these.
"""

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from parttag.ops.kernels.device_guard import on_its_device
from parttag.ops.pair_source import Source

_TILES_OF_A_PROGRAM = 32


@on_its_device
def run_layer(
    source: Source,
    weight: Float[Tensor, "width_out width_in"],
    bias: Float[Tensor, " width_out"],
    dtype: torch.dtype,
    num_real: Int64[Tensor, "1"] | None = None,
) -> tuple[Float[Tensor, "pairs width_out"], Tensor, Tensor]:
    """Return y = W GELU(z) + b in ``dtype``, its local sum and squared deviations from the mean.

    Sum and squared deviations are float64; the products are taken in ``dtype``. Pairs from
    ``num_real`` on are not read; without it, all are real.
    """
    num_pairs, width = len(source.values), len(bias)
    output = source.values.new_empty(num_pairs, width, dtype=dtype)
    # Products of float32 are taken one by one, from registers: here and below, smaller blocks.
    block = 32 if dtype == torch.float32 else 64
    tiles = triton.cdiv(num_pairs, block)
    moments = source.shift.new_empty(tiles, 2, width)
    if tiles:
        _run_layer[(tiles,)](
            *_arguments(source),
            weight.to(dtype).contiguous(),
            bias.contiguous(),
            output,
            moments,
            num_pairs if num_real is None else num_real,
            is_counted=num_real is not None,
            width_in=len(source.shift),
            width_out=width,
            padded_in=padded(len(source.shift)),
            padded_out=padded(width),
            from_features=source.scale is None,
            block=block,
            enable_fp_fusion=True,
        )
    means, squares = moments.double().unbind(1)
    if num_real is None:
        counts = torch.full((tiles, 1), block, dtype=torch.double, device=output.device)
        if tiles:
            counts[-1] = num_pairs - (tiles - 1) * block
        total = (counts * means).sum(dim=0)
        mean = total / max(num_pairs, 1)
    else:
        begins = torch.arange(0, tiles * block, block, device=output.device)
        counts = (num_real - begins).clamp(0, block).double()[:, None]
        total = (counts * means).sum(dim=0)
        mean = total / num_real.clamp(min=1)
    return output, total, (squares + counts * (means - mean).square()).sum(dim=0)


class LayerGradients(NamedTuple):
    """What ``layer_back`` returns."""

    below: Float[Tensor, "rows width_in"]
    weight: Float[Tensor, "width_out width_in"]
    sums: Tensor


@on_its_device
def layer_back(
    grad_z: Float[Tensor, "pairs width_out"],
    y: Float[Tensor, "pairs width_out"],
    norm: Float[Tensor, "3 width_out"],
    weight: Float[Tensor, "width_out width_in"],
    source: Source,
    below_moments: tuple[Tensor, Tensor],
    dtype: torch.dtype,
    num_real: Int64[Tensor, "1"] | None = None,
) -> LayerGradients:
    """Go back through batch norm, linear layer and GELU.

    Parameters
    ----------
    grad_z
        Gradient of the batch norm's output.
    y
        Its input.
    norm
        Its gradient is norm[0] · grad_z + norm[1] · y + norm[2].
    weight
        Of the linear layer.
    source
        Of the linear layer's input, before its GELU.
    below_moments
        Mean and inverse standard deviation that normalize ``source.values``; of the features, the
        inverse standard deviation is 1.
    dtype
        Of the products.
    num_real
        Pairs from this number on are not read; without it, all are real.

    Returns
    -------
    LayerGradients
        The gradient of z below (no rows where the features are), that of the weight, and the sums
        over pairs, in float64, of z's gradient and of its products with the normalized values
        below: (2, width_in), or (width_in, features + 1) with the features, the plain sum last.
    """
    num_pairs, width_out = grad_z.shape
    width_in = len(source.shift)
    from_features = source.scale is None
    num_columns = source.values.shape[1] + 1 if from_features else 2
    block = 16 if dtype == torch.float32 else 32
    programs = triton.cdiv(num_pairs, block * _TILES_OF_A_PROGRAM)
    make = source.shift.new_empty
    grad_below = make(0 if from_features else num_pairs, width_in, dtype=dtype)
    grad_weight = make(programs, width_out, width_in)
    sums = make(programs, num_columns, width_in)
    if programs:
        _layer_back[(programs,)](
            grad_z.contiguous(),
            y,
            norm.contiguous(),
            weight.to(dtype).contiguous(),
            *_arguments(source),
            torch.stack(below_moments) if not from_features else below_moments[0],
            grad_below,
            grad_weight,
            sums,
            num_pairs if num_real is None else num_real,
            is_counted=num_real is not None,
            width_in=width_in,
            width_out=width_out,
            padded_in=padded(width_in),
            padded_out=padded(width_out),
            from_features=from_features,
            block=block,
            tiles=_TILES_OF_A_PROGRAM,
            num_stages=2,
            enable_fp_fusion=True,
        )
    total = sums.double().sum(dim=0)
    return LayerGradients(grad_below, grad_weight.sum(dim=0), total.t() if from_features else total)


def _arguments(source: Source) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, scale or matrix, and shift, for a kernel."""
    matrix = source.weight if source.scale is None else source.scale
    assert matrix is not None
    return source.values, matrix.contiguous(), source.shift.contiguous()


def padded(width: int) -> int:
    """Return a width that tensor cores take."""
    return max(int(triton.next_power_of_2(width)), 16)


# ---------------------------------------------------------------------------------------- kernels


@triton.jit
@no_type_check
def _upper_tail(a):
    """Return Φ(−a) of a ≥ 0 to 1e-7, as 2 to the power of a polynomial.

    Its coefficients make the largest error of Φ and z Φ(z) least; the first is negative, so that
    it falls to 0 beyond where it was fitted, which is up to 6.5.
    """
    p = a * -1.415394083050142e-6 + 2.1740173171820883e-5
    p = p * a + -1.0093899899219254e-4
    p = p * a + -3.4136244001081517e-4
    p = p * a + 7.320742088801788e-3
    p = p * a + -5.266212026433158e-2
    p = p * a + -4.591583046265664e-1
    p = p * a + -1.1511107244030045
    return tl.exp2(p * a + -0.9999998969349194)


@triton.jit
@no_type_check
def gelu(z):
    """Return GELU(z) = z Φ(z)."""
    a = tl.abs(z)
    return tl.maximum(z, 0.0) - a * _upper_tail(a)


@triton.jit
@no_type_check
def _gelu_and_slope(z):
    a = tl.abs(z)
    tail = _upper_tail(a)
    # The density: 2 to the power of log₂ of it.
    normal = tl.exp2(z * z * -0.7213475204444817 + -1.3257480647361594)
    slope = tl.where(z > 0.0, 1.0 - tail, tail) + z * normal
    return tl.maximum(z, 0.0) - a * tail, slope


@triton.jit
@no_type_check
def _load_rows(pointer, pairs, columns, num_pairs, width: tl.constexpr):
    real = (pairs < num_pairs)[:, None] & (columns < width)[None, :]
    places = pairs.to(tl.int64)[:, None] * width + columns[None, :]
    return tl.load(pointer + places, mask=real, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def load_matrix(pointer, rows, columns, num_rows: tl.constexpr, num_columns: tl.constexpr):
    """Return a matrix, 0 in rows and columns that it does not have."""
    real = (rows < num_rows)[:, None] & (columns < num_columns)[None, :]
    return tl.load(pointer + rows[:, None] * num_columns + columns[None, :], mask=real, other=0.0)


@triton.jit
@no_type_check
def from_four(features, weight, bias, pairs, columns, num_pairs, width: tl.constexpr):
    """Return W f + b for the four features: four products are no matter for tensor cores."""
    z = tl.load(bias + columns, mask=columns < width, other=0.0)[None, :]
    for feature in tl.static_range(4):
        f = tl.load(features + pairs.to(tl.int64) * 4 + feature, mask=pairs < num_pairs, other=0.0)
        w = tl.load(weight + columns * 4 + feature, mask=columns < width, other=0.0)
        z += f[:, None] * w[None, :]
    return z


@triton.jit
@no_type_check
def _z(
    values,
    matrix,
    shift,
    pairs,
    columns,
    num_pairs,
    width: tl.constexpr,
    from_features: tl.constexpr,
):
    if from_features:
        return from_four(values, matrix, shift, pairs, columns, num_pairs, width)
    scale = tl.load(matrix + columns, mask=columns < width, other=0.0)
    moved = tl.load(shift + columns, mask=columns < width, other=0.0)
    y = _load_rows(values, pairs, columns, num_pairs, width)
    return y * scale[None, :] + moved[None, :]


@triton.jit(do_not_specialize=["num_pairs"])
@no_type_check
def _run_layer(
    values,
    matrix,
    shift,
    weight,
    bias,
    output,
    moments,
    num_pairs,
    is_counted: tl.constexpr,
    width_in: tl.constexpr,
    width_out: tl.constexpr,
    padded_in: tl.constexpr,
    padded_out: tl.constexpr,
    from_features: tl.constexpr,
    block: tl.constexpr,
):
    if is_counted:
        num_pairs = tl.load(num_pairs).to(tl.int32)
    tile = tl.program_id(0)
    pairs = tile * block + tl.arange(0, block)
    inner, outer = tl.arange(0, padded_in), tl.arange(0, padded_out)
    z = _z(values, matrix, shift, pairs, inner, num_pairs, width_in, from_features)
    w = load_matrix(weight, outer, inner, width_out, width_in)
    y = tl.dot(gelu(z).to(w.dtype), tl.trans(w), input_precision="ieee")
    y += tl.load(bias + outer, mask=outer < width_out, other=0.0)[None, :]
    real = (pairs < num_pairs)[:, None] & (outer < width_out)[None, :]
    stored = y.to(output.dtype.element_ty)
    tl.store(output + pairs.to(tl.int64)[:, None] * width_out + outer[None, :], stored, mask=real)
    # Moments of what was stored: that is what the next layer reads.
    y = tl.where(real, stored.to(tl.float32), 0.0)
    count = tl.maximum(tl.minimum(num_pairs - tile * block, block), 1).to(tl.float32)
    mean = tl.sum(y, axis=0) / count
    away = tl.where(real, y - mean[None, :], 0.0)
    places = moments + tile.to(tl.int64) * 2 * width_out + outer
    tl.store(places, mean, mask=outer < width_out)
    tl.store(places + width_out, tl.sum(away * away, axis=0), mask=outer < width_out)


@triton.jit(do_not_specialize=["num_pairs"])
@no_type_check
def _layer_back(
    grad_z,
    y,
    norm,
    weight,
    values,
    matrix,
    shift,
    below_moments,
    grad_below,
    grad_weight,
    sums,
    num_pairs,
    is_counted: tl.constexpr,
    width_in: tl.constexpr,
    width_out: tl.constexpr,
    padded_in: tl.constexpr,
    padded_out: tl.constexpr,
    from_features: tl.constexpr,
    block: tl.constexpr,
    tiles: tl.constexpr,
):
    if is_counted:
        num_pairs = tl.load(num_pairs).to(tl.int32)
    program = tl.program_id(0)
    inner, outer = tl.arange(0, padded_in), tl.arange(0, padded_out)
    is_outer, is_inner = outer < width_out, inner < width_in
    of_dz = tl.load(norm + outer, mask=is_outer, other=0.0)
    of_y = tl.load(norm + width_out + outer, mask=is_outer, other=0.0)
    moved = tl.load(norm + 2 * width_out + outer, mask=is_outer, other=0.0)
    w = load_matrix(weight, outer, inner, width_out, width_in)
    sum_weight = tl.zeros([padded_out, padded_in], tl.float32)
    # Summed over rows at the end; with the features, each time: of five sums rows take much room.
    rows: tl.constexpr = 1 if from_features else block
    sum_dz = tl.zeros([rows, padded_in], tl.float32)
    sum_0 = tl.zeros([rows, padded_in], tl.float32)
    sum_1 = tl.zeros([1, padded_in], tl.float32)
    sum_2 = tl.zeros([1, padded_in], tl.float32)
    sum_3 = tl.zeros([1, padded_in], tl.float32)
    for tile in range(program * tiles, program * tiles + tiles):
        pairs = tile * block + tl.arange(0, block)
        real = (pairs < num_pairs)[:, None]
        dy = _load_rows(y, pairs, outer, num_pairs, width_out) * of_y[None, :] + moved[None, :]
        dy += _load_rows(grad_z, pairs, outer, num_pairs, width_out) * of_dz[None, :]
        dy = tl.where(real, dy, 0.0).to(w.dtype)
        z = _z(values, matrix, shift, pairs, inner, num_pairs, width_in, from_features)
        activated, slope = _gelu_and_slope(z)
        sum_weight += tl.dot(tl.trans(dy), activated.to(w.dtype), input_precision="ieee")
        dz_below = tl.dot(dy, w, input_precision="ieee") * slope
        if from_features:
            sum_dz += tl.sum(dz_below, axis=0, keep_dims=True)
            sum_0 += _with_feature(dz_below, values, below_moments, pairs, num_pairs, 0)
            sum_1 += _with_feature(dz_below, values, below_moments, pairs, num_pairs, 1)
            sum_2 += _with_feature(dz_below, values, below_moments, pairs, num_pairs, 2)
            sum_3 += _with_feature(dz_below, values, below_moments, pairs, num_pairs, 3)
        else:
            below_mean = tl.load(below_moments + inner, mask=is_inner, other=0.0)
            below_std = tl.load(below_moments + width_in + inner, mask=is_inner, other=0.0)
            y_below = _load_rows(values, pairs, inner, num_pairs, width_in) - below_mean[None, :]
            sum_dz += dz_below
            sum_0 += dz_below * y_below * below_std[None, :]
            places = grad_below + pairs.to(tl.int64)[:, None] * width_in + inner[None, :]
            tl.store(places, dz_below, mask=real & is_inner[None, :])
    long = program.to(tl.int64)
    cells = outer[:, None] * width_in + inner[None, :]
    both = is_outer[:, None] & is_inner[None, :]
    tl.store(grad_weight + long * width_out * width_in + cells, sum_weight, mask=both)
    if from_features:
        sums += long * 5 * width_in + inner[None, :]
        tl.store(sums, sum_0, mask=is_inner[None, :])
        tl.store(sums + width_in, sum_1, mask=is_inner[None, :])
        tl.store(sums + 2 * width_in, sum_2, mask=is_inner[None, :])
        tl.store(sums + 3 * width_in, sum_3, mask=is_inner[None, :])
        tl.store(sums + 4 * width_in, sum_dz, mask=is_inner[None, :])
    else:
        sums += long * 2 * width_in + inner
        tl.store(sums, tl.sum(sum_dz, axis=0), mask=is_inner)
        tl.store(sums + width_in, tl.sum(sum_0, axis=0), mask=is_inner)


@triton.jit
@no_type_check
def _with_feature(dz, features, means, pairs, num_pairs, number: tl.constexpr):
    values = tl.load(features + pairs.to(tl.int64) * 4 + number, mask=pairs < num_pairs, other=0.0)
    return tl.sum(dz * (values - tl.load(means + number))[:, None], axis=0, keep_dims=True)
