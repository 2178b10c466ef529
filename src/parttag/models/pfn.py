"""Particle Flow Network: a function of each particle, summed over the jet (arXiv:1810.05165).

This is the variant of the Particle Transformer's repository:

- Φ, on each particle: three linear layers, each with ReLU;
- the sum over the particles of a jet (not the mean: multiplicity is information);
- F, on each jet: three linear layers, each with ReLU; then the logits.

Particles of several kinds have a Φ each.

83,842 parameters with 7 features and 2 classes; 86,154 with 17 and 10.
"""

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.kind_features import particle_inputs
from parttag.jets.kinds import KindLabel
from parttag.models.layers.kinds import MostParticles, input_network, particle_limits
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import sum_over_particles


class PFNOptions(ModelOptions):
    """Sizes of a Particle Flow Network."""

    name: Literal["pfn"] = "pfn"
    particle_dims: tuple[PositiveInt, ...] = Field(default=(128, 128, 128), min_length=1)
    """Widths of Φ, the network of each particle."""
    kind_dims: dict[KindLabel, tuple[PositiveInt, ...]] = Field(default={})
    """Of kinds of particles whose Φ has widths of its own, those before the last."""
    jet_dims: tuple[PositiveInt, ...] = Field(default=(128, 128, 128), min_length=1)
    """Widths of F, the network of the summed particles."""
    max_particles: MostParticles = 128
    """Particles of highest pT that are used, of all or of each kind; null for all."""


@register_model("pfn", paper="arXiv:1810.05165", recipe="toptagging/pfn.yaml")
class PFN(Tagger):
    """Particle Flow Network; see the module's documentation."""

    options_class = PFNOptions
    takes_kinds = True

    def __init__(
        self, options: PFNOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = particle_limits(options.max_particles, feature_names)
        jet_dims = options.jet_dims
        self.backbone = input_network(
            feature_names,
            lambda dims: nn.Sequential(*relu_layers(dims)),
            options.particle_dims,
            options.kind_dims,
        )
        self.head = nn.Sequential(
            *relu_layers((options.particle_dims[-1], *jet_dims)),
            nn.Linear(jet_dims[-1], num_classes),
        )

    @classmethod
    def needs_momenta(cls, options: ModelOptions) -> bool:  # noqa: ARG003
        """Return whether it reads momenta besides the features: it does not."""
        return False

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the sum of Φ over the particles of each jet."""
        particles: Tensor = self.backbone(particle_inputs(batch, self.feature_names))
        return sum_over_particles(particles, batch)


def relu_layers(dims: tuple[int, ...]) -> list[nn.Module]:
    """Return linear layers from each width to the next, each with its ReLU."""
    return [
        layer
        for width_in, width_out in pairwise(dims)
        for layer in (nn.Linear(width_in, width_out), nn.ReLU())
    ]
