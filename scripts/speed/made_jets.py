"""Jets with numbers of particles like those of the reference jets, for measuring without files."""

import numpy as np
from speed.contestants import Jets

from parttag.jets.arrays import JetArrays, make_index

# Of the numbers of particles in the top-tagging reference jets: width over mean.
_RELATIVE_WIDTH = 0.36
LONGEST = 256


def made_jets(mean: float, number: int) -> Jets:
    """Return jets of about so many particles each, massless ones around an axis."""
    rng = np.random.default_rng(0)
    shape = _RELATIVE_WIDTH**-2
    lengths = np.clip(rng.gamma(shape, mean / shape, number).round(), 1, LONGEST).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pt = rng.exponential(10, offsets[-1])
    eta, phi = rng.normal(0, 0.3, (2, offsets[-1]))
    p4 = pt[:, None] * np.stack([np.cos(phi), np.sin(phi), np.sinh(eta), np.cosh(eta)], axis=1)
    jet_p4 = np.add.reduceat(p4, offsets[:-1])
    labels = np.arange(number) % 2
    arrays = JetArrays(
        p4=p4.astype(np.float32),
        extra=np.empty((len(p4), 0), dtype=np.float32),
        extra_names=(),
        offsets=offsets,
        jet_p4=jet_p4.astype(np.float32),
        jet_axis=np.zeros((number, 2), dtype=np.float32),
        labels=np.eye(2, dtype=np.uint8)[labels],
        label_names=("label_top", "label_QCD"),
        jet_weights=np.ones(number, dtype=np.float32),
        index=make_index(0, np.arange(number)),
        sources=("made for measuring",),
    )
    return Jets(arrays, labels)
