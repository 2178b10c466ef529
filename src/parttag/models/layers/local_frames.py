"""Local frames of particles, which a network predicts: what LLoCa's networks read momenta in.

A small network makes three vectors of every node, sums over its pairs (i, j) of (pᵢ + pⱼ)/|pᵢ + pⱼ|
with weights from scalars of the nodes and ln (pᵢ + pⱼ)². They make a boost and a rotation, which
turn with the jet: momenta in them do not change when the jet is transformed. By the package
``lloca`` (arXiv:2505.20280, arXiv:2508.14898).
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.features import FEATURE_SETS, particle_features
from parttag.models.layers.equivariant_packages import import_for
from parttag.models.layers.reference_vectors import (
    Nodes,
    energy_first,
    make_nodes,
    make_references,
)
from parttag.models.tagger import ModelOptions
from parttag.ops.collectives import sum_over_ranks
from parttag.ops.jet_sums import sum_over_rows
from parttag.ops.layout import JetLayout

_KINEMATIC = frozenset(FEATURE_SETS["kin"])
# (value − centre) · scale of ln pT, ln E, both less the jet's, Δφ, Δη and ΔR.
_STANDARD = torch.tensor(
    [[1.7, 0.7], [2.0, 0.7], [-4.7, 0.7], [-4.7, 0.7], [0, 1], [0, 1], [0.2, 4]],
    dtype=torch.float64,
)
_LEAST = 1e-5
_SMALLEST = 1e-15


class LocalFrameOptions(ModelOptions):
    """The network of local frames; the defaults are those of the published top tagging.

    Of ``features`` the kinematic ones are computed in the local frames, whether they are named or
    not; the others are read as they are.
    """

    frame_scalars: Literal["kinematics", "none"] = "kinematics"
    """What the network of frames reads besides invariant masses and features that are not
    kinematic. kinematics: the kinematic features, along the axes of the laboratory, which is as
    published and breaks the Lorentz symmetry. none: nothing."""
    frame_dim: PositiveInt = 128
    """Width of the network of frames."""
    frame_layers: PositiveInt = 2
    """Its hidden layers."""
    frame_dropout: float = Field(default=0.1, ge=0, lt=1)
    """After its linear layers."""
    rest_frame: bool = True
    """Take momenta to the rest frame of the jet first, and the kinematic features there."""
    min_mass: PositiveFloat = 5e-3
    """Mass in GeV that particles and reference vectors of less are given, by more energy in the
    laboratory."""
    preserve_variance: bool = False
    """Divide by the γ of each local frame when numbers go from one frame to another, which the
    package does by default since version 2, and not when the published numbers were made. The γ is
    that of the jet's total momentum (``p_ref``)."""
    max_particles: PositiveInt | None = None
    """Particles of highest pT that are used; null for all."""

    @classmethod
    def other_features(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the features that are not kinematic."""
        return tuple(name for name in names if name not in _KINEMATIC)


class LocalParticles(NamedTuple):
    """The particles of all jets in frames of their own; momenta are (E, px, py, pz) in GeV."""

    features: Float64[Tensor, "particles features"]
    """Those that are not kinematic, then the seven that are."""
    momenta: Float64[Tensor, "particles 4"]
    """In the frame of each."""
    matrices: Float64[Tensor, "particles 4 4"]
    """From the frame that all share to that of each."""
    jets: Float64[Tensor, "particles 4"]
    """The momentum of each particle's jet, in the frame that all share."""


class LocalFrames(nn.Module):
    """Particles of a batch to particles in frames of their own."""

    references: Tensor

    def __init__(self, options: LocalFrameOptions, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = options.other_features(feature_names)
        self.reads_kinematics = options.frame_scalars == "kinematics"
        self.min_mass, self.rest_frame = options.min_mass, options.rest_frame
        self.register_buffer("references", make_references("beams"), persistent=False)
        num_scalars = len(self.names) + len(_STANDARD) * self.reads_kinematics
        self.vectors = EdgeVectors(options, num_scalars)

    @property
    def num_features(self) -> int:
        """Features of a particle in its frame."""
        return len(self.names) + len(_STANDARD)

    def forward(self, batch: JetBatch) -> LocalParticles:
        """Return the particles in their frames."""
        nodes = make_nodes(
            batch, self.references.double(), min_mass=self.min_mass, rest_frame=self.rest_frame
        )
        dtype = next(self.vectors.parameters()).dtype
        others = nodes.momenta.new_zeros(batch.num_particles, 0)
        if self.names:
            others = particle_features(batch, self.names)[: batch.num_particles].double()
        scalars = self._scalars(nodes, others).to(dtype)
        vectors = self.vectors(energy_first(nodes.momenta), scalars, nodes.layout)
        matrices = polar_frames(vectors.index_select(0, nodes.particles))
        momenta = nodes.momenta.index_select(0, nodes.particles)
        of_particles = JetLayout(batch.lengths, batch.device)
        jets = sum_over_rows(momenta, of_particles)[of_particles.jet_of_particle]
        momenta, jets = energy_first(momenta), energy_first(jets)
        local = (matrices @ momenta[..., None])[..., 0]
        of_jets = (matrices @ jets[..., None])[..., 0]
        features = torch.cat([others, kinematic_features(local, of_jets)], dim=1)
        return LocalParticles(features, local, matrices, jets)

    def _scalars(
        self, nodes: Nodes, others: Float64[Tensor, "particles others"]
    ) -> Float64[Tensor, "nodes scalars"]:
        """Return what the network of frames reads of the nodes; of reference vectors it is 0."""
        scalars = others.new_zeros(len(nodes.momenta), others.shape[1])
        scalars = scalars.index_copy(0, nodes.particles, others)
        if not self.reads_kinematics:
            return scalars
        jets = sum_over_rows(nodes.momenta, nodes.layout)
        if self.rest_frame:  # exactly, and not up to rounding
            jets = torch.cat([torch.zeros_like(jets[:, :3]), jets[:, 3:]], dim=1)
        momenta = nodes.momenta.index_select(0, nodes.particles)
        jets = jets[nodes.layout.jet_of_particle].index_select(0, nodes.particles)
        kinematic = kinematic_features(energy_first(momenta), energy_first(jets))
        empty = kinematic.new_zeros(len(nodes.momenta), kinematic.shape[1])
        return torch.cat([scalars, empty.index_copy(0, nodes.particles, kinematic)], dim=1)


class EdgeVectors(nn.Module):
    """The package's sums over pairs, which here are counted on the host.

    Logarithms of masses are standardized by their mean and deviation in the first batch of the
    training, as in the authors' code.
    """

    def __init__(self, options: LocalFrameOptions, num_scalars: int) -> None:
        super().__init__()
        package = import_for(options.name, "lloca.equivectors.mlp")
        self.block = package.EquiEdgeConv(
            in_vectors=1,
            out_vectors=3,
            num_scalars=num_scalars,
            hidden_channels=options.frame_dim,
            num_layers_mlp=options.frame_layers,
            dropout_prob=options.frame_dropout or None,
        )
        self._edge_attr = package.get_edge_attr
        self._is_standardized = False

    def forward(
        self,
        momenta: Float64[Tensor, "nodes 4"],
        scalars: Float[Tensor, "nodes scalars"],
        layout: JetLayout,
    ) -> Float64[Tensor, "nodes 3 4"]:
        """Return three vectors of each node, (E, px, py, pz) as the momenta."""
        pairs = ordered_pairs(layout)
        if self.training and not self._is_standardized:
            self._standardize(momenta, pairs)
        self.block._edge_inited_checked = True
        jet = layout.jet_of_particle
        vectors = self.block(momenta, scalars, pairs, layout.offsets, batch=jet)
        parts: Tensor = vectors.unflatten(1, (3, 4))
        return parts

    @torch.no_grad()
    def _standardize(self, momenta: Tensor, pairs: Tensor) -> None:
        self._is_standardized = True
        if self.block.edge_inited.item():
            return
        masses = self._edge_attr(momenta[:, None], pairs)
        sums = torch.stack([torch.ones_like(masses).sum(), masses.sum(), masses.square().sum()])
        count, total, squares = sum_over_ranks(sums)
        variance = (squares - total.square() / count.clamp(min=1)) / (count - 1).clamp(min=1)
        self.block.edge_mean.copy_(total / count.clamp(min=1))
        self.block.edge_std.copy_(variance.clamp(min=0).sqrt().clamp(min=1e-5))
        self.block.edge_inited.fill_(True)


def polar_frames(vectors: Float64[Tensor, "nodes 3 4"]) -> Float64[Tensor, "nodes 4 4"]:
    """Return the matrices into frames: the rest frame of the first vector, turned by the others.

    The second points along the first axis there, the third lies in the plane of the first two axes.
    Where they are parallel the package adds something at random, and its scores of a jet of a
    single particle are not the same twice; here nothing is added.
    """
    mass = minkowski_energy_first(vectors[:, 0]).clamp(min=_LEAST**4).sqrt()
    gamma, velocity = (vectors[:, 0] / mass[:, None]).split([1, 3], dim=1)
    spatial = velocity[:, :, None] * velocity[:, None] / (gamma[..., None] + 1)
    spatial = spatial + torch.eye(3, dtype=spatial.dtype, device=spatial.device)
    boost = torch.cat([-velocity[:, :, None], spatial], dim=2)
    turned = vectors[:, 1:] @ boost.transpose(1, 2)
    first, second = nn.functional.normalize(turned, dim=2, eps=_SMALLEST).unbind(dim=1)
    second = second - (second * first).sum(dim=1, keepdim=True) * first
    second = nn.functional.normalize(second, dim=1, eps=_SMALLEST)
    rotation = torch.stack([first, second, torch.linalg.cross(first, second)], dim=1)
    time = torch.cat([gamma, -velocity], dim=1)
    return torch.cat([time[:, None], rotation @ boost], dim=1)


def minkowski_energy_first(p4: Float64[Tensor, "*shape 4"]) -> Float64[Tensor, "*shape"]:
    """Return E² − p² of (E, px, py, pz)."""
    return p4[..., 0].square() - p4[..., 1:].square().sum(dim=-1)


def ordered_pairs(layout: JetLayout) -> Int64[Tensor, "2 pairs"]:
    """Return all pairs i ≠ j of nodes of a jet, those of each i together."""
    lengths, jet = layout.lengths, layout.jet_of_particle
    num_pairs = int((lengths * (lengths - 1)).sum())
    offset, number = layout.offsets[jet], layout.offsets.diff()[jet] - 1
    rows = torch.arange(layout.num_rows, device=layout.device)
    first = torch.repeat_interleave(rows, number, output_size=num_pairs)
    place = torch.arange(num_pairs, device=layout.device) - (number.cumsum(0) - number)[first]
    second = offset[first] + place + (place >= (rows - offset)[first])
    return torch.stack([first, second])


def kinematic_features(
    momenta: Float64[Tensor, "particles 4"], jets: Float64[Tensor, "particles 4"]
) -> Float64[Tensor, "particles 7"]:
    """Return ln pT, ln E, both less the jet's, Δφ, Δη and ΔR, standardized and not clipped.

    As the authors have them: a pT is at least 10⁻⁵ GeV, Δη has the sign of the jet's less the
    particle's.

    Parameters
    ----------
    momenta, jets
        (E, px, py, pz) of each particle, and of its jet.
    """
    log_pt, log_energy, phi, eta = _cylindrical(momenta)
    jet_log_pt, jet_log_energy, jet_phi, jet_eta = _cylindrical(jets)
    delta_phi = torch.remainder(phi - jet_phi + torch.pi, 2 * torch.pi) - torch.pi
    delta_eta = jet_eta - eta
    delta_r = (delta_phi.square() + delta_eta.square()).clamp(min=_LEAST**2).sqrt()
    relative = log_pt - jet_log_pt, log_energy - jet_log_energy
    values = torch.stack([log_pt, log_energy, *relative, delta_phi, delta_eta, delta_r], dim=1)
    centre, scale = _STANDARD.to(values.device, non_blocking=True).t()
    standardized: Tensor = (values - centre) * scale
    return standardized


def _cylindrical(p4: Float64[Tensor, "particles 4"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ln pT, ln E, φ and η."""
    energy, px, py, pz = p4.unbind(dim=1)
    square = px.square() + py.square()
    log_pt = square.clamp(min=_LEAST**2).log() / 2
    px, py = (torch.where(p.abs() < _LEAST**2, _LEAST**2, p) for p in (px, py))
    cosine = pz / (square + pz.square()).clamp(min=_LEAST**2).sqrt()
    ahead, behind = ((1 + sign * cosine).clamp(min=_LEAST**2).log() for sign in (1, -1))
    return log_pt, energy.clamp(min=_LEAST**2).log(), torch.atan2(py, px), (ahead - behind) / 2


def frames_footnote(options: LocalFrameOptions) -> tuple[str, ...]:
    """Return what of a network with local frames is not Lorentz invariant, or not as published."""
    symmetry = (
        "its local frames are predicted from features along the axes of the laboratory, and it is "
        "not Lorentz invariant"
        if options.frame_scalars == "kinematics"
        else "invariant if jets and reference vectors are transformed together"
    )
    variance = (
        "with preserve_variance, which the published network did not have"
        if options.preserve_variance
        else "without preserve_variance, as published"
    )
    return (symmetry, variance)
