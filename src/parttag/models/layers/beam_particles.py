"""Beams as two more particles of every jet: what tells a Lorentz-invariant network where it is."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from parttag.jets.batch import JetBatch


def make_beams() -> Float64[Tensor, "2 4"]:
    """Return the four-momenta of both beams, (0, 0, ±1) with a mass of 1, in GeV."""
    return torch.tensor([[0, 0, 1, 2**0.5], [0, 0, -1, 2**0.5]], dtype=torch.float64)


def add_beams(
    batch: JetBatch, beams: Float[Tensor, "num_beams 4"], num_blank: int = 0
) -> tuple[Float[Tensor, "nodes 4"], Bool[Tensor, " nodes"]]:
    """Return the four-momenta of the nodes of all jets, packed, and which of them are beams.

    The nodes of a jet are the beams, its particles, and ``num_blank`` times zeros.
    """
    particles = batch.p4[: batch.num_particles]
    first, rows = node_rows(batch, len(beams), num_blank)
    p4 = particles.new_zeros(len(particles) + (len(beams) + num_blank) * len(batch), 4)
    is_beam = torch.zeros_like(p4[:, 0], dtype=torch.bool)
    p4[rows] = particles
    for number, beam in enumerate(beams.to(p4.dtype)):
        p4[first + number] = beam
        is_beam[first + number] = True
    return p4, is_beam


def node_rows(
    batch: JetBatch, num_before: int, num_after: int
) -> tuple[Int64[Tensor, " jets"], Int64[Tensor, " particles"]]:
    """Return the first row of each jet, and that of each particle, where jets have more nodes.

    Parameters
    ----------
    batch
        The jets.
    num_before, num_after
        Nodes before and after the particles of each jet.
    """
    num_added, num_particles = num_before + num_after, batch.num_particles
    first = batch.offsets[:-1] + num_added * torch.arange(len(batch), device=batch.device)
    rows = torch.arange(num_particles, device=batch.device) + num_before
    return first, rows + num_added * batch.jet_of_particle[:num_particles]


def minkowski(first: Float[Tensor, "*#shape 4"], second: Float[Tensor, "*#shape 4"]) -> Tensor:
    """Return E₁E₂ − p₁·p₂."""
    products = first * second
    return products[..., 3] - products[..., :3].sum(dim=-1)
