"""Particles and reference vectors of a jet, in its rest frame: what equivariant networks read.

A network that commutes with every Lorentz transformation cannot tell where the beams are, nor
which particles are fast. It is told by reference vectors, further particles of every jet: both
beams, (0, 0, ±1, 1), and the laboratory at rest, (0, 0, 0, 1), in GeV and the order px, py, pz, E.

Momenta are taken to the rest frame of the sum of all of these, in float64. To such a network that
makes no difference but that of rounding: γ of a jet is about 10, and squares of momenta would lose
γ² of their precision.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from parttag.jets.batch import JetBatch
from parttag.models.layers.beam_particles import minkowski, node_rows
from parttag.ops.jet_sums import sum_over_rows
from parttag.ops.layout import JetLayout

References = Literal["beams", "plane", "none"]
"""Both beams and the time; the plane across the beams and the time; nothing."""

_TIME = (0.0, 0.0, 0.0, 1.0)
_VECTORS: dict[str, tuple[tuple[float, ...], ...]] = {
    "beams": ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, -1.0, 1.0), _TIME),
    "plane": ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), _TIME),
    "none": (),
}


def make_references(kind: References) -> Float64[Tensor, "references 4"]:
    """Return the reference vectors; a plane is the two vectors that span it. The last is time."""
    return torch.tensor(_VECTORS[kind], dtype=torch.float64).reshape(-1, 4)


class Nodes(NamedTuple):
    """The nodes of all jets, packed: reference vectors, particles, and blank ones at the end."""

    momenta: Float64[Tensor, "nodes 4"]
    """(px, py, pz, E) in GeV, in the rest frame of each jet; 0 of a blank node."""
    references: Float64[Tensor, "references jets 4"]
    """The reference vectors of each jet, in that frame."""
    first: Int64[Tensor, " jets"]
    """The first node of each jet."""
    particles: Int64[Tensor, " particles"]
    """The node of each particle."""
    layout: JetLayout
    """Where the nodes lie."""


def make_nodes(
    batch: JetBatch,
    references: Float64[Tensor, "references 4"],
    *,
    vectors: Float64[Tensor, "before 4"] | None = None,
    min_mass: float = 0.0,
    num_blank: int = 0,
    rest_frame: bool = True,
) -> Nodes:
    """Return the nodes of all jets.

    Parameters
    ----------
    batch
        The jets.
    references
        The reference vectors, the last of them the time.
    vectors
        Momenta of the nodes before the particles; the reference vectors if left out.
    min_mass
        Mass in GeV that particles and nodes of less are given, by more energy in the frame of the
        time; without reference vectors they keep what they have.
    num_blank
        Nodes after the particles, of no momentum.
    rest_frame
        Whether momenta are taken to the rest frame of each jet.
    """
    vectors = references if vectors is None else vectors
    first, particles = node_rows(batch, len(vectors), num_blank)
    layout = JetLayout(batch.lengths + len(vectors) + num_blank, batch.device)
    p4 = batch.p4[: batch.num_particles].double()
    if min_mass and len(references):
        p4, vectors = (_with_mass(v, references[-1], min_mass) for v in (p4, vectors))
    momenta = p4.new_zeros(layout.num_rows, 4).index_copy(0, particles, p4)
    for number, vector in enumerate(vectors):
        momenta = momenta.index_copy(0, first + number, vector.expand(len(first), 4))
    of_jets = references[:, None].expand(-1, len(batch), -1)
    if rest_frame:
        jets = sum_over_rows(momenta, layout)
        momenta = boosted(momenta, jets[layout.jet_of_particle])
        of_jets = boosted(of_jets, jets.expand_as(of_jets))
    return Nodes(momenta, of_jets, first, particles, layout)


def _with_mass(
    p4: Float64[Tensor, "*shape 4"], time: Float64[Tensor, " 4"], mass: float
) -> Float64[Tensor, "*shape 4"]:
    """Return momenta of at least so large a mass, by more energy in the frame of ``time``."""
    energy, square = minkowski(p4, time), minkowski(p4, p4)
    wanted = (energy.square() - square + mass**2).clamp(min=0).sqrt()
    added = torch.where(square < mass**2, wanted - energy, 0)
    return p4 + added[..., None] * time


def boosted(
    p4: Float[Tensor, "*shape 4"], frame: Float[Tensor, "*shape 4"]
) -> Float[Tensor, "*shape 4"]:
    """Return momenta in the rest frame of others, without turning any.

    Where a frame has no mass, or hardly any, momenta stay as they are.
    """
    square = minkowski(frame, frame)
    has_mass = square > 1e-12 * frame[..., 3].square()
    mass = torch.where(has_mass, square, 1).sqrt()[..., None]
    velocity, gamma = frame[..., :3] / mass, frame[..., 3:] / mass
    along = (velocity * p4[..., :3]).sum(dim=-1, keepdim=True)
    momentum = p4[..., :3] + velocity * (along / (gamma + 1) - p4[..., 3:])
    moved = torch.cat([momentum, gamma * p4[..., 3:] - along], dim=-1)
    return torch.where(has_mass[..., None], moved, p4)


def energy_first(p4: Float[Tensor, "*shape 4"]) -> Float[Tensor, "*shape 4"]:
    """Return (E, px, py, pz), the order of the packages ``lgatr`` and ``lloca``."""
    return p4.roll(1, dims=-1)
