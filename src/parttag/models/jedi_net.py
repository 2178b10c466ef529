"""JEDI-net with ΣO: an interaction network over all directed pairs of particles (arXiv:1908.05318).

- Inputs: sixteen raw features of up to 150 particles, not standardized; see ``particle_inputs``.
- f_R, on the features of receiver and sender of each edge: linear layers to 256, 128 and 64, each
  with SELU. An edge goes from each particle to each other one (``models/layers/edge_sums.py``).
- The sum of f_R over the edges that a particle receives: its effect.
- f_O, on the features of each particle beside its effect: linear layers to 256, 128 and 32, each
  with ReLU.
- ΣO: the sum of f_O over particles.
- φ_C, on each jet: linear layers to 256 and 128, each with SELU; then the logits.

148,962 parameters with 2 classes. The network computes its inputs from four-momenta and reads none
of the features that ``features`` of the configuration names.

The published network has no mask: a jet is padded to 150 particles with zeros, which send, receive
and are summed as if they were there. By default ours computes only the particles that exist;
``reference_padding`` does what was published.

Our names beside the paper's: ``hidden_dim`` is the width of every first hidden layer, of which the
second has half; ``effect_dim`` is D_E, ``output_dim`` D_O.

References
----------
arXiv:1908.05318; for top tagging, the features, sizes and activations of the authors' repository.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import PositiveInt
from torch import Tensor, nn

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.models.layers.edge_sums import EdgeSums
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger, padding_footnote
from parttag.ops.jet_sums import sum_over_particles

NUM_INPUTS = 16
# Particles nearer to the leading one do not say which way a jet is turned.
_PIVOT_DISTANCE = 0.1


class JEDINetOptions(ModelOptions):
    """Sizes and padding of a JEDI-net; the defaults are the published sizes.

    The network makes its own inputs from four-momenta: ``features`` must be left out.
    """

    name: Literal["jedi_net"] = "jedi_net"
    hidden_dim: PositiveInt = 256
    """Width of the first hidden layer of each network; the second has half."""
    effect_dim: PositiveInt = 64
    """Width of what an edge brings to its receiver."""
    output_dim: PositiveInt = 32
    """Width of what is summed over particles."""
    reference_padding: bool = False
    """Let the zeros that fill a jet up to ``max_particles`` take part, as in the publication."""
    max_particles: PositiveInt = 150
    """Particles of highest pT that are used."""


@register_model("jedi_net", paper="arXiv:1908.05318", recipe="toptagging/jedi_net.yaml")
class JEDINet(Tagger):
    """JEDI-net with ΣO; see the module's documentation."""

    options_class = JEDINetOptions
    reads_features = False

    def __init__(
        self, options: JEDINetOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.length = self.max_particles = options.max_particles
        self.reference_padding = options.reference_padding
        hidden = options.hidden_dim
        self.backbone = InteractionNetwork(hidden, options.effect_dim, options.output_dim)
        self.head = nn.Sequential(
            nn.Linear(options.output_dim, hidden),
            nn.SELU(),
            nn.Linear(hidden, hidden // 2),
            nn.SELU(),
            nn.Linear(hidden // 2, num_classes),
        )

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:
        """Return whether padding takes part."""
        assert isinstance(options, JEDINetOptions)
        return (padding_footnote(options.reference_padding),)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the sum of f_O over the particles of each jet."""
        batch = batch.leading(self.length)
        inputs = particle_inputs(batch)
        if not self.reference_padding:
            return sum_over_particles(self.backbone(inputs, batch.lengths), batch)
        padded = batch.pad_values(inputs, self.length)
        outputs: Tensor = self.backbone(padded.flatten(0, 1), np.full(len(batch), self.length))
        # A view with its width named: of no jets at all, −1 could be anything.
        by_jet = outputs.to(batch.p4.dtype).view(*padded.shape[:2], outputs.shape[1])
        return by_jet.sum(dim=1)


class InteractionNetwork(nn.Module):
    """f_R, its sums, and f_O."""

    def __init__(self, hidden_dim: int, effect_dim: int, output_dim: int) -> None:
        super().__init__()
        self.edges = EdgeSums(NUM_INPUTS, (hidden_dim, hidden_dim // 2, effect_dim))
        self.particles = nn.Sequential(
            nn.Linear(NUM_INPUTS + effect_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim // 2),
            nn.ReLU(),
            nn.Linear(hidden_dim // 2, output_dim),
            nn.ReLU(),
        )

    def forward(
        self, inputs: Float[Tensor, "particles inputs"], lengths: Int64[np.ndarray, " jets"]
    ) -> Float[Tensor, "particles width"]:
        """Return f_O of every particle."""
        effects = self.edges(inputs, lengths)
        outputs: Tensor = self.particles(torch.cat([inputs, effects], dim=1))
        return outputs


# ----------------------------------------------------------------------------------------- inputs


@torch.no_grad()
def particle_inputs(batch: JetBatch) -> Float[Tensor, "particles 16"]:
    """Return the sixteen inputs of every particle, raw: GeV, radians and pure numbers.

    px, py, pz, E, E/E_jet, pT, pT/pT_jet, y, Δη, y_rot, φ, Δφ, φ_rot, ΔR, cos θ and cos θ_rot. The
    jet is the sum of the particles in the batch. y is rapidity, but Δη is its difference to the
    jet's *pseudo*rapidity, times the sign of the latter; cosines belong to the polar angle that y
    would be the pseudorapidity of.
    """
    if batch.num_particles == 0:
        return batch.p4.new_zeros(0, NUM_INPUTS)
    p4 = batch.p4[: batch.num_particles]
    jet = batch.jet_of_particle[: len(p4)]
    jet_p4 = sum_over_particles(p4, batch)
    # Particles along the beam or of nothing may be all that a jet has.
    jet_pt, jet_energy = (
        v.clamp(min=kinematics.TINY) for v in (kinematics.pt(jet_p4), jet_p4[:, 3])
    )
    pt, y, phi = kinematics.pt(p4), kinematics.rapidity(p4), kinematics.phi(p4)
    jet_eta = kinematics.eta(jet_p4)[jet]
    delta_eta = (y - jet_eta) * torch.where(jet_eta < 0, -1.0, 1.0).to(y.dtype)
    delta_phi = kinematics.delta_phi(phi, kinematics.phi(jet_p4)[jet])
    y_rot, phi_rot = _turned(pt, y, phi, batch)
    inputs = [
        *p4.unbind(dim=1),
        p4[:, 3] / jet_energy[jet],
        pt,
        pt / jet_pt[jet],
        y,
        delta_eta,
        y_rot,
        phi,
        delta_phi,
        phi_rot,
        kinematics.delta_r(delta_eta, delta_phi),
        y.tanh(),  # = cos(2 atan e⁻ʸ)
        y_rot.tanh(),
    ]
    return torch.stack(inputs, dim=1)


def _turned(
    pt: Float[Tensor, " particles"],
    y: Float[Tensor, " particles"],
    phi: Float[Tensor, " particles"],
    batch: JetBatch,
) -> tuple[Float[Tensor, " particles"], Float[Tensor, " particles"]]:
    """Return rapidity and azimuth relative to the leading particle, rotated and reflected.

    The pivot, the hardest particle that is more than 0.1 away from the leading one, is turned in
    the plane of py and pz to negative azimuth and no rapidity; without one nothing is turned. Then
    rapidities change sign if, before the rotation, those below the leading particle's carried more
    pT than those above.
    """
    jet = batch.jet_of_particle[: len(pt)]
    leading = _hardest(pt, batch)[jet]
    y, phi = y - y[leading], kinematics.delta_phi(phi, phi[leading])
    px, py, pz = pt * phi.cos(), pt * phi.sin(), pt * y.sinh()
    far_pt = torch.where(kinematics.delta_r(y, phi) > _PIVOT_DISTANCE, pt, 0)
    pivot = _hardest(far_pt, batch)[jet]
    turns = far_pt[pivot] > 0
    radius = torch.hypot(py[pivot], pz[pivot])
    cos = torch.where(turns, -py[pivot] / radius, 1)
    sin = torch.where(turns, pz[pivot] / radius, 0)
    py, pz = cos * py - sin * pz, sin * py + cos * pz
    new_pt = torch.hypot(px, py).clamp(min=kinematics.TINY)
    lean = sum_over_particles((pt * y.sign())[:, None], batch)[jet, 0]
    y_rot = torch.asinh(pz / new_pt) * torch.where(lean < 0, -1.0, 1.0).to(pt.dtype)
    return y_rot, torch.asin((py / new_pt).clamp(-1, 1))


def _hardest(pt: Float[Tensor, " particles"], batch: JetBatch) -> Int64[Tensor, " jets"]:
    """Return the row of the largest value of each jet; that of some particle for an empty one."""
    rows = batch.offsets[:-1] + batch.pad_values(pt[:, None])[..., 0].argmax(dim=1)
    return rows.clamp(max=len(pt) - 1)
