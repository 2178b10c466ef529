"""LorentzNet on padded jets: the nodes of a jet are both beams, then its slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from parttag.export.graph import Value, folded, layers, linear, mean_over_slots, weighted
from parttag.export.networks.particles import Particles
from parttag.models import LorentzNet, Tagger
from parttag.models.lorentz_net import CLAMP, Block

Components = Sequence[Value]
"""px, py, pz and E, each alone."""


@dataclass(frozen=True)
class _Nodes:
    """What stays as it is from block to block."""

    inputs: Value
    """(jets, nodes, 2): ψ of the mass, in one of two places for particles and for beams."""
    is_pair: Value
    """(jets, nodes, nodes, 1): 1 for two different real nodes."""
    num_others: Value
    """(jets, 1): real nodes besides one's own."""


def encode(network: Tagger, particles: Particles) -> Value:
    """Return the mean of the scalars over the real nodes of each jet."""
    network = cast(LorentzNet, network)
    graph = particles.graph
    beams = network.backbone.beams.t().float().numpy()
    momenta = _with_beams(particles.vectors, beams)
    is_real = _with_beams(particles.mask, np.ones((1, 2)))
    is_beam = _with_beams(particles.mask * 0.0, np.ones((1, 2)))
    vectors: Components = [part.squeeze(1) for part in graph.split(momenta, 1, [1] * 4)]
    nodes = _make_nodes(vectors, is_real, is_beam)
    hidden = linear(nodes.inputs, network.backbone.embedding)
    for block in network.backbone.blocks:
        assert isinstance(block, Block)
        hidden, vectors = _block(block, hidden, vectors, nodes)
    return mean_over_slots(hidden, is_real.transpose(0, 2, 1).cast(graph.dtype))


def _with_beams(values: Value, beams: np.ndarray) -> Value:
    """Return values (jets, channels, slots) with those of both beams before them."""
    graph = values.graph
    shape = graph.concat([values.length(0), graph.constant(beams.shape, "int64")], 0)
    of_all = graph.op("Expand", graph.constant(beams[None], "float32"), shape)
    return graph.concat([of_all, values], 2)


def _make_nodes(vectors: Components, is_real: Value, is_beam: Value) -> _Nodes:
    graph = is_real.graph
    mass = _psi(_minkowski(vectors, vectors).apply("Abs").apply("Sqrt"))
    of_particles = is_real - is_beam
    both = graph.stack([mass * of_particles.squeeze(1), mass * is_beam.squeeze(1)], 2)
    start, step = np.array(0), np.array(1)
    number = graph.op("Range", start, is_real.length(2).squeeze(0), step, dtype="int64")
    same = graph.op("Equal", number.unsqueeze(0), number.unsqueeze(1), dtype="bool")
    is_pair = is_real * is_real.transpose(0, 2, 1) * (1.0 - same.cast("float32"))
    num_others = (is_real.sum(2) - 1.0).clip(1.0)
    return _Nodes(both.cast(graph.dtype), is_pair.unsqueeze(3).cast(graph.dtype), num_others)


def _block(
    block: Block, hidden: Value, vectors: Components, nodes: _Nodes
) -> tuple[Value, Components]:
    """Return the new scalars and four-vectors."""
    graph = hidden.graph
    receivers, senders = [v.unsqueeze(2) for v in vectors], [v.unsqueeze(1) for v in vectors]
    differences = [a - b for a, b in zip(receivers, senders, strict=True)]
    invariants = [_minkowski(differences, differences), _minkowski(receivers, senders)]
    of_pairs = graph.stack([_psi(value) for value in invariants], 3).cast(graph.dtype)
    # The first layer is linear: applied once a node, and once a pair to what is the pair's alone.
    width = block.first_linear.out_features
    scale, shift = folded(block.pair_norm)
    weights = (block.first_linear.weight.detach() * scale[:, None]).split([width, width, 2], dim=1)
    of_receiver = weighted(hidden, weights[0], shift).unsqueeze(2)
    of_sender = weighted(hidden, weights[1]).unsqueeze(1)
    first = (weighted(of_pairs, weights[2]) + of_receiver + of_sender).apply("Relu")
    messages = linear(first, block.message).apply("Relu")
    messages = messages * (linear(messages, block.gate).apply("Sigmoid") * nodes.is_pair)
    if block.step is not None:
        steps = (layers(messages, block.step) * nodes.is_pair).squeeze(3).cast("float32")
        if block.is_clamped:
            sums = [(d * steps).clip(-CLAMP, CLAMP).sum(2) for d in differences]
        else:
            total = steps.sum(2)
            sums = [v * total - (steps @ v.unsqueeze(2)).squeeze(2) for v in vectors]
        moved = [one / nodes.num_others for one in sums]
        vectors = [v + m * block.coordinate_step for v, m in zip(vectors, moved, strict=True)]
    everything = graph.concat([hidden, messages.sum(2), nodes.inputs], 2)
    return hidden + layers(everything, block.update), vectors


def _psi(value: Value) -> Value:
    """Return sign(v) ln(1 + |v|)."""
    return value.apply("Sign") * (value.apply("Abs") + 1.0).apply("Log")


def _minkowski(first: Components, second: Components) -> Value:
    px, py, pz, energy = (a * b for a, b in zip(first, second, strict=True))
    return energy - (px + py + pz)
