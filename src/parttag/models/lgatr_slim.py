"""L-GATr-slim: attention among scalars and Lorentz vectors, by the package ``lgatr``.

- Nodes of a jet: three reference vectors (``parttag.models.layers.reference_vectors``), its
  particles, and a blank node, from which the logits are read.
- Each has a four-momentum in units of 20 GeV and scalars: the particle features, 0 of other nodes,
  and whether it is the blank one. → linear, 96 scalars and 32 vectors.
- 12 blocks of the package: norm, attention with Minkowski products of vectors; norm, gated linear
  units whose gates for vectors are products of vectors.
- The scalars of the blank node → linear → logits.

2,030,914 parameters with the 7 kinematic features and 2 classes. The package's own network with one
logit, as published, has 2,030,817; with the same weights, logits are the same.

Needs the extra ``equivariant``: pip install 'parttag[equivariant]'.

The choices that are ours
-------------------------
Jets of similar length are padded to the longest of them and attend among themselves: jets are not
padded to the longest of the batch. Momenta are taken to the rest frame of the jet first, which
changes nothing but the rounding.

With ``scalars: none`` the logits do not change if jet and reference vectors are transformed
together, or without reference vectors the jet alone. The published network reads the kinematic
features, which are those of the laboratory; it is invariant under turns about the beam only.

References
----------
arXiv:2512.17011, and the authors' public configuration of top tagging, which is the default here.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.models.blank_node_tagger import BlankNodeTagger, EquivariantOptions
from parttag.models.layers.blank_nodes import (
    BothOutputs,
    node_scalars,
    of_blank_nodes,
    scaled_momenta,
)
from parttag.models.layers.equivariant_packages import import_for
from parttag.models.layers.reference_vectors import energy_first, make_nodes, make_references
from parttag.models.registry import register_model


class LGATrSlimOptions(EquivariantOptions):
    """Sizes of L-GATr-slim; the defaults are those of the published top tagging."""

    name: Literal["lgatr_slim"] = "lgatr_slim"
    reference_vectors: Literal["beams", "none"] = "beams"
    """Further nodes of every jet. beams: both beams and the time. none: the logits then know
    nothing of directions and of the laboratory."""
    scalar_dim: PositiveInt = 96
    """Scalars of a node."""
    vector_dim: PositiveInt = 32
    """Lorentz vectors of a node."""
    attention_ratio: PositiveInt = 1
    """Width of attention, all heads together, in widths of a node."""
    mlp_ratio: PositiveInt = 4
    """Width of the hidden layer of a block, in widths of a node."""
    min_mass: NonNegativeFloat = 5e-3
    """Mass in GeV that particles and reference vectors of less are given, by more energy in the
    laboratory."""

    @model_validator(mode="after")
    def _mass_needs_the_laboratory(self) -> "LGATrSlimOptions":
        if self.reference_vectors == "none" and "min_mass" in self.model_fields_set:
            raise ValueError("min_mass needs reference_vectors: beams, which say what energy is")
        return self


@register_model("lgatr_slim", paper="arXiv:2512.17011", recipe="toptagging/lgatr_slim.yaml")
class LGATrSlim(BlankNodeTagger):
    """L-GATr-slim; see the module's documentation."""

    backbone: "Backbone"

    options_class = LGATrSlimOptions

    def __init__(
        self, options: LGATrSlimOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        names = feature_names if options.scalars == "features" else ()
        self.feature_names = feature_names
        self.max_particles: int | None = options.max_particles
        package = import_for("lgatr_slim", "lgatr")
        network = package.LGATrSlim(
            num_blocks=options.num_layers,
            in_v_channels=1,
            out_v_channels=0,
            hidden_v_channels=options.vector_dim,
            in_s_channels=len(names) + 1,
            out_s_channels=num_classes,
            hidden_s_channels=options.scalar_dim,
            num_heads=options.num_heads,
            mlp_ratio=options.mlp_ratio,
            attn_ratio=options.attention_ratio,
            dropout_prob=options.dropout or None,
        )
        self.head = network.linear_out.linear_s
        network.linear_out = BothOutputs()
        self.backbone = Backbone(options, names, network)


class Backbone(nn.Module):
    """Particles of a batch to the scalars of each jet's blank node."""

    references: Tensor

    def __init__(self, options: LGATrSlimOptions, names: tuple[str, ...], network: Any) -> None:
        super().__init__()
        self.names = names
        self.scale = options.momentum_scale
        self.min_mass = options.min_mass
        references = make_references(options.reference_vectors)
        self.register_buffer("references", references, persistent=False)
        self.network = network

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the scalars of the blank node of each jet."""
        references = self.references.double()
        nodes = make_nodes(batch, references, min_mass=self.min_mass, num_blank=1)
        scalars = node_scalars(batch, nodes, self.names)
        vectors = energy_first(scaled_momenta(nodes, self.scale))
        dtype = next(self.network.parameters()).dtype
        inputs = torch.cat([vectors, scalars], dim=1).to(dtype)
        return of_blank_nodes(self._attend, inputs, nodes.layout)

    def _attend(
        self, inputs: Float[Tensor, "jets length inputs"], is_real: Tensor
    ) -> Float[Tensor, "jets length width"]:
        vectors, scalars = inputs[..., None, :4], inputs[..., 4:]
        output: Tensor = self.network(vectors, scalars, attn_mask=is_real)[1]
        return output
