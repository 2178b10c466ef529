"""Particle Flow Network as first published, with three inputs of its own (arXiv:1810.05165).

- Inputs: each particle's share of the pT of all, and its rapidity and azimuth relative to their
  pT-weighted mean; by default also rotated and reflected, see ``particle_inputs``.
- Φ, on each particle: linear layers to 100, 100 and 256, each with ReLU.
- The sum over the particles of a jet.
- F, on each jet: linear layers to 100, 100 and 100, each with ReLU; then the logits.

82,458 parameters with 2 classes. The network computes its inputs from four-momenta and reads none
of the features that ``features`` of the configuration names.

Kernels begin He-uniform, the last one Glorot-uniform, and biases at zero, as in EnergyFlow, the
authors' package. How the published result on top tagging was rotated and reflected is not written
down; we do what that package offers for it. All particles are used, as there.

References
----------
arXiv:1810.05165; on top tagging arXiv:1902.09914, where the rotated and reflected network is the
one in the table.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.models.pfn import relu_layers
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import sum_over_particles


class PFNOriginalOptions(ModelOptions):
    """Sizes and preprocessing of a Particle Flow Network as first published.

    The network makes its own inputs from four-momenta: ``features`` must be left out.
    """

    name: Literal["pfn_original"] = "pfn_original"
    particle_dims: tuple[PositiveInt, ...] = Field(default=(100, 100, 256), min_length=1)
    """Widths of Φ, the network of each particle."""
    jet_dims: tuple[PositiveInt, ...] = Field(default=(100, 100, 100), min_length=1)
    """Widths of F, the network of the summed particles."""
    align: bool = True
    """Rotate and reflect each jet before the network sees it."""
    max_particles: PositiveInt | None = None
    """Particles of highest pT that are used; null for all."""


@register_model("pfn_original", paper="arXiv:1810.05165", recipe="toptagging/pfn_original.yaml")
class PFNOriginal(Tagger):
    """Particle Flow Network as first published; see the module's documentation."""

    options_class = PFNOriginalOptions
    reads_features = False

    def __init__(
        self, options: PFNOriginalOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = options.max_particles
        self.align = options.align
        jet_dims = options.jet_dims
        self.backbone = nn.Sequential(*relu_layers((3, *options.particle_dims)))
        logits = nn.Linear(jet_dims[-1], num_classes)
        self.head = nn.Sequential(*relu_layers((options.particle_dims[-1], *jet_dims)), logits)
        self.apply(_initialize)
        nn.init.xavier_uniform_(logits.weight)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the sum of Φ over the particles of each jet."""
        return sum_over_particles(self.backbone(particle_inputs(batch, align=self.align)), batch)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


@torch.no_grad()
def particle_inputs(batch: JetBatch, *, align: bool) -> Float[Tensor, "particles 3"]:
    """Return pT fraction and centred position of every particle, in the plane of rapidity and φ.

    Positions are relative to their pT-weighted mean. With ``align`` the jet is then turned about
    it so that the principal axis of pT, the direction in which the pT-weighted positions vary
    most, is that of φ; and each of the two coordinates is reflected where its negative side
    carries more pT than its positive one.
    """
    p4 = batch.p4[: batch.num_particles]
    jet = batch.jet_of_particle[: len(p4)]
    pt = kinematics.pt(p4)[:, None]
    # The sum is 0 where particles along the beam or of nothing are all that a jet has.
    fraction = pt / sum_over_particles(pt, batch).clamp(min=kinematics.TINY)[jet]
    # Relative to the jet axis first: a mean of azimuths needs them on one side of ±π.
    delta_phi = kinematics.delta_phi(kinematics.phi(p4), batch.jet_axis[jet, 1])
    position = torch.stack([kinematics.rapidity(p4), delta_phi], dim=1)
    position = position - sum_over_particles(fraction * position, batch)[jet]
    if align:
        position = _turned(position, fraction, batch)
        lean = sum_over_particles(fraction * position.sign(), batch)
        position = position * torch.where(lean < 0, -1.0, 1.0).to(position.dtype)[jet]
    return torch.cat([fraction, position], dim=1)


def _turned(
    position: Float[Tensor, "particles 2"],
    fraction: Float[Tensor, "particles 1"],
    batch: JetBatch,
) -> Float[Tensor, "particles 2"]:
    """Return the positions with the principal axis along the second coordinate."""
    y, phi = position.t()
    products = torch.stack([y * y, y * phi, phi * phi], dim=1)
    yy, y_phi, phi_phi = sum_over_particles(fraction * products, batch).t()
    angle = 0.5 * torch.atan2(2 * y_phi, yy - phi_phi)[batch.jet_of_particle[: len(position)]]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * phi - sin * y, cos * y + sin * phi], dim=1)
