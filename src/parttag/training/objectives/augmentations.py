"""Changes of a jet that its representation should not depend on: batch to batch, on its device.

Symmetries of the (η, φ) plane, and what the theory of soft and collinear radiation leaves open:

- ``rotate``: about the pT-weighted centroid, by an angle of the jet's own;
- ``translate``: by so many times the jet's extent at the most;
- ``split_collinear``: particles become two in the same direction, which share the four-momentum;
- ``smear_soft``: directions move by a normal deviate whose width falls as 1/pT.

A particle that moves keeps its pT and its mass, E = √(|p|² + m²) with the m² that it had: massless
ones stay massless. One without any pT has no place in the plane, and loses its pz. Momentum and
axis of a jet become those of the sum of its particles; splitting leaves them as they are. Particle
columns besides the four-momentum are copied.

References
----------
arXiv:2108.04253, section 3, and the authors' code: the widths, two passes of splitting up to 50
particles, and which view gets what. There, jets are rotated about the origin, at which they were
centred before; here about their centroid.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.packing import offsets_of, places
from parttag.ops.jet_sums import pt_centroids, sum_jets
from parttag.options import Options


class AugmentationOptions(Options):
    """How strongly the views of a jet differ; the defaults are the published ones."""

    rotation: float = Field(default=1.0, ge=0, le=1)
    """Largest angle of a rotation, in units of π; 0 for none."""
    translation: float = Field(default=1.0, ge=0)
    """Largest shift in η and in φ, in units of the jet's extent; 0 for none."""
    splitting_passes: NonNegativeInt = 2
    """How often each particle may be split; 0 for never."""
    split_to: PositiveInt = 50
    """Particles that a jet has after splitting, at the most."""
    smearing: float = Field(default=0.1, ge=0)
    """Width in η and in φ by which a particle of 1 GeV is smeared; 0 for none."""
    smearing_min_pt: PositiveFloat = 0.1
    """GeV below which the width rises no further."""
    keep_axis: bool = False
    """Give both views the axis that the jet had: a network whose inputs are relative to it sees a
    jet that has moved, as in the published code. Otherwise it is that of the view."""


def make_views(batch: JetBatch, options: AugmentationOptions) -> tuple[JetBatch, JetBatch]:
    """Return two views of each jet.

    The first is rotated and translated. The second is rotated once more, split, smeared and
    translated by a shift of its own.
    """
    first = second = sum_jets(batch)
    if options.rotation:
        first = rotate(first, options.rotation)
        second = rotate(first, options.rotation)
    for _ in range(options.splitting_passes):
        second = split_collinear(second, options.split_to)
    if options.smearing:
        second = smear_soft(second, options.smearing, options.smearing_min_pt)
    if options.translation:
        first, second = (translate(view, options.translation) for view in (first, second))
    if options.keep_axis:
        first, second = (replace(view, jet_axis=batch.jet_axis) for view in (first, second))
    return first, second


def rotate(batch: JetBatch, strength: float = 1.0) -> JetBatch:
    """Return the jets, each rotated in (η, φ) by an angle uniform in ±``strength``·π."""
    particles, centre = _Polar.of(batch), pt_centroids(batch)
    jet = particles.jet
    angle = strength * math.pi * _uniform(batch)
    cos, sin = angle.cos()[jet], angle.sin()[jet]
    eta, phi = centre[jet].t()
    delta_eta, delta_phi = particles.eta - eta, kinematics.delta_phi(particles.phi, phi)
    return particles.moved(
        batch,
        eta + cos * delta_eta - sin * delta_phi,
        phi + sin * delta_eta + cos * delta_phi,
    )


def translate(batch: JetBatch, strength: float = 1.0) -> JetBatch:
    """Return the jets, each shifted in η and in φ by up to ±``strength`` times its extent there.

    The extent is the distance between the outermost particles, at most π. No particle gets farther
    in φ than π from where the centroid was: it would come out on the other side.
    """
    particles, centre = _Polar.of(batch), pt_centroids(batch)
    jet = particles.jet
    delta_phi = kinematics.delta_phi(particles.phi, centre[jet, 1])
    low, high = _extremes(particles.eta - centre[jet, 0], jet, batch)
    eta_shift = strength * (high - low).clamp(max=math.pi) * _uniform(batch)
    low, high = _extremes(delta_phi, jet, batch)
    width = strength * (high - low).clamp(max=math.pi)
    low, high = torch.maximum(-width, -math.pi - low), torch.minimum(width, math.pi - high)
    phi_shift = low + (high - low) * (1 + _uniform(batch)) / 2
    return particles.moved(batch, particles.eta + eta_shift[jet], particles.phi + phi_shift[jet])


def smear_soft(batch: JetBatch, strength: float = 0.1, min_pt: float = 0.1) -> JetBatch:
    """Return the jets with η and φ of each particle smeared by ``strength`` · 1 GeV / pT.

    Parameters
    ----------
    batch
        The jets.
    strength
        Standard deviation for a particle of 1 GeV.
    min_pt
        In GeV; softer particles are smeared as one of this pT.
    """
    particles = _Polar.of(batch)
    width = strength / particles.pt.clamp(min=min_pt)
    eta_shift, phi_shift = width * torch.randn(
        2, len(width), dtype=width.dtype, device=width.device
    )
    return particles.moved(batch, particles.eta + eta_shift, particles.phi + phi_shift)


def split_collinear(batch: JetBatch, max_particles: int = 50) -> JetBatch:
    """Return the jets with random particles split in two, as many as there is room for.

    Each is split once at the most, and a jet gets up to ``max_particles`` particles; one that has
    as many already stays as it is. The shares of the two are u and 1 − u with u uniform in (0, 1).
    """
    lengths = batch.lengths
    num_split = np.minimum(lengths, max_particles - lengths).clip(min=0)
    # Which particles are split is drawn on the host, where the number of rows must be known.
    jet = np.repeat(np.arange(len(batch)), lengths)
    shuffled = np.lexsort((torch.rand(len(jet)).numpy(), jet))
    split = shuffled[places(lengths) < num_split[jet]]
    rows = torch.from_numpy(np.concatenate([np.arange(len(jet)), split]))
    rows = rows.to(batch.device, non_blocking=True)
    share = torch.rand(len(split), dtype=batch.p4.dtype, device=batch.device)
    fraction = share.new_ones(len(jet)).index_copy(0, rows[len(jet) :], share)
    p4 = torch.cat([fraction, 1 - share])[:, None] * batch.p4[rows]
    # Jet by jet again, and in each by falling pT.
    order = kinematics.pt(p4).argsort(descending=True, stable=True)
    order = order[batch.jet_of_particle[rows][order].argsort(stable=True)]
    offsets = torch.from_numpy(offsets_of(lengths + num_split))
    return replace(
        batch,
        p4=p4[order],
        extra=batch.extra[rows[order]],
        columns=batch.columns[rows[order]] if batch.column_types else batch.columns,
        offsets=offsets.to(batch.device, non_blocking=True),
        lengths=lengths + num_split,
    )


class _Polar(NamedTuple):
    """Particles in the coordinates that are changed, and the jet that each belongs to."""

    pt: Float[Tensor, " particles"]
    eta: Float[Tensor, " particles"]
    phi: Float[Tensor, " particles"]
    mass: Float[Tensor, " particles"]
    jet: Int64[Tensor, " particles"]

    @classmethod
    def of(cls, batch: JetBatch) -> "_Polar":
        p4 = batch.p4[: batch.num_particles]
        return cls(
            kinematics.pt(p4),
            kinematics.eta(p4),
            kinematics.phi(p4),
            kinematics.mass(p4),
            batch.jet_of_particle[: len(p4)],
        )

    def moved(
        self,
        batch: JetBatch,
        eta: Float[Tensor, " particles"],
        phi: Float[Tensor, " particles"],
    ) -> JetBatch:
        """Return the batch with its particles in other directions, and the sums of its jets."""
        px, py, pz = self.pt * phi.cos(), self.pt * phi.sin(), self.pt * eta.sinh()
        energy = (self.pt.square() + pz.square() + self.mass.square()).sqrt()
        p4 = torch.stack([px, py, pz, energy], dim=1)
        own = slice(len(p4))
        moved = replace(batch, p4=p4, extra=batch.extra[own], columns=batch.columns[own])
        return sum_jets(moved)


def _extremes(values: Tensor, jet: Tensor, batch: JetBatch) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value of each jet, 0 being one of all."""
    zeros = values.new_zeros(len(batch))
    low, high = (zeros.scatter_reduce(0, jet, values, reduce) for reduce in ("amin", "amax"))
    return low, high


def _uniform(batch: JetBatch) -> Float[Tensor, " jets"]:
    """Return a number uniform in ±1 for each jet."""
    return 2 * torch.rand(len(batch), dtype=batch.p4.dtype, device=batch.device) - 1
