"""A network: the mean of what a small perceptron makes of each particle."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.features import particle_features
from parttag.models import ModelOptions, Tagger, register_model
from parttag.ops.jet_sums import mean_over_particles


class MeanNetOptions(ModelOptions):
    """Sizes of the network."""

    name: Literal["mean_net"] = "mean_net"
    width: PositiveInt = 16
    """Width of every layer."""


@register_model("mean_net", paper="arXiv:0000.00000")
class MeanNet(Tagger):
    """Mean over the particles, then a linear layer."""

    options_class = MeanNetOptions

    def __init__(
        self, options: MeanNetOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names, self.max_particles = feature_names, None
        self.backbone = nn.Sequential(nn.Linear(len(feature_names), options.width), nn.ReLU())
        self.head = nn.Linear(options.width, num_classes)

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return what a table says of the network."""
        return ("a mean over particles, for example",)

    def encode(self, batch: JetBatch) -> Tensor:
        """Return the mean over the particles of each jet."""
        particles = self.backbone(particle_features(batch, self.feature_names))
        return mean_over_particles(particles, batch)
