"""P-CNN: a one-dimensional residual convolution network over the particles in order of pT.

- The jet is a sequence of fixed length, 128: the particles of highest pT, then zeros.
- Stem: batch norm of the features → convolution to 32 channels → batch norm → ReLU.
- Three stages of two residual units, 64, 64 and 128 channels wide; the first unit of the second and
  of the third stage goes in strides of two, so that 128 positions become 64 and 32.
- A residual unit: [convolution → batch norm → ReLU] twice, and the shortcut is added after the last
  ReLU. Where width or stride changes, the shortcut is a convolution over one position, without bias
  or norm.
- Mean over all 32 positions, padding included → linear to 512 → ReLU → dropout → logits.

Every other convolution looks at three neighbouring positions and has a bias. 349,456 parameters
with 7 features and 2 classes, 354,540 with 17 and 10.

Padding is part of the definition: the zeros enter the statistics of the batch norms and the mean,
and they are as many as the fixed length says, whatever else is in the batch. The order of the
particles matters, too.

Our names beside those of the published code: ``stem`` is fts_conv, ``stages`` resnet_units,
``head`` fc.

References
----------
CMS DP-2017/049, as in arXiv:1902.08570; layers as in the repository of arXiv:2202.03772.
"""

from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.features import particle_features
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.collectives import num_ranks


class PCNNOptions(ModelOptions):
    """Sizes of a P-CNN; the defaults are the published ones."""

    name: Literal["pcnn"] = "pcnn"
    stem_dim: PositiveInt = 32
    """Channels of the first convolution."""
    stage_dims: tuple[tuple[PositiveInt, ...], ...] = Field(
        default=((64, 64), (64, 64), (128, 128)), min_length=1
    )
    """Channels of each residual unit of each stage."""
    hidden_dim: PositiveInt = 512
    """Width of the hidden layer of the head."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of the hidden layer of the head."""
    max_particles: PositiveInt = 128
    """Length of the sequence: jets are cut or padded to it."""


@register_model("pcnn", paper="arXiv:1902.09914", recipe="toptagging/pcnn.yaml")
class PCNN(Tagger):
    """P-CNN; see the module's documentation."""

    options_class = PCNNOptions

    def __init__(
        self, options: PCNNOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.length = self.max_particles = options.max_particles
        self.backbone = Backbone(options, len(feature_names))
        self.head = nn.Sequential(
            nn.Linear(options.stage_dims[-1][-1], options.hidden_dim),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.hidden_dim, num_classes),
        )

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean of the last channels over all positions."""
        features = particle_features(batch, self.feature_names)
        means: Tensor = self.backbone(batch.pad_values(features, self.length))
        return means


class Backbone(nn.Module):
    """The convolutions, and the mean over positions."""

    def __init__(self, options: PCNNOptions, num_features: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SequenceBatchNorm(num_features),
            nn.Conv1d(num_features, options.stem_dim, kernel_size=3, padding=1),
            SequenceBatchNorm(options.stem_dim),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        width = options.stem_dim
        for stage, dims in enumerate(options.stage_dims):
            units = []
            for unit, dim in enumerate(dims):
                units.append(ResidualUnit(width, dim, stride=2 if stage > 0 and unit == 0 else 1))
                width = dim
            stages.append(nn.Sequential(*units))
        self.stages = nn.Sequential(*stages)

    def forward(
        self, features: Float[Tensor, "jets positions features"]
    ) -> Float[Tensor, "jets width"]:
        """Return the mean of the last channels over all positions."""
        channels: Tensor = self.stages(self.stem(features.mT))
        return channels.mean(dim=2)


class ResidualUnit(nn.Module):
    """Two convolutions and a shortcut around them, with no activation after the sum."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width_in, width_out, kernel_size=3, padding=1, stride=stride),
            SequenceBatchNorm(width_out),
            nn.ReLU(),
            nn.Conv1d(width_out, width_out, kernel_size=3, padding=1),
            SequenceBatchNorm(width_out),
            nn.ReLU(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if width_in != width_out or stride != 1:
            self.shortcut = nn.Conv1d(width_in, width_out, kernel_size=1, stride=stride, bias=False)

    def forward(
        self, x: Float[Tensor, "jets width_in positions"]
    ) -> Float[Tensor, "jets width_out positions_out"]:
        """Return the sum of convolutions and shortcut."""
        total: Tensor = self.layers(x) + self.shortcut(x)
        return total


class SequenceBatchNorm(PackedBatchNorm):
    """Batch norm over every position of every jet, of all ranks together."""

    def forward(
        self, x: Float[Tensor, "jets channels positions"]
    ) -> Float[Tensor, "jets channels positions"]:
        """Return the normalized channels; in training, update the running statistics."""
        if not self.training:
            scale, shift = self.affine(self.running_mean, self.running_var)
            return x * scale[:, None] + shift[:, None]
        if num_ranks() == 1 and x.shape[0] * x.shape[2] > 1:
            return self.normalize_alone(x)
        positions = x.mT
        return super().forward(positions.flatten(0, 1)).view(positions.shape).mT
