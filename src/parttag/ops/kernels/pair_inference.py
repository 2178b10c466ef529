"""The pair network in inference: one pass from features to bias, batch norms folded in."""

from collections.abc import Sequence
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from parttag.ops.kernels.device_guard import on_its_device
from parttag.ops.kernels.pair_network import from_four, gelu, load_matrix, padded


@on_its_device
def infer(
    features: Float[Tensor, "pairs features"],
    layers: Sequence[tuple[Tensor, Tensor]],
    dtype: torch.dtype,
) -> Float[Tensor, "heads pairs"]:
    """Return the bias, each layer being GELU(W x + b) of these weights and biases.

    There are four features, and all hidden layers are of the same width.
    """
    (first_weight, first_bias), *hidden = layers
    width, heads = len(first_bias), len(layers[-1][1])
    output = features.new_empty(heads, len(features), dtype=dtype)
    # Products of float32 are taken one by one, from registers.
    block = 32 if dtype == torch.float32 else 64
    if len(features):
        _infer[(triton.cdiv(len(features), block),)](
            features,
            first_weight.contiguous(),
            first_bias.contiguous(),
            torch.cat([weight.to(dtype) for weight, _ in hidden]).contiguous(),
            torch.cat([bias for _, bias in hidden]),
            output,
            len(features),
            num_hidden=len(hidden) - 1,
            width=width,
            heads=heads,
            padded=padded(width),
            padded_heads=padded(heads),
            block=block,
            enable_fp_fusion=True,
        )
    return output


@triton.jit(do_not_specialize=["num_pairs"])
@no_type_check
def _infer(
    features,
    first_weight,
    first_bias,
    weights,
    biases,
    output,
    num_pairs,
    num_hidden: tl.constexpr,
    width: tl.constexpr,
    heads: tl.constexpr,
    padded: tl.constexpr,
    padded_heads: tl.constexpr,
    block: tl.constexpr,
):
    pairs = tl.program_id(0) * block + tl.arange(0, block)
    columns, head = tl.arange(0, padded), tl.arange(0, padded_heads)
    z = from_four(features, first_weight, first_bias, pairs, columns, num_pairs, width)
    for layer in tl.static_range(num_hidden):
        w = load_matrix(weights + layer * width * width, columns, columns, width, width)
        b = tl.load(biases + layer * width + columns, mask=columns < width, other=0.0)
        z = tl.dot(gelu(z).to(w.dtype), tl.trans(w), input_precision="ieee") + b[None, :]
    w = load_matrix(weights + num_hidden * width * width, head, columns, heads, width)
    b = tl.load(biases + num_hidden * width + head, mask=head < heads, other=0.0)
    z = tl.dot(gelu(z).to(w.dtype), tl.trans(w), input_precision="ieee") + b[None, :]
    places = output + head.to(tl.int64)[None, :] * num_pairs + pairs[:, None]
    tl.store(places, gelu(z), mask=(pairs < num_pairs)[:, None] & (head < heads)[None, :])
