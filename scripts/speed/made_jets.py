"""Jets with numbers of particles like those of the reference jets, for measuring without files."""

import numpy as np
from speed.contestants import Jets

from parttag.testing import toy_jets

# Of the numbers of particles in the top-tagging reference jets: width over mean.
_RELATIVE_WIDTH = 0.36
LONGEST = 256


def made_jets(mean: float, number: int) -> Jets:
    """Return toy jets of about so many particles each."""
    rng = np.random.default_rng(0)
    shape = _RELATIVE_WIDTH**-2
    lengths = np.clip(rng.gamma(shape, mean / shape, number).round(), 1, LONGEST).astype(np.int64)
    arrays = toy_jets(lengths=lengths, extra_names=())
    return Jets(arrays, np.arange(number) % 2)
