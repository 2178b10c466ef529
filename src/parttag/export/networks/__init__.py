"""The networks that can be exported, on padded jets: one file each, and their register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from parttag.errors import InputError
from parttag.export.graph import Value
from parttag.export.networks import (
    lorentz_net,
    particle_net,
    particle_transformer,
    pcnn,
    pfn,
)
from parttag.export.networks.particles import KindOfParticles, Particles
from parttag.models import PCNN, PFN, LorentzNet, ParticleNet, ParticleTransformer, Tagger
from parttag.models.layers.particle_blocks import ClassBlock, ParticleBlock

__all__ = ["EXPORTED", "InputPart", "KindOfParticles", "NetworkExport", "Particles", "find_network"]

InputPart = Literal["points", "features", "vectors"]
"""What a network reads of its particles, besides which slots are real."""


@dataclass(frozen=True)
class NetworkExport:
    """How a network is written as a graph."""

    encode: Callable[[Tagger, Particles], Value]
    """From particles to what ``Tagger.encode`` gives: (jets, width)."""
    reads: tuple[InputPart, ...]
    finds_neighbours: bool = False


EXPORTED: dict[type[Tagger], NetworkExport] = {
    ParticleTransformer: NetworkExport(particle_transformer.encode, ("features", "vectors")),
    ParticleNet: NetworkExport(particle_net.encode, ("points", "features"), finds_neighbours=True),
    PFN: NetworkExport(pfn.encode, ("features",)),
    PCNN: NetworkExport(pcnn.encode, ("features",)),
    LorentzNet: NetworkExport(lorentz_net.encode, ("vectors",)),
}


def find_network(network: Tagger, name: str) -> NetworkExport:
    """Return how a network is exported.

    Raises
    ------
    InputError
        If it cannot be.
    """
    if type(network) not in EXPORTED:
        known = ", ".join(str(n.options_class.model_fields["name"].default) for n in EXPORTED)
        raise InputError(
            f"the network {name} cannot be exported, because parttag has no ONNX graph for it; "
            f"those that can be are {known}"
        )
    if without := _without_graph(network):
        raise InputError(
            f"the network {name} with {without} cannot be exported, because parttag has no ONNX "
            "graph for it yet"
        )
    found = EXPORTED[type(network)]
    if isinstance(network, ParticleTransformer) and network.backbone.pair_network is None:
        return NetworkExport(found.encode, ("features",))
    return found


def _without_graph(network: Tagger) -> str:
    """Return the options of a network that no graph is written for, if it has any."""
    if isinstance(network, ParticleTransformer):
        blocks = [*network.backbone.blocks, *network.backbone.class_blocks]
        return (
            ""
            if all(isinstance(b, ParticleBlock | ClassBlock) for b in blocks)
            else "block: swiglu"
        )
    if isinstance(network, LorentzNet):
        if network.backbone.feature_names is not None:
            return "scalars: features"
        if network.backbone.length is not None:
            return "reference_padding: true"
    return ""
