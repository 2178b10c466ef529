"""Jets of ten classes made and selected like those of JetClass.

What is not JetClass's: Pythia makes the hard events too, instead of MadGraph, at leading order
and with pTHat above 450 GeV; and which processes JetClass took the Z and W jets from is not
published, nor whether multiparton interactions were on.

References
----------
arXiv:2202.03772, section 3; https://github.com/jet-universe/jetclass_generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from parttag.jets.clustered import Jets
from parttag.jets.kinematics import mass, pt_eta_phi
from parttag.samples.simulation.clustering import hard_jets
from parttag.samples.simulation.detectors.cms import CMS_JETCLASS
from parttag.samples.simulation.detectors.layered import detect
from parttag.samples.simulation.generator import Decays, EventBatch
from parttag.samples.simulation.generator_jets import generated_columns, vertex_numbers
from parttag.samples.simulation.sample import (
    Channel,
    FilePlan,
    Sample,
    SimulationOptions,
    nearly_equal,
)
from parttag.samples.simulation.substructure import soft_drop_mass, subjettiness
from parttag.samples.simulation.truth import held_decay
from parttag.samples.simulation.vertexing import find_vertices

RADIUS = 0.8
"""Of the anti-kT jets; also how near the decay products must be to the jet's axis."""
MIN_PT, MAX_PT = 500.0, 1000.0  # GeV, of the jet
MAX_ETA = 2.0
MIN_PT_HAT = 450  # GeV

SELECTION = (
    f"every anti-kT jet, R = {RADIUS}, {MIN_PT:.0f} < pT < {MAX_PT:.0f} GeV, |eta| < {MAX_ETA}; "
    "but for ZJetsToNuNu with all quarks, gluons, electrons and muons of one decay within "
    f"{RADIUS} of its axis"
)

_TOP, _Z, _W, HIGGS = 6, 23, 24, 25  # |PDG id|

_TO_NEUTRINOS = ("23:onMode=off", "23:onIfAny=12 14 16")
_W_TO_QUARKS = ("24:onMode=off", "24:onIfAny=1 2 3 4 5")
_W_PLUS_TO_QUARKS = ("24:onMode=off", "24:onPosIfAny=1 2 3 4 5", "24:onNegIfAny=11 13")
_W_MINUS_TO_QUARKS = ("24:onMode=off", "24:onNegIfAny=1 2 3 4 5", "24:onPosIfAny=11 13")
_TOPS = ("Top:gg2ttbar=on", "Top:qqbar2ttbar=on")
_NO_PHOTON = "WeakZ0:gmZmode=2"


def higgs(decay: str) -> tuple[str, ...]:
    """Return a Higgs boson that decays so, beside a Z that is not seen."""
    return ("HiggsSM:ffbar2HZ=on", *_TO_NEUTRINOS, "25:onMode=off", f"25:onIfMatch={decay}")


class EventClass(NamedTuple):
    """A class: its name in labels, |PDG id| of what decays in it, and its kinds of event."""

    label: str
    parent: int | None
    processes: tuple[tuple[str, ...], ...]
    second: str = ""
    """What is said of the second kind of event, if there are two."""


CLASSES: Mapping[str, EventClass] = {
    "HToBB": EventClass("Hbb", HIGGS, (higgs("5 -5"),)),
    "HToCC": EventClass("Hcc", HIGGS, (higgs("4 -4"),)),
    "HToGG": EventClass("Hgg", HIGGS, (higgs("21 21"),)),
    "HToWW2Q1L": EventClass(
        "Hqql",
        HIGGS,
        ((*higgs("24 -24"), *_W_PLUS_TO_QUARKS), (*higgs("24 -24"), *_W_MINUS_TO_QUARKS)),
        "charges swapped",
    ),
    "HToWW4Q": EventClass("H4q", HIGGS, ((*higgs("24 -24"), *_W_TO_QUARKS),)),
    "TTBar": EventClass("Tbqq", _TOP, ((*_TOPS, *_W_TO_QUARKS),)),
    "TTBarLep": EventClass("Tbl", _TOP, ((*_TOPS, "24:onMode=off", "24:onIfAny=11 13"),)),
    "WToQQ": EventClass("Wqq", _W, (("WeakDoubleBoson:ffbar2WW=on", *_W_TO_QUARKS),)),
    "ZJetsToNuNu": EventClass(
        "QCD",
        None,
        (
            (
                *("WeakBosonAndParton:qqbar2gmZg=on", "WeakBosonAndParton:qg2gmZq=on"),
                *(_NO_PHOTON, *_TO_NEUTRINOS),
            ),
        ),
    ),
    "ZToQQ": EventClass(
        "Zqq",
        _Z,
        (
            (
                *("WeakDoubleBoson:ffbar2gmZgmZ=on", _NO_PHOTON),
                *("23:onMode=off", "23:onIfAny=1 2 3 4 5"),
            ),
        ),
    ),
}
"""By the names of JetClass's files."""


class JetClassOptions(SimulationOptions):
    """What decides which jets of the ten classes a simulation gives."""

    num_jets: int = Field(ge=100, le=100_000_000)
    """Jets of all files together, the same number of each class: 80 % for training, 10 % each for
    validation and test."""
    jets_per_file: int = Field(10_000, ge=5000)
    """Jets of a file at most; also what an interruption can cost."""


class JetClass(Sample):
    """Jets of ten classes, each in files of its own."""

    name: ClassVar[str] = "jetclass"
    statement: ClassVar[str] = (
        "JetClass-like, simulated with parttag; scores are not comparable with published tables"
    )
    labels: ClassVar[tuple[str, ...]] = tuple(
        f"label_{name}"
        for name in ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
    )
    classes: ClassVar[Mapping[str, EventClass]] = CLASSES
    file_format: ClassVar[int] = 2
    origins: ClassVar[bool] = True
    options: JetClassOptions

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One or two a class, as H → qqℓν has the quarks from either W."""
        return tuple(
            Channel(
                name=stem if number == 0 else f"{stem}, {one.second}",
                label=f"label_{one.label}",
                settings=self._settings(process),
                parent=one.parent,
            )
            for stem, one in self.classes.items()
            for number, process in enumerate(one.processes)
        )

    def files(self, num_jets: int) -> Sequence[FilePlan]:
        """Return files of one class each, of nearly equal size within a class."""
        plans = []
        of_class = nearly_equal(num_jets, len(self.classes))
        for stem, count in zip(self.classes, of_class, strict=True):
            names = [c.name for c in self.channels if c.name.split(",")[0] == stem]
            num_files = -(-count // self.options.jets_per_file)
            plans += [
                FilePlan(stem, dict(zip(names, nearly_equal(size, len(names)), strict=True)))
                for size in nearly_equal(count, num_files)
            ]
        return plans

    def find_jets(self, batch: EventBatch, channel: Channel, rng: np.random.Generator) -> Jets:
        """Return the jets of a batch that pass the selection, with all that files say of them."""
        flow = detect(batch.stable, CMS_JETCLASS, rng)
        jets = hard_jets(flow, batch.num_events, RADIUS, MIN_PT)
        jets = self.choose(select(jets, batch.decays if channel.parent else None))
        generated = generated_columns(jets, batch.stable, RADIUS, MIN_PT)
        jets = jets.with_columns(jet_sdmass=soft_drop_mass(jets), **subjettiness(jets), **generated)
        if channel.parent is None:
            jets = jets.with_columns(jet_target_mass=generated["jet_gensdmass"])
        assert flow.tracks is not None
        return replace(
            jets,
            columns={**jets.columns, "vertex": vertex_numbers(jets)},
            lists={"sv": find_vertices(flow.tracks, jets, RADIUS).lists},
        )

    def choose(self, jets: Jets) -> Jets:
        """Return those of the selected jets that are taken: here all."""
        return jets

    def details(self) -> dict[str, Any]:
        """Return the detector and the selection."""
        return {"veto": None, "detector": CMS_JETCLASS.name, "selection": SELECTION}

    def _settings(self, process: tuple[str, ...]) -> tuple[str, ...]:
        return (
            "Beams:eCM=14000",
            f"PartonLevel:MPI={'on' if self.options.mpi else 'off'}",
            *process,
            f"PhaseSpace:pTHatMin={MIN_PT_HAT}",
        )


def select(jets: Jets, decays: Decays | None) -> Jets:
    """Return the jets that JetClass would take, with the parent of the decay that they hold.

    pT is 500 to 1000 GeV and |η| below 2. If ``decays`` are given, a jet must hold one: all of its
    quarks, gluons and charged leptons within 0.8 of the jet's axis in (η, φ); ``jet_target_mass``
    is then the mass of what decayed, in GeV.
    """
    pt, eta, _ = pt_eta_phi(jets.p4)
    chosen = (pt > MIN_PT) & (pt < MAX_PT) & (np.abs(eta) < MAX_ETA)
    parent, target = np.zeros((4, len(jets))), np.full(len(jets), np.nan)
    if decays is not None:
        held = held_decay(jets, decays, RADIUS)
        chosen &= held >= 0
        of_jet = held[chosen]
        parent[:, chosen] = [*pt_eta_phi(decays.parent[of_jet]), decays.parent_id[of_jet]]
        target[chosen] = mass(decays.parent[of_jet])
    columns = {
        f"aux_genpart_{n}": c for n, c in zip(("pt", "eta", "phi", "pid"), parent, strict=True)
    }
    return jets.with_columns(**columns, jet_target_mass=target).take(np.flatnonzero(chosen))
