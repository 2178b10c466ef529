"""Jets of which some particles are hidden, so that a network learns to tell what they were.

What a network sees of a jet must not depend on them: not its sums and axis, and not the place of
a pair. So the jets of the visible particles are jets of their own.
"""

import numpy as np
from jaxtyping import Bool, Int64
from torch import Tensor

from parttag.jets.batch import JetBatch
from parttag.ops.jet_sums import sum_jets
from parttag.ops.layout import JetLayout


def visible_jets(batch: JetBatch, hidden: Bool[np.ndarray, " particles"]) -> JetBatch:
    """Return the jets of the visible particles alone, their momentum and axis included."""
    return sum_jets(batch.keep_particles(~hidden))


def pairs_in_full(
    rows: Int64[Tensor, " visible"], visible: JetLayout, full: JetLayout
) -> Int64[Tensor, " visible_pairs"]:
    """Return where each pair of visible particles lies among the pairs of all particles.

    Parameters
    ----------
    rows
        The row that each visible particle has among all.
    visible, full
        Where the particles and pairs of the visible jets lie, and of the whole ones.
    """
    first, second = rows[visible.first], rows[visible.second]
    jet = full.jet_of_particle[first]
    i, j = (particles - full.offsets[jet] for particles in (first, second))
    return full.pair_offsets[jet] + i * (i + 1) // 2 + j
