"""A blank node of every jet, from which an equivariant network's logits are read."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.features import particle_features
from parttag.models.layers.reference_vectors import Nodes
from parttag.ops.layout import JetLayout

Attend = Callable[[Float[Tensor, "jets length inputs"], Bool[Tensor, "jets 1 1 length"]], Tensor]
"""From the nodes of some jets, padded, and which keys are real, to as many nodes."""


class BothOutputs(nn.Module):
    """In the place of the package's last layer: what is given to it, for the head to read."""

    def forward(self, first: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        return first, scalars


def scaled_momenta(nodes: Nodes, scale: float) -> Float64[Tensor, "nodes 4"]:
    """Return the momenta of the nodes, those of particles divided by ``scale``."""
    particles = nodes.momenta.index_select(0, nodes.particles) / scale
    return nodes.momenta.index_copy(0, nodes.particles, particles)


def node_scalars(
    batch: JetBatch, nodes: Nodes, names: tuple[str, ...]
) -> Float64[Tensor, "nodes scalars"]:
    """Return the features of the particles, 0 of other nodes, and 1 of the blank, last node."""
    particles = nodes.momenta.new_zeros(len(nodes.particles), len(names) + 1)
    if names:
        features = particle_features(batch, names)[: len(particles)]
        particles[:, :-1] = features.to(particles.dtype)
    scalars = particles.new_zeros(len(nodes.momenta), particles.shape[1])
    is_blank = torch.zeros_like(scalars[:, 0]).index_fill(0, nodes.layout.offsets[1:] - 1, 1)
    scalars = scalars.index_copy(0, nodes.particles, particles)
    return torch.cat([scalars[:, :-1], is_blank[:, None]], dim=1)


def of_blank_nodes(
    attend: Attend, inputs: Float[Tensor, "nodes inputs"], layout: JetLayout
) -> Float[Tensor, "jets width"]:
    """Return what a network makes of the last node of each jet.

    Parameters
    ----------
    attend
        The network.
    inputs
        The nodes of all jets.
    layout
        Where they lie.
    """
    if not layout.groups:  # a rank without jets must still have gradients of all parameters
        alone = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=inputs.device)
        nothing: Tensor = attend(inputs.new_zeros(1, 1, inputs.shape[1]), alone)
        return nothing[0, :0]
    outputs = [
        attend(part, ~group.key_is_padding[:, None, None])
        for part, group in zip(layout.spread(inputs), layout.groups, strict=True)
    ]
    return layout.gather(outputs).index_select(0, layout.offsets[1:] - 1)
