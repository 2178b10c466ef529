"""A check that momenta are in GeV, and that they are no shares of the jet's."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from parttag.jets.arrays import JetArrays

# In GeV. No beam that there is gives jets above, and hardly anyone tags jets below.
_HIGHEST_MEDIAN_PT = 1e4
_LOWEST_MEDIAN_PT = 4.0
# Sums of particles differ from their jet by a few percent, by twice if only charged ones are kept.
_LARGEST_RATIO = 10.0
# Sums of shares are near 1, and sums of directions relative to a jet near its own, which is 0;
# those of jets around a beam are anywhere.
_LEAST_SHARE, _GREATEST_SHARE = 0.2, 1.5
_LARGEST_MEDIAN_ANGLE = 0.3


class Scales:
    """The pT of jets, and of the sums of their particles, as they are read chunk by chunk."""

    def __init__(self) -> None:
        self._jet_pt: list[Float64[np.ndarray, " jets"]] = []
        self._sum_pt: list[Float64[np.ndarray, " jets"]] = []
        self._angle: list[Float64[np.ndarray, " jets"]] = []

    def add(self, jets: JetArrays) -> None:
        """Add good jets, which have at least one particle each."""
        if len(jets) == 0:
            return
        px, py, _, _ = jets.jet_p4.T.astype(np.float64)
        sums = np.add.reduceat(jets.p4[:, :2], jets.offsets[:-1], axis=0, dtype=np.float64)
        self._jet_pt.append(np.hypot(px, py))
        self._sum_pt.append(np.hypot(*sums.T))
        self._angle.append(np.abs(np.arctan2(sums[:, 1], sums[:, 0])))

    def warnings(self) -> tuple[str, ...]:
        """Return what is doubtful about the unit of the momenta, one sentence each."""
        if not self._jet_pt:
            return ()
        jet, total = (float(np.median(np.concatenate(p))) for p in (self._jet_pt, self._sum_pt))
        if _LEAST_SHARE < total < _GREATEST_SHARE and self._lie_at_zero():
            return (
                f"the pT of a jet's particles add up to {total:.3g}, and their angles lie around "
                "0: these are shares of the jets' pT and differences of angles, not GeV; name the "
                "jets in data.columns.jet, and set data.columns.particles.relative_to_jet",
            )
        read = f"{jet:,.0f}" if jet > _HIGHEST_MEDIAN_PT else f"{jet:.3g}"
        if max(jet, total) > _LARGEST_RATIO * min(jet, total):
            return (
                f"the median pT of the jets is {jet:.4g} and that of the sums of their particles "
                f"{total:.4g}: one of the two is not in GeV, or most particles are missing",
            )
        for unit, is_doubtful, factor in (
            ("MeV", jet > _HIGHEST_MEDIAN_PT, "divide by"),
            ("TeV", jet < _LOWEST_MEDIAN_PT, "multiply by"),
        ):
            if is_doubtful:
                return (
                    f"the momenta look like {unit}: the median jet pT, read as GeV, is {read}; "
                    f"{factor} 1000, because features and published weights are made for GeV",
                )
        return ()

    def _lie_at_zero(self) -> bool:
        return float(np.median(np.concatenate(self._angle))) < _LARGEST_MEDIAN_ANGLE
