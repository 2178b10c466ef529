"""Sums and means over the particles of each jet.

Sums of many numbers are never taken in bfloat16.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.jets import JetBatch
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
