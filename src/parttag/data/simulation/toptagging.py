"""Top jets and QCD jets made and selected like those of the Top Quark Tagging Reference Dataset.

References
----------
arXiv:1902.09914, section 2; doi 10.5281/zenodo.2603256.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from parttag.data.simulation.clustering import Jets
from parttag.data.simulation.generator import TopDecays
from parttag.data.simulation.geometry import delta_phi, pt_eta_phi

Windows = Literal["demonstration", "study"]

LABELS = ("label_top", "label_QCD")

RADIUS = 0.8
"""Of the anti-kT jets; also how near a top and its quarks must be to the jet's axis."""
MIN_PT, MAX_PT = 550.0, 650.0  # GeV, of the jet
MAX_ETA = 2.0
MAX_PARTICLES = 200

SELECTION = (
    f"leading anti-kT jet, R = {RADIUS}, {MIN_PT:.0f} < pT < {MAX_PT:.0f} GeV, |eta| < {MAX_ETA}, "
    f"up to {MAX_PARTICLES} particles of the highest pT; top jets hold a hadronic top and its "
    f"three quarks within {RADIUS} of their axis"
)
"""What ``select`` does, for provenance."""

PARTON_WINDOW = (510.0, 760.0)
"""pT in GeV of the leading jet of partons outside of which an event is given up early.

Of all selected jets 2 % of the tops and 1 % of QCD would come from outside."""

_PROCESS = {
    "label_top": (
        "Top:gg2ttbar=on",
        "Top:qqbar2ttbar=on",
        "24:onMode=off",
        "24:onIfAny=1 2 3 4 5",
        # The defaults of Pythia 8.2, with which the reference set was made; 8.3 has changed them.
        "6:m0=171.0",
        "TimeShower:recoilStrategyRF=1",
    ),
    "label_QCD": ("HardQCD:all=on",),
}
# GeV. Any window cuts the sample: of QCD jets of 550–650 GeV, 8 % have a pTHat below 350 GeV and
# 27 % one below 450 GeV. The narrow windows yield jets about three times as fast.
_PT_HAT: dict[Windows, dict[str, tuple[int, int]]] = {
    "study": {"label_top": (400, 750), "label_QCD": (350, 750)},
    "demonstration": {"label_top": (500, 700), "label_QCD": (500, 750)},
}


def pythia_settings(label: str, windows: Windows, mpi: bool) -> tuple[str, ...]:
    """Return Pythia's settings for the events in which jets of this label are found.

    ``mpi`` switches multiparton interactions on.
    """
    low, high = _PT_HAT[windows][label]
    return (
        "Beams:eCM=14000",
        f"PartonLevel:MPI={'on' if mpi else 'off'}",
        *_PROCESS[label],
        f"PhaseSpace:pTHatMin={low}",
        f"PhaseSpace:pTHatMax={high}",
    )


def select(jets: Jets, tops: TopDecays, label: str) -> Jets:
    """Return the jets of the reference selection, with their leading particles.

    pT is 550 to 650 GeV and |η| below 2. A top jet has, within 0.8 of its axis in (η, φ), a top
    that decayed to hadrons and the three quarks of that decay.
    """
    pt, eta, phi = pt_eta_phi(jets.p4)
    chosen = (pt > MIN_PT) & (pt < MAX_PT) & (np.abs(eta) < MAX_ETA)
    if label == "label_top":
        chosen &= _holds_top(jets.event, eta, phi, tops)
    return jets.take(np.flatnonzero(chosen)).truncate(MAX_PARTICLES)


def _holds_top(
    event: Int64[np.ndarray, " jets"],
    eta: Float64[np.ndarray, " jets"],
    phi: Float64[np.ndarray, " jets"],
    tops: TopDecays,
) -> Bool[np.ndarray, " jets"]:
    # Jets are in order of their events, at most one an event.
    with_jet = np.flatnonzero(np.isin(tops.event, event))
    jet = np.searchsorted(event, tops.event[with_jet])
    partons = np.concatenate([tops.top[:, None], tops.quarks], axis=1)[with_jet]
    _, parton_eta, parton_phi = pt_eta_phi(partons)
    distance = np.hypot(parton_eta - eta[jet, None], delta_phi(parton_phi, phi[jet, None]))
    holds = np.zeros(len(event), dtype=bool)
    holds[jet[(distance < RADIUS).all(axis=1)]] = True
    return holds
