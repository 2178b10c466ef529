"""Jets of Higgs bosons of many masses, and of QCD, for taggers that are to tell a jet's mass.

Two wide resonances, one about 60 and one about 220 GeV, give half of the jets of a class each; each
jet has its target in ``jet_target_mass``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from parttag.jets.clustered import Jets
from parttag.jets.kinematics import pt_eta_phi
from parttag.samples.simulation.jetclass import (
    CLASSES,
    HIGGS,
    SELECTION,
    EventClass,
    JetClass,
    higgs,
)

MIN_MASS = 30.0  # GeV
MAX_MASS_OVER_PT = 0.35
"""Of the Higgs boson to the jet; its quarks are then some 0.7 apart."""

# GeV. Production falls with the mass, more steeply than the first of the two does.
_WIDTH = 200
_PEAKS = (60, 220)


def _wide_higgs(decay: str) -> tuple[tuple[str, ...], ...]:
    """Return two kinds of events, with masses about either peak."""
    return tuple(
        (
            *higgs(decay),
            f"25:m0={peak}",
            f"25:mWidth={_WIDTH}",
            "25:doForceWidth=on",
            f"25:mMin={MIN_MASS:.0f}",
            "25:mMax=360",
        )
        for peak in _PEAKS
    )


class Masses(JetClass):
    """Jets of H → bb and H → cc with a wide range of masses, and of QCD; each in own files."""

    name: ClassVar[str] = "masses"
    statement: ClassVar[str] = (
        "H of many masses to bb and cc, and QCD, simulated with parttag and a detector like that "
        "of JetClass; there is no public sample of its kind"
    )
    labels: ClassVar[tuple[str, ...]] = ("label_QCD", "label_Hbb", "label_Hcc")
    classes: ClassVar[Mapping[str, EventClass]] = {
        "HToBB": EventClass("Hbb", HIGGS, _wide_higgs("5 -5"), "heavy"),
        "HToCC": EventClass("Hcc", HIGGS, _wide_higgs("4 -4"), "heavy"),
        "ZJetsToNuNu": CLASSES["ZJetsToNuNu"],
    }

    def choose(self, jets: Jets) -> Jets:
        """Return the jets of QCD, and those of a Higgs boson of 30 GeV to 0.35 pT of the jet."""
        target = jets.jet_columns["jet_target_mass"]
        pt, _, _ = pt_eta_phi(jets.p4)
        chosen = np.isnan(target) | ((target > MIN_MASS) & (target < MAX_MASS_OVER_PT * pt))
        return jets.take(np.flatnonzero(chosen))

    def details(self) -> dict[str, Any]:
        """Return the detector and the selection."""
        mass = f"mass of the Higgs boson {MIN_MASS:.0f} GeV to {MAX_MASS_OVER_PT} pT of the jet"
        return {**super().details(), "selection": f"{SELECTION}; {mass}"}
