"""How far from their jet's axis particles lie: whether a jet may be a whole event."""

from __future__ import annotations

import numpy as np

from parttag.jets import kinematics
from parttag.jets.arrays import JetArrays

# In ΔR: no jet is as wide, and half of an event's particles lie farther out.
_WIDEST = 1.5


def looks_like_events(jets: JetArrays) -> str | None:
    """Return one sentence if the particles of jets lie all over the detector; else nothing.

    That is so if the median distance of particles from their jet's axis is above ΔR = 1.5.
    """
    begin, end = int(jets.offsets[0]), int(jets.offsets[-1])
    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    p4 = jets.p4[begin:end].astype(np.float64)
    with np.errstate(all="ignore"):
        eta = kinematics.eta(p4) - jets.jet_axis[jet, 0]
        phi = kinematics.delta_phi(kinematics.phi(p4), jets.jet_axis[jet, 1].astype(np.float64))
        distance = np.hypot(eta, phi)
    distance = distance[np.isfinite(distance)]
    if not len(distance) or np.median(distance) <= _WIDEST:
        return None
    return (
        f"half of the particles are farther than ΔR = {np.median(distance):.2g} from their jet's "
        "axis: if an entry is an event of several jets, name them in data.columns.jets, and say in "
        "particles.of_jet which particles are a jet's"
    )
