"""Beams as two more particles of every jet: what tells a Lorentz-invariant network where it is."""

import torch
from jaxtyping import Bool, Float, Float64
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
    num_added = len(beams) + num_blank
    particles = batch.p4[: batch.num_particles]
    first = batch.offsets[:-1] + num_added * torch.arange(len(batch), device=batch.device)
    rows = torch.arange(len(particles), device=batch.device) + len(beams)
    rows = rows + num_added * batch.jet_of_particle[: len(particles)]
    p4 = particles.new_zeros(len(particles) + num_added * len(batch), 4)
    is_beam = torch.zeros_like(p4[:, 0], dtype=torch.bool)
    p4[rows] = particles
    for number, beam in enumerate(beams.to(p4.dtype)):
        p4[first + number] = beam
        is_beam[first + number] = True
    return p4, is_beam
