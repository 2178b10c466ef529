"""P-CNN on padded jets: they are cut or padded to its length inside of the graph."""

from __future__ import annotations

from typing import cast

import numpy as np
from torch import nn

from parttag.export.graph import Value, folded
from parttag.export.networks.particles import Particles
from parttag.models import PCNN, Tagger
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.pcnn import Backbone, ResidualUnit


def encode(network: Tagger, particles: Particles) -> Value:
    """Return the mean of the last channels over all positions."""
    network = cast(PCNN, network)
    backbone = cast(Backbone, network.backbone)
    graph, features = particles.graph, particles.kinds[0].features
    assert features is not None
    number = graph.constant([network.length], "int64") - features.length(2)
    pads = graph.concat([graph.constant([0] * 5, "int64"), number], 0)
    padded = graph.op("Pad", features * particles.mask, pads)
    channels = _layers(padded.cast(graph.dtype), backbone.stem)
    for stage in backbone.stages:
        for unit in cast(nn.Sequential, stage):
            assert isinstance(unit, ResidualUnit)
            channels = _layers(channels, unit.layers) + _layers(channels, unit.shortcut)
    halvings = len(backbone.stages) - 1
    positions = -(-network.length // (1 << halvings))
    return channels.sum(2) * (1.0 / positions)


def _layers(x: Value, modules: nn.Module) -> Value:
    """Return what convolutions, batch norms and ReLUs make of (jets, channels, positions)."""
    if isinstance(modules, nn.Sequential):
        for module in modules:
            x = _layers(x, module)
        return x
    if isinstance(modules, nn.Identity):
        return x
    if isinstance(modules, nn.ReLU):
        return x.apply("Relu")
    if isinstance(modules, PackedBatchNorm):
        scale, shift = folded(modules)
        return x * scale[:, None] + shift[:, None]
    assert isinstance(modules, nn.Conv1d)
    pad = int(np.ravel(modules.padding)[0])
    bias = () if modules.bias is None else (modules.bias,)
    convolved: Value = x.graph.op(
        "Conv", x, modules.weight, *bias, pads=[pad, pad], strides=list(modules.stride)
    )
    return convolved
