"""ParticleNet on padded jets."""

from __future__ import annotations

from typing import cast

import numpy as np

from parttag.export.graph import Value, folded, layers, mean_over_slots, weighted
from parttag.export.networks.particles import Particles
from parttag.models import ParticleNet, Tagger
from parttag.models.layers.edge_network import EdgeLayer, EdgeNetwork
from parttag.models.particle_net import EdgeBlock

# A squared distance in the place of those to empty slots.
_FAR = 1e30


def encode(network: Tagger, particles: Particles) -> Value:
    """Return the last hidden layer of each jet."""
    network = cast(ParticleNet, network)
    graph = particles.graph
    points = particles.points
    rows = particles.embedded(network.backbone.input_norm, layers).cast(graph.dtype)
    for block in network.backbone.blocks:
        assert isinstance(block, EdgeBlock)
        k = block.num_neighbours
        neighbours = _neighbours(points, particles.mask, k)
        edges = _edges(rows, particles.real, neighbours, k + 1, block.edges)
        rows = (layers(rows, block.shortcut) + edges).apply("Relu")
        points = rows.cast("float32")
    return layers(mean_over_slots(rows, particles.real), network.backbone.jet_layers)


def _neighbours(points: Value, mask: Value, k: int) -> Value:
    """Return the slots (jets, slots, k) of the nearest particles, in float32 as in training.

    There are k + 1 more slots than in the jets, all empty, for neighbours that are missing.
    """
    graph = points.graph
    more = np.array([0, 0, 0, 0, k + 1, 0])
    others, is_real = graph.op("Pad", points, more), graph.op("Pad", mask, more[[0, 1, 2, 3, 5, 4]])
    squares, other_squares = ((x * x).sum(2, keep=True) for x in (points, others))
    products = points @ others.transpose(0, 2, 1)
    distances = squares - products * 2.0 + other_squares.transpose(0, 2, 1)
    # Rounding makes some a little less than 0: as where the network was trained, they count as 0.
    reachable = distances.clip(0.0) * is_real + (1.0 - is_real) * _FAR
    return graph.smallest(reachable, k + 1).slice(2, 1)


def _gathered(rows: Value, slots: Value, num_empty: int, width: int) -> Value:
    """Return rows (jets, slots, width) at slots (jets, slots, k), of which some are beyond them."""
    graph = rows.graph
    padded = graph.op("Pad", rows, np.array([0, 0, 0, 0, num_empty, 0]))
    jets = graph.op("Range", np.array(0), rows.length(0).squeeze(0), np.array(1), dtype="int64")
    places = slots + (jets * padded.length(1)).unsqueeze(1, 2)
    return graph.op("Gather", padded.reshape(-1, width), places)


def _edges(
    rows: Value, real: Value, neighbours: Value, num_empty: int, network: EdgeNetwork
) -> Value:
    """Return the average over the neighbours of what the network makes of each edge.

    The first layer, being linear, is applied once a particle; batch norms are folded into layers.
    """
    graph = rows.graph
    first, *rest = [cast(EdgeLayer, layer) for layer in network.layers]
    scale, shift = folded(first.norm)
    centre, difference = first.linear.weight.detach().chunk(2, dim=1)
    bias = shift if first.linear.bias is None else first.linear.bias * scale + shift
    own = weighted(rows, (centre - difference) * scale[:, None], bias)
    other = weighted(rows * real, difference * scale[:, None])
    hidden = (own.unsqueeze(2) + _gathered(other, neighbours, num_empty, len(scale))).apply("Relu")
    for layer in rest:
        scale, shift = folded(layer.norm)
        bias = shift if layer.linear.bias is None else layer.linear.bias * scale + shift
        hidden = weighted(hidden, layer.linear.weight * scale[:, None], bias).apply("Relu")
    return graph.op("ReduceMean", hidden, axes=[2], keepdims=0)
