"""L-GATr: attention among multivectors of spacetime's geometric algebra, by the package ``lgatr``.

- Nodes of a jet: the plane across the beams and the time, as reference multivectors, its particles,
  and a blank node, from which the logits are read.
- Each has a multivector (a scalar, a vector, a bivector, an axial vector, a pseudoscalar: 16
  numbers), in which a four-momentum in units of 20 GeV is the vector and the plane the bivector;
  and scalars: whether it is the blank node and, with ``scalars: features``, the particle features.
  → linear, 16 multivectors and 32 scalars.
- 12 blocks of the package: norm, attention with products of multivectors, twice as wide; norm,
  geometric products, gated units.
- Scalars, pseudoscalars and the scalar parts of the blank node → linear → logits.

1,076,930 parameters with 2 classes. Of the package's own network with one logit, as published, the
last layer has 161 weights for what is not read, and there are 1,077,026; with the same weights,
logits are the same.

Needs the extra ``equivariant``: pip install 'parttag[equivariant]'.

The choices that are ours
-------------------------
Those of ``parttag.models.lgatr_slim``. ``reference_vectors: beams`` are the three vectors that
later networks of the authors have.

References
----------
arXiv:2405.14806, arXiv:2411.00446, and the authors' public configuration of top tagging, which is
the default here.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from pydantic import PositiveInt
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
from parttag.models.layers.reference_vectors import (
    References,
    energy_first,
    make_nodes,
    make_references,
)
from parttag.models.registry import register_model

# Where the package has the parts of a multivector, and the weights of its linear maps from scalars
# and, with the other sign, from pseudoscalars to scalars.
_VECTOR, _BIVECTOR, _PSEUDOSCALAR = 1, 5, 15
_FROM_SCALAR, _FROM_PSEUDOSCALAR = 0, 9


class LGATrOptions(EquivariantOptions):
    """Sizes of L-GATr; the defaults are those of the published top tagging."""

    name: Literal["lgatr"] = "lgatr"
    scalars: Literal["features", "none"] = "none"
    """Scalars of the particles: those of ``features``, or none."""
    reference_vectors: References = "plane"
    """Further nodes of every jet. plane: that across the beams, and the time. beams: both beams and
    the time. none: the logits then know nothing of directions and of the laboratory."""
    multivector_dim: PositiveInt = 16
    """Multivectors of a node."""
    scalar_dim: PositiveInt = 32
    """Scalars of a node."""
    attention_ratio: PositiveInt = 2
    """Width of attention, all heads together, in widths of a node."""
    mlp_ratio: PositiveInt = 2
    """Width of the hidden layer of a block, in widths of a node."""


@register_model("lgatr", paper="arXiv:2411.00446", recipe="toptagging/lgatr.yaml")
class LGATr(BlankNodeTagger):
    """L-GATr; see the module's documentation."""

    backbone: "Backbone"

    options_class = LGATrOptions

    def __init__(
        self, options: LGATrOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        names = feature_names if options.scalars == "features" else ()
        self.feature_names = feature_names
        self.max_particles: int | None = options.max_particles
        package = import_for("lgatr", "lgatr")
        network = package.LGATr(
            num_blocks=options.num_layers,
            in_mv_channels=1,
            out_mv_channels=num_classes,
            hidden_mv_channels=options.multivector_dim,
            in_s_channels=len(names) + 1,
            out_s_channels=0,
            hidden_s_channels=options.scalar_dim,
            attention={
                "num_heads": options.num_heads,
                "attn_ratio": options.attention_ratio,
                "head_scale": True,
            },
            mlp={"mlp_ratio": options.mlp_ratio},
            dropout_prob=options.dropout or None,
        )
        self.head = head_of(network.linear_out)
        network.linear_out = BothOutputs()
        self.backbone = Backbone(options, names, network)


class Backbone(nn.Module):
    """Particles of a batch to the numbers of each jet's blank node that are scalars."""

    references: Tensor

    def __init__(self, options: LGATrOptions, names: tuple[str, ...], network: Any) -> None:
        super().__init__()
        self.names = names
        self.scale = options.momentum_scale
        self.has_plane = options.reference_vectors == "plane"
        references = make_references(options.reference_vectors)
        self.register_buffer("references", references, persistent=False)
        self.network = network

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the scalar numbers of the blank node of each jet."""
        references = self.references.double()
        vectors = references
        if self.has_plane:  # the plane is no vector, but has a node
            vectors = torch.cat([torch.zeros_like(references[:1]), references[2:]])
        nodes = make_nodes(batch, references, vectors=vectors, num_blank=1)
        momenta = energy_first(scaled_momenta(nodes, self.scale))
        multivectors = nn.functional.pad(momenta, (_VECTOR, 16 - _VECTOR - 4))
        if self.has_plane:
            x, y, _ = energy_first(nodes.references)
            plane = nn.functional.pad(wedge(x, y), (_BIVECTOR, 16 - _BIVECTOR - 6))
            multivectors = multivectors.index_copy(0, nodes.first, plane)
        scalars = node_scalars(batch, nodes, self.names)
        dtype = next(self.network.parameters()).dtype
        inputs = torch.cat([multivectors, scalars], dim=1).to(dtype)
        return of_blank_nodes(self._attend, inputs, nodes.layout)

    def _attend(
        self, inputs: Float[Tensor, "jets length inputs"], is_real: Tensor
    ) -> Float[Tensor, "jets length width"]:
        multivectors, scalars = inputs[..., None, :16], inputs[..., 16:]
        multivectors, scalars = self.network(multivectors, scalars, attn_mask=is_real)
        parts = multivectors[..., 0], multivectors[..., _PSEUDOSCALAR], scalars
        return torch.cat(parts, dim=-1)


def wedge(
    first: Float64[Tensor, "*shape 4"], second: Float64[Tensor, "*shape 4"]
) -> Float64[Tensor, "*shape 6"]:
    """Return the bivector of the plane of two vectors: tx, ty, tz, xy, xz, yz."""
    i, j = torch.triu_indices(4, 4, 1, device=first.device).unbind()
    return first[..., i] * second[..., j] - first[..., j] * second[..., i]


def head_of(linear: Any) -> nn.Linear:
    """Return the scalar part of the package's last layer, from scalar numbers to logits."""
    weights, of_scalars = linear.weight.data, linear.s2mvs
    # For each output the layer has a row for its scalar part, and one for its pseudoscalar.
    parts = (weights[..., _FROM_SCALAR], -weights[..., _FROM_PSEUDOSCALAR])
    weight = torch.cat([*parts, of_scalars.weight.data[::2]], dim=1)
    head = nn.Linear(weight.shape[1], len(weight))
    head.weight.data.copy_(weight)
    head.bias.data.copy_(of_scalars.bias.data[::2])
    return head
