"""Top jets and QCD jets made and selected like those of the Top Quark Tagging Reference Dataset.

References
----------
arXiv:1902.09914, section 2; doi 10.5281/zenodo.2603256.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from parttag.jets.clustered import Jets
from parttag.jets.kinematics import pt_eta_phi
from parttag.samples.simulation.clustering import hard_jets, leading
from parttag.samples.simulation.detectors.atlas import ATLAS_3_3_2
from parttag.samples.simulation.detectors.combined import detect
from parttag.samples.simulation.generator import Decays, EventBatch
from parttag.samples.simulation.sample import (
    Channel,
    FilePlan,
    Sample,
    SimulationOptions,
    nearly_equal,
)
from parttag.samples.simulation.truth import held_decay
from parttag.samples.simulation.veto import SCALE, leading_jet_veto

Windows = Literal["demonstration", "study"]

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

_TOP = 6  # |PDG id|
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


class TopTaggingOptions(SimulationOptions):
    """What decides which top and QCD jets a simulation gives."""

    windows: Windows = "study"
    """Ranges of pTHat: ``demonstration`` is three times as fast and truncates the sample."""


class TopTagging(Sample):
    """Top jets and QCD jets, half each, in every file."""

    name: ClassVar[str] = "toptagging"
    statement: ClassVar[str] = (
        "top-landscape-like, simulated with parttag; scores are not comparable with published "
        "tables"
    )
    labels: ClassVar[tuple[str, ...]] = ("label_top", "label_QCD")
    options: TopTaggingOptions

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Top pairs and dijets."""
        parents = {"label_top": _TOP, "label_QCD": None}
        return tuple(
            Channel(label, label, self._settings(label), parent)
            for label, parent in parents.items()
        )

    def files(self, num_jets: int) -> Sequence[FilePlan]:
        """Return files of nearly equal size."""
        num_files = -(-num_jets // self.options.jets_per_file)
        sizes = nearly_equal(num_jets, num_files)
        return [
            FilePlan(self.name, dict(zip(self.labels, nearly_equal(size, 2), strict=True)))
            for size in sizes
        ]

    def find_jets(self, batch: EventBatch, channel: Channel, rng: np.random.Generator) -> Jets:
        """Return the leading jets of a batch that pass the reference selection."""
        flow = detect(batch.stable, ATLAS_3_3_2, rng)
        jets = leading(hard_jets(flow, batch.num_events, RADIUS, MIN_PT))
        return select(jets, batch.decays if channel.parent else None)

    def veto(self) -> Any:
        """Return the veto of events whose leading jet of partons is far off."""
        return leading_jet_veto(RADIUS, *PARTON_WINDOW)

    def details(self) -> dict[str, Any]:
        """Return the veto, the detector and the selection."""
        return {
            "veto": {"scale": SCALE, "leading_jet_pt": list(PARTON_WINDOW)},
            "detector": ATLAS_3_3_2.name,
            "selection": SELECTION,
        }

    def _settings(self, label: str) -> tuple[str, ...]:
        low, high = _PT_HAT[self.options.windows][label]
        return (
            "Beams:eCM=14000",
            f"PartonLevel:MPI={'on' if self.options.mpi else 'off'}",
            *_PROCESS[label],
            f"PhaseSpace:pTHatMin={low}",
            f"PhaseSpace:pTHatMax={high}",
        )


def select(jets: Jets, tops: Decays | None) -> Jets:
    """Return the jets of the reference selection, with their leading particles.

    pT is 550 to 650 GeV and |η| below 2. If ``tops`` are given, a jet must have, within 0.8 of its
    axis in (η, φ), a top that decayed to hadrons and the three quarks of that decay.
    """
    pt, eta, _ = pt_eta_phi(jets.p4)
    chosen = (pt > MIN_PT) & (pt < MAX_PT) & (np.abs(eta) < MAX_ETA)
    if tops is not None:
        chosen &= held_decay(jets, tops, RADIUS, parent_too=True) >= 0
    return jets.take(np.flatnonzero(chosen)).truncate(MAX_PARTICLES)
