"""Rotational Particle Convolution Network, in our sizes: rPCN (our sizes) (arXiv:2107.02908).

The paper promotes the sum over particles of a Particle Flow Network to a convolution over the
rotations of the plane of (Δη, Δφ) about the jet axis. What that forces, and what is built here:

- Lift: a particle has a position x in that plane and scalars s, which are all its other features.
  For each angle θ of a uniform grid, h(θ) = Σ Φ(R(−θ) x, s), summed over the particles. Turning
  the jet by an angle of the grid moves h along θ by as many places and changes nothing else.
- Convolutions over θ, circular, which keep that.
- Pooling over θ, after which no such turn changes anything.
- A perceptron for the logits.

How many angles, how wide and deep, how it pools, its inputs and its training are published nowhere
that we could read; the choices are ours, and a result is not that of the paper:

- 16 angles; Φ of three linear layers to 64, 64 and 128, each with ReLU;
- two convolutions over 5 neighbouring angles with 128 channels, each with ReLU;
- the mean over θ beside the maximum; one hidden layer of 128 with ReLU;
- each particle counts once: this is not the infrared-safe form, which weights by pT. So s must hold
  the pT, and should hold nothing that depends on the angle. The recipe takes ln pT, ln pT/pT_jet
  and ΔR; of the features that there are, energies change with η and would break the symmetry.

210,114 parameters with these five features and 2 classes. Δη carries the sign of the jet's η, as in
all features; between the angles of the grid, invariance is only approximate.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.jets.features import particle_features
from parttag.models.pfn import relu_layers
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import sum_over_particles

_POSITION = ("delta_eta", "delta_phi")


class RPCNOptions(ModelOptions):
    """Sizes of a rotational Particle Convolution Network; all of them are our choice."""

    name: Literal["rpcn"] = "rpcn"
    num_angles: PositiveInt = 16
    """Angles of the grid."""
    particle_dims: tuple[PositiveInt, ...] = Field(default=(64, 64, 128), min_length=1)
    """Widths of Φ, the network of each particle at each angle."""
    angle_dims: tuple[PositiveInt, ...] = (128, 128)
    """Channels of the convolutions over angles."""
    kernel_size: PositiveInt = 5
    """Neighbouring angles that a convolution sees: an odd number, at most ``num_angles``."""
    jet_dims: tuple[PositiveInt, ...] = (128,)
    """Widths of the hidden layers after pooling."""
    max_particles: PositiveInt | None = 128
    """Particles of highest pT that are used; null for all."""

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> "RPCNOptions":
        if self.kernel_size % 2 == 0 or self.kernel_size > self.num_angles:
            raise ValueError(
                f"kernel_size, {self.kernel_size}, is not an odd number of at most num_angles, "
                f"{self.num_angles}"
            )
        return self


@register_model("rpcn", paper="arXiv:2107.02908", recipe="toptagging/rpcn.yaml")
class RPCN(Tagger):
    """Rotational Particle Convolution Network; see the module's documentation.

    Raises
    ------
    InputError
        If the features do not have both coordinates of the plane.
    """

    options_class = RPCNOptions

    def __init__(
        self, options: RPCNOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        missing = [name for name in _POSITION if name not in feature_names]
        if missing:
            raise InputError(
                f"features: rpcn rotates the plane of delta_eta and delta_phi; add "
                f"{' and '.join(missing)}"
            )
        self.feature_names = feature_names
        self.max_particles = options.max_particles
        self.backbone = Backbone(options, num_scalars=len(feature_names) - len(_POSITION))
        dims = (2 * (options.particle_dims + options.angle_dims)[-1], *options.jet_dims)
        self.head = nn.Sequential(*relu_layers(dims), nn.Linear(dims[-1], num_classes))

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return mean and maximum over all angles."""
        scalars = [name for name in self.feature_names if name not in _POSITION]
        features = particle_features(batch, [*_POSITION, *scalars])[: batch.num_particles]
        pooled: Tensor = self.backbone(features, batch)
        return pooled


class Backbone(nn.Module):
    """Lift, convolutions over angles, and pooling."""

    def __init__(self, options: RPCNOptions, num_scalars: int) -> None:
        super().__init__()
        dims = options.particle_dims
        self.num_angles = options.num_angles
        self.first = nn.Linear(len(_POSITION) + num_scalars, dims[0])
        self.particles = nn.Sequential(nn.ReLU(), *relu_layers(dims))
        self.angles = nn.Sequential(
            *(
                layer
                for widths in pairwise((dims[-1], *options.angle_dims))
                for layer in (_circular_convolution(*widths, options.kernel_size), nn.ReLU())
            )
        )

    def forward(
        self, features: Float[Tensor, "particles features"], batch: JetBatch
    ) -> Float[Tensor, "jets pooled"]:
        """Return mean and maximum over the angles, after the convolutions."""
        angles: Tensor = self.angles(self.lift(features, batch))
        return torch.cat([angles.mean(dim=2), angles.amax(dim=2)], dim=1)

    def lift(
        self, features: Float[Tensor, "particles features"], batch: JetBatch
    ) -> Float[Tensor, "jets channels angles"]:
        """Return h(θ): the sum of Φ over particles, each jet turned back by every angle.

        The position comes first among the features. Only the part of the first layer that reads
        it depends on the angle: instead of the particles, its weights are turned.
        """
        for_position, for_scalars = self.first.weight.tensor_split([len(_POSITION)], dim=1)
        turned = (for_position @ _turns_back(self.num_angles, features)).flatten(0, 1)
        position, scalars = features.tensor_split([len(_POSITION)], dim=1)
        hidden = nn.functional.linear(position, turned).unflatten(1, (self.num_angles, -1))
        hidden = hidden + nn.functional.linear(scalars, for_scalars, self.first.bias)[:, None]
        hidden = self.particles(hidden)
        sums = sum_over_particles(hidden.flatten(1), batch)
        return sums.view(len(batch), *hidden.shape[1:]).mT


def _turns_back(num_angles: int, like: Tensor) -> Float[Tensor, "angles 2 2"]:
    """Return R(−θ) of every angle of the grid."""
    angles = torch.arange(num_angles, device=like.device, dtype=like.dtype)
    angles = angles * (2 * math.pi / num_angles)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2)


def _circular_convolution(width_in: int, width_out: int, kernel_size: int) -> nn.Conv1d:
    return nn.Conv1d(
        width_in, width_out, kernel_size, padding=kernel_size // 2, padding_mode="circular"
    )
