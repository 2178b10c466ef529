"""Sums over the particles of each jet."""

from jaxtyping import Float
from torch import Tensor

from parttag.jets import JetBatch


def sum_over_particles(
    values: Float[Tensor, "_rows width"], batch: JetBatch
) -> Float[Tensor, "jets width"]:
    """Return the sum of ``values`` over the particles of each jet; 0 for a jet without any.

    Rows beyond the last particle may be there or not. Sums of many numbers are never taken in
    bfloat16: they have the dtype of the four-momenta.
    """
    values = values.to(batch.p4.dtype)
    # One more row than jets: it takes the rows beyond the last particle.
    sums = values.new_zeros(len(batch) + 1, values.shape[1])
    return sums.index_add(0, batch.jet_of_particle[: len(values)], values)[:-1]
