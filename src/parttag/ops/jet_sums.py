"""Sums and means over the particles of each jet, and what follows from them for the jet.

Sums of many numbers are never taken in bfloat16.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.ops.layout import JetLayout


def sum_over_particles(
    values: Float[Tensor, "_rows width"], batch: JetBatch
) -> Float[Tensor, "jets width"]:
    """Return the sum of ``values`` over the particles of each jet; 0 for a jet without any.

    Rows beyond the last particle may be there or not. The sums have the dtype of the four-momenta.
    """
    values = values.to(batch.p4.dtype)
    # One more row than jets: it takes the rows beyond the last particle.
    sums = values.new_zeros(len(batch) + 1, values.shape[1])
    return sums.index_add(0, batch.jet_of_particle[: len(values)], values)[:-1]


def mean_over_particles(
    values: Float[Tensor, "_rows width"], batch: JetBatch
) -> Float[Tensor, "jets width"]:
    """Return the mean of ``values`` over the particles of each jet; 0 for a jet without any.

    Rows beyond the last particle may be there or not. The means have the dtype of the four-momenta.
    """
    return sum_over_particles(values, batch) / batch.offsets.diff().clamp(min=1)[:, None]


def sum_over_rows(
    values: Float[Tensor, "rows width"], layout: JetLayout
) -> Float[Tensor, "jets width"]:
    """Return the sum of ``values`` over the rows of each jet of a layout; 0 for a jet without any.

    The sums are of float32 at least.
    """
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    sums = values.new_zeros(layout.num_jets, values.shape[1])
    return sums.index_add(0, layout.jet_of_particle, values)


def mean_over_rows(
    values: Float[Tensor, "rows width"], layout: JetLayout
) -> Float[Tensor, "jets width"]:
    """Return the mean of ``values`` over the rows of each jet; 0 for a jet without any."""
    return sum_over_rows(values, layout) / layout.offsets.diff().clamp(min=1)[:, None]


def sum_jets(batch: JetBatch) -> JetBatch:
    """Return the jets as the sums of the particles that are there: their momentum and axis.

    No row beyond the last particle is kept.
    """
    own = slice(batch.num_particles)
    p4, extra, columns = batch.p4[own], batch.extra[own], batch.columns[own]
    jet_p4 = sum_over_particles(p4, batch)
    jet_axis = torch.stack([kinematics.eta(jet_p4), kinematics.phi(jet_p4)], dim=1)
    return replace(batch, p4=p4, extra=extra, columns=columns, jet_p4=jet_p4, jet_axis=jet_axis)


def pt_centroids(batch: JetBatch) -> Float[Tensor, "jets 2"]:
    """Return the mean (η, φ) of each jet's particles, weighted by pT; φ in [−π, π).

    It is (0, φ of the total momentum) for a jet without any pT.
    """
    p4 = batch.p4[: batch.num_particles]
    jet = batch.jet_of_particle[: len(p4)]
    # A mean of azimuths needs them on one side of ±π: relative to that of the total momentum.
    total_phi = kinematics.phi(sum_over_particles(p4, batch))
    delta_phi = kinematics.delta_phi(kinematics.phi(p4), total_phi[jet])
    pt = kinematics.pt(p4)
    weighted = torch.stack([pt, pt * kinematics.eta(p4), pt * delta_phi], dim=1)
    total_pt, eta_sum, delta_phi_sum = sum_over_particles(weighted, batch).t()
    total_pt = total_pt.clamp(min=kinematics.TINY)
    phi = kinematics.delta_phi(total_phi, -delta_phi_sum / total_pt)
    return torch.stack([eta_sum / total_pt, phi], dim=1)
