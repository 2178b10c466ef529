"""The Particle Transformer on padded jets, with its pair bias or without."""

from __future__ import annotations

from typing import cast

import numpy as np
from torch import Tensor, nn

from parttag.export import kinematics
from parttag.export.graph import (
    MICROSOFT,
    Graph,
    Value,
    batch_norm,
    gelu,
    layer_norm,
    layers,
    weighted,
)
from parttag.export.networks.particles import Particles
from parttag.models import ParticleTransformer, Tagger
from parttag.models.layers.pair_network import PairNetwork
from parttag.models.layers.particle_blocks import Block, ClassBlock, ParticleBlock
from parttag.models.layers.particle_embedding import Embedding, EmbeddingLayer

_EPS = 1e-8  # as in ``jets/pair_features.py``
# Added to the logits of what is not to be looked at: its weight is then 0, and that of an empty jet
# still a number, in float16 too.
_HIDDEN = -1e4


def encode(network: Tagger, particles: Particles) -> Value:
    """Return the normalized class token of each jet."""
    backbone = cast(ParticleTransformer, network).backbone
    graph = particles.graph
    rows = particles.embedded(backbone.embedding, _embed)
    bias = None
    if backbone.pair_network is not None:
        bias = _pair_bias(particles, backbone.pair_network)
    mask = particles.mask.squeeze(1)
    for block in backbone.blocks:
        assert isinstance(block, ParticleBlock)
        normalized = layer_norm(rows, block.pre_attention_norm)
        rows = _residuals(block, rows, _attend(block, normalized, normalized, mask, bias))
    width = backbone.class_token.shape[0]
    shape = graph.concat([rows.length(0), graph.constant([1, width], "int64")], 0)
    tokens = graph.op("Expand", graph.constant(_array(backbone.class_token), graph.dtype), shape)
    mask = graph.op("Pad", mask, np.array([0, 1, 0, 0]), 1.0)
    for block in backbone.class_blocks:
        assert isinstance(block, ClassBlock)
        seen = layer_norm(graph.concat([tokens, rows], 1), block.pre_attention_norm)
        tokens = _residuals(block, tokens, _attend(block, tokens, seen, mask, None))
    return layer_norm(tokens.squeeze(1), cast(nn.LayerNorm, backbone.norm))


def _embed(rows: Value, network: nn.Module) -> Value:
    assert isinstance(network, Embedding)
    embedded = batch_norm(rows, network.input_norm).cast(rows.graph.dtype)
    for layer in network.layers:
        assert isinstance(layer, EmbeddingLayer)
        embedded = layers(layer_norm(embedded, layer.norm), layer.linear)
    return embedded


def _array(parameter: nn.Parameter) -> np.ndarray:
    values: np.ndarray = parameter.detach().numpy()
    return values


def _attend(block: Block, query: Value, seen: Value, mask: Value, bias: Value | None) -> Value:
    """Return attention (jets, queries, width), before its output layer."""
    graph, heads = query.graph, block.num_heads
    weights, biases = block.qkv.weight.detach().chunk(3), block.qkv.bias.detach()
    if not graph.fused:
        return _attend_plainly(heads, query, seen, mask, bias, weights, biases.chunk(3))
    q, k, v = (weighted(x, weight) for x, weight in zip((query, seen, seen), weights, strict=True))
    inputs = q, k, v, biases, mask.cast("int32"), bias
    return graph.op(
        "MultiHeadAttention",
        *(inputs if bias is not None else inputs[:5]),
        domain=MICROSOFT,
        num_heads=heads,
        mask_filter_value=_HIDDEN,
    )


def _attend_plainly(
    heads: int,
    query: Value,
    seen: Value,
    mask: Value,
    bias: Value | None,
    weights: tuple[Tensor, ...],
    biases: tuple[Tensor, ...],
) -> Value:
    """Return the same in nodes of ONNX alone."""
    width = weights[0].shape[0]
    q, k, v = (
        weighted(x, weight, offset).reshape(0, 0, heads, width // heads)
        for x, weight, offset in zip((query, seen, seen), weights, biases, strict=True)
    )
    scaled = q.transpose(0, 2, 1, 3) * float(width // heads) ** -0.5
    logits = scaled @ k.transpose(0, 2, 3, 1)
    logits = logits if bias is None else logits + bias
    hidden = ((1.0 - mask) * _HIDDEN).unsqueeze(1, 2).cast(logits.dtype)
    shares = (logits + hidden).apply("Softmax", axis=-1)
    attended: Value = shares @ v.transpose(0, 2, 1, 3)
    return attended.transpose(0, 2, 1, 3).reshape(0, 0, width)


def _residuals(block: Block, rows: Value, attended: Value) -> Value:
    """Return what follows attention in a block."""
    # A head's scale multiplies what the output layer makes of it: it goes into the layer.
    scale = block.head_scale.detach().repeat_interleave(len(block.out.bias) // block.num_heads)
    out = weighted(attended, block.out.weight * scale[:, None], block.out.bias * scale)
    rows = rows + layer_norm(out, block.post_attention_norm)
    return layers(rows, block.feedforward) + rows * block.residual_scale


def _pair_bias(particles: Particles, network: PairNetwork) -> Value:
    """Return the bias (jets, heads, slots, slots): computed once a pair i ≥ j, and mirrored."""
    graph = particles.graph
    number = particles.mask.length(2).squeeze(0)
    slots = graph.op("Range", np.array(0), number, np.array(1), dtype="int64")
    down, across = slots.unsqueeze(1), slots.unsqueeze(0)
    lower = graph.op("GreaterOrEqual", down, across, dtype="bool")
    first, second = (
        part.squeeze(0)
        for part in graph.split(graph.op("NonZero", lower, dtype="int64"), 0, [1, 1])
    )
    high, low = graph.op("Max", down, across), graph.op("Min", down, across)
    pair_of = graph.op("Div", high * (high + np.array(1)), np.array(2)) + low
    hidden = _pair_features(particles.vectors, first, second)
    scale, shift = _folded_pairs(network)
    hidden = hidden.transpose(0, 2, 1).cast(graph.dtype)
    for weight, bias in zip(scale, shift, strict=True):
        hidden = gelu(weighted(hidden, weight, bias))
    return graph.op("Gather", hidden.transpose(0, 2, 1), pair_of, axis=2)


def _folded_pairs(network: PairNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Return weights and biases of the pair network, its batch norms folded in."""
    pairs = network.folded()
    return [weight.detach() for weight, _ in pairs], [bias.detach() for _, bias in pairs]


def _pair_features(vectors: Value, first: Value, second: Value) -> Value:
    """Return ln kT, ln z, ln Δ and ln m² of pairs of slots: (jets, 4, pairs)."""
    graph: Graph = vectors.graph
    px, py, pz, energy = graph.split(vectors, 1, [1] * 4)
    own = [kinematics.pt(px, py), kinematics.rapidity(pz, energy), kinematics.phi(px, py)]
    columns = graph.concat([*own, vectors], 1)
    one, other = (graph.op("Gather", columns, rows, axis=2) for rows in (first, second))
    (pt_1, y_1, phi_1, p4_1), (pt_2, y_2, phi_2, p4_2) = (
        graph.split(values, 1, [1, 1, 1, 4]) for values in (one, other)
    )
    least = graph.op("Min", pt_1, pt_2)
    delta = kinematics.delta_r(y_1 - y_2, kinematics.wrap(phi_1 - phi_2))
    total = p4_1 + p4_2
    px2, py2, pz2, energy2 = graph.split(total * total, 1, [1] * 4)
    mass2 = energy2 - (px2 + py2 + pz2)
    features = [least * delta, least / (pt_1 + pt_2).clip(_EPS), delta, mass2]
    return kinematics.log(graph.concat(features, 1).clip(_EPS))
