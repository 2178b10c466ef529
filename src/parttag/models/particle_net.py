"""ParticleNet: convolutions over the edges from each particle to its nearest ones.

- Particles: a batch norm of the features.
- 3 blocks, each with the 16 nearest neighbours of every particle: in (Δη, Δφ) for the first block,
  in the output of the block before for the others, so that the graph changes as it is learnt. The
  network of each edge (x_i, x_j − x_i) is three [linear without bias → BN → ReLU]
  (``layers/edge_network.py``); its average over the neighbours is added to a linear shortcut with
  BN of x_i, and goes through ReLU. Widths 64, 128, 256.
- The average over the particles of a jet, whatever their number.
- Linear → ReLU → dropout; then the logits, which alone are the head: fine-tuning as published
  renews nothing but the last layer.

366,160 parameters with 7 features and 2 classes, 368,216 with 10 classes, 370,156 with 17 features
and 10 classes. ParticleNet-Lite has two blocks of 7 neighbours and widths 32 and 64, and 128 before
the logits: 26,416.

Particles of several kinds each have an input of their own, [BN → linear without bias → BN → ReLU]
to a width of 32, before the blocks, which see all of them.

Our names beside those of weaver's code: ``blocks`` are edge_convs, ``edges.layers`` its convs and
bns, ``shortcut`` is sc, ``input_norm`` is bn_fts.

References
----------
arXiv:1902.08570, in the version of the Particle Transformer's repository (weaver-core): average
over the neighbours, pooling by the number of real particles, no fusion of the blocks, no trimming.

What the source leaves open, or does otherwise: weaver's batch norms also see padding (repeated
particles in the first, zeros in the others); ours see the real particles, and the k edges of each
of them. In evaluation the logits are weaver's, those of jets with fewer than k + 1 particles
included: there, as in weaver, the neighbours that are missing are zero vectors.
"""

from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.jets.features import FeatureContext
from parttag.jets.kind_features import Inputs, particle_inputs
from parttag.jets.kinds import names_by_kind
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.layers.edge_network import EdgeNetwork
from parttag.models.layers.kinds import MostParticles, input_network, particle_limits
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import mean_over_rows
from parttag.ops.knn import nearest_neighbours
from parttag.ops.layout import JetLayout

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class ParticleNetOptions(ModelOptions):
    """Sizes of a ParticleNet; the defaults are those of the published one."""

    name: Literal["particle_net"] = "particle_net"
    edge_dims: tuple[Widths, ...] = Field(
        default=((64, 64, 64), (128, 128, 128), (256, 256, 256)), min_length=1
    )
    """Widths of the edge network of each block."""
    num_neighbours: PositiveInt = 16
    """Neighbours of each particle."""
    jet_dims: Widths = (256,)
    """Widths of the layers between the average over the particles and the logits."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """After each of these layers."""
    max_particles: MostParticles = 128
    """Particles of highest pT that are used, of all or of each kind; null for all."""
    input_dim: PositiveInt = 32
    """Width that particles are brought to first, where there are several kinds of them."""


@register_model("particle_net", paper="arXiv:1902.08570", recipe="toptagging/particle_net.yaml")
class ParticleNet(Tagger):
    """ParticleNet; see the module's documentation."""

    backbone: "Backbone"

    options_class = ParticleNetOptions
    takes_kinds = True

    def __init__(
        self, options: ParticleNetOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = particle_limits(options.max_particles, feature_names)
        self.backbone = Backbone(options, feature_names)
        self.head = nn.Linear(options.jet_dims[-1], num_classes)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the last hidden layer of each jet."""
        real = slice(batch.num_particles)
        angles, particles = ("delta_eta", "delta_phi"), FeatureContext(batch)
        inputs = (
            particle_inputs(batch, self.feature_names)
            if names_by_kind(self.feature_names)
            else particles.table(self.feature_names)[real]
        )
        jets: Tensor = self.backbone(inputs, particles.table(angles)[real], batch)
        return jets


class Backbone(nn.Module):
    """Particles of a batch to the last hidden layer of each jet."""

    def __init__(self, options: ParticleNetOptions, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        has_kinds = bool(names_by_kind(feature_names))
        self.input_norm = input_network(
            feature_names,
            (lambda dims: KindInput(*dims))
            if has_kinds
            else (lambda dims: PackedBatchNorm(dims[0])),
            (options.input_dim,),
        )
        self.blocks = nn.ModuleList()
        width = options.input_dim if has_kinds else len(feature_names)
        for dims in options.edge_dims:
            self.blocks.append(EdgeBlock(width, dims, options.num_neighbours))
            width = dims[-1]
        self.jet_layers = nn.Sequential()
        for width_in, width_out in pairwise((width, *options.jet_dims)):
            self.jet_layers.append(nn.Linear(width_in, width_out))
            self.jet_layers.append(nn.ReLU())
            self.jet_layers.append(nn.Dropout(options.dropout))

    def forward(
        self,
        features: Inputs,
        angles: Float[Tensor, "particles 2"],
        batch: JetBatch,
    ) -> Float[Tensor, "jets width"]:
        """Return the last hidden layer; the first neighbours are those in ``angles``."""
        layout = JetLayout(batch.lengths, batch.device)
        particles, points = self.input_norm(features), angles
        for block in self.blocks:
            particles = points = block(particles, points, layout)
        jets: Tensor = self.jet_layers(mean_over_rows(particles, layout))
        return jets


class KindInput(nn.Sequential):
    """BN → linear without bias → BN → ReLU: the features of one kind to a width of all."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__(
            PackedBatchNorm(num_features),
            nn.Linear(num_features, width, bias=False),
            PackedBatchNorm(width),
            nn.ReLU(),
        )


class EdgeBlock(nn.Module):
    """An edge convolution beside a linear shortcut, where widths differ."""

    def __init__(self, width_in: int, dims: tuple[int, ...], num_neighbours: int) -> None:
        super().__init__()
        self.num_neighbours = num_neighbours
        self.edges = EdgeNetwork(width_in, dims)
        if width_in == dims[-1]:
            self.shortcut: nn.Module = nn.Identity()
        else:
            linear = nn.Linear(width_in, dims[-1], bias=False)
            self.shortcut = nn.Sequential(linear, PackedBatchNorm(dims[-1]))

    def forward(
        self,
        particles: Float[Tensor, "particles width_in"],
        points: Float[Tensor, "particles dims"],
        layout: JetLayout,
    ) -> Float[Tensor, "particles width"]:
        """Return the particles after an edge convolution among those nearest in ``points``."""
        neighbours = nearest_neighbours(points, self.num_neighbours, layout)
        return F.relu(self.shortcut(particles) + self.edges(particles, neighbours))
