"""The encoder of masked particle modelling (arXiv:2401.13537), as a network of its own.

- Inputs of a particle: Δη and Δφ to the jet's axis, cut at ±0.8, and ln(1 + pT), each shifted and
  scaled by the mean and standard deviation of the first million training particles.
- Embedding: linear → leaky ReLU → LN → linear.
- NormFormer layers (``layers/normformer.py``) over the particles of the jet, which have no order,
  then LN.
- To classify: the mean over the particles, then linear → leaky ReLU → LN → linear. The published
  code leaves the classifier open; this one adds nothing to the backbone that pre-training has not
  trained.

With the dense network to 427 codes that pre-training adds, the sizes of the paper are (width,
hidden_dim, num_layers) = (256, 256, 4) with 1.83 million parameters, (512, 256, 8) with 10.9 and
(1024, 512, 8), the defaults, with 43.3.

References
----------
arXiv:2401.13537, and the authors' code where the paper leaves it open.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.models.layers.masking import visible_jets
from parttag.models.layers.normformer import NormFormer, dense_network, layout_for
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, ParticleEncoder
from parttag.ops.collectives import sum_over_ranks
from parttag.ops.jet_sums import mean_over_particles
from parttag.ops.kernels import Kernels
from parttag.ops.layout import JetLayout
from parttag.options import Heads

_NUM_INPUTS = 3
_MAX_ANGLE = 0.8
_MAX_COUNT = 1_000_000
# Below it a spread counts as none: inputs are of order one.
_MIN_STD = 1e-3


class MPMOptions(ModelOptions, Heads):
    """Sizes of the encoder; the defaults are the paper's."""

    name: Literal["mpm"] = "mpm"
    width: PositiveInt = 1024
    """Width of the layers."""
    hidden_dim: PositiveInt = 512
    """Width of the hidden layer of every dense network."""
    num_layers: PositiveInt = 8
    num_heads: PositiveInt = 8
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of attention weights."""
    max_particles: PositiveInt | None = 64
    """Particles of highest pT that are used; null for all."""
    kernels: Kernels = "auto"
    """What computes attention: triton, torch, or (auto) Triton's kernels on CUDA where they fit."""


@register_model("mpm", paper="arXiv:2401.13537", recipe="pretraining/mpm.yaml")
class MPM(ParticleEncoder):
    """Encoder of masked particle modelling; see the module's documentation."""

    backbone: "Backbone"

    options_class = MPMOptions
    reads_features = False
    num_inputs = _NUM_INPUTS

    def __init__(
        self, options: MPMOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = options.max_particles
        self.particle_width = options.width
        self.kernels = options.kernels
        self.head_width = options.width // options.num_heads
        self.backbone = Backbone(options)
        self.head = dense_network(options.width, options.hidden_dim, num_classes)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean over the particles of each jet; 0 for a jet without any."""
        return mean_over_particles(self.encode_particles(batch), batch)

    def encode_particles(
        self,
        batch: JetBatch,
        hidden: Bool[np.ndarray, " particles"] | None = None,
        placeholder: Float[Tensor, " placeholder_width"] | None = None,
    ) -> Float[Tensor, "particles particle_width"]:
        """Return the normalized particles.

        A placeholder is the embedding of a hidden particle or, if it is three numbers, its inputs,
        which are then standardized like the others and count among what is learned of them.
        """
        visible = batch if hidden is None else visible_jets(batch, hidden)
        inputs = _inputs(visible)
        replaces_inputs = placeholder is not None and len(placeholder) == _NUM_INPUTS
        if replaces_inputs:
            inputs = _between(inputs, batch, hidden, placeholder)
        embedded: Tensor = self.backbone.embed(inputs)
        if hidden is not None and not replaces_inputs:
            embedded = _between(embedded, batch, hidden, placeholder)
        layout = layout_for(batch.lengths, batch.p4, self.head_width, self.kernels)
        particles: Tensor = self.backbone(embedded, layout)
        return particles


def _between(
    visible: Float[Tensor, "visible width"],
    batch: JetBatch,
    hidden: Bool[np.ndarray, " particles"] | None,
    placeholder: Float[Tensor, " width"] | None,
) -> Float[Tensor, "particles width"]:
    """Return rows of all particles: those of the visible ones, and the placeholder elsewhere."""
    assert hidden is not None
    assert placeholder is not None
    rows = torch.from_numpy(np.flatnonzero(~hidden)).to(batch.device, non_blocking=True)
    everywhere = placeholder.to(visible.dtype).expand(batch.num_particles, -1)
    return everywhere.index_copy(0, rows, visible)


class Backbone(nn.Module):
    """Inputs of particles to what they are among the others of their jet."""

    def __init__(self, options: MPMOptions) -> None:
        super().__init__()
        self.standardization = Standardization(_NUM_INPUTS)
        self.encoder = NormFormer(
            _NUM_INPUTS,
            options.width,
            options.hidden_dim,
            num_layers=options.num_layers,
            num_heads=options.num_heads,
            dropout=options.dropout,
        )

    def embed(self, inputs: Float[Tensor, "particles 3"]) -> Float[Tensor, "particles width"]:
        """Return each particle on its own."""
        embedded: Tensor = self.encoder.embedding(self.standardization(inputs))
        return embedded

    def forward(
        self, embedded: Float[Tensor, "particles width"], layout: JetLayout
    ) -> Float[Tensor, "particles width"]:
        """Return the embedded particles after all layers."""
        return self.encoder.run_layers(embedded, layout)


class Standardization(nn.Module):
    """Shift and scale by mean and standard deviation of the first million rows of the training.

    Rows of all ranks count. Until there are two, inputs stay as they are.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(num_inputs))
        # Sum of the squared deviations from the mean.
        self.register_buffer("squares", torch.zeros(num_inputs))

    def forward(self, inputs: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows inputs"]:
        """Return the standardized rows; in training, learn from them first."""
        if self.training and torch.is_grad_enabled():
            self._learn(inputs.detach())
        std = (self.squares / self.count.clamp(min=1)).sqrt()
        std = torch.where((std > _MIN_STD) & (self.count > 1), std, 1.0)
        return (inputs - self.mean) / std

    @torch.no_grad()
    def _learn(self, rows: Tensor) -> None:
        """Add the rows, unless there are enough; nothing in here waits for the device."""
        number = sum_over_ranks(torch.full_like(self.count, len(rows)))
        mean = sum_over_ranks(rows.sum(dim=0)) / number.clamp(min=1)
        squares = sum_over_ranks((rows - mean).square().sum(dim=0))
        is_open = self.count < _MAX_COUNT
        total = (self.count + number).clamp(min=1)
        difference = mean - self.mean
        squares = squares + difference.square() * self.count * number / total
        self.squares.copy_(torch.where(is_open, self.squares + squares, self.squares))
        self.mean.copy_(torch.where(is_open, self.mean + difference * number / total, self.mean))
        self.count.copy_(torch.where(is_open, self.count + number, self.count))


def _inputs(batch: JetBatch) -> Float[Tensor, "particles 3"]:
    """Return Δη and Δφ to the jet's axis, cut at ±0.8, and ln(1 + pT)."""
    number = batch.num_particles
    p4, jet = batch.p4[:number], batch.jet_of_particle[:number]
    axis = batch.jet_axis[jet]
    delta_eta = kinematics.eta(p4) - axis[:, 0]
    delta_phi = kinematics.delta_phi(kinematics.phi(p4), axis[:, 1])
    angles = torch.stack([delta_eta, delta_phi], dim=1).clamp(-_MAX_ANGLE, _MAX_ANGLE)
    return torch.cat([angles, kinematics.pt(p4).log1p()[:, None]], dim=1)
