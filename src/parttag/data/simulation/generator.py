"""Pythia 8 in batches: settings and a seed in, stable particles and partons out, as flat arrays.

``Pythia.nextBatch`` loops over events in C++ and returns them as one awkward array; nothing here
loops over events or particles in Python, which would take twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import awkward as ak
import numpy as np
from jaxtyping import Float64, Int64

from parttag.data.simulation.packages import require_packages

MAX_SEED = 900_000_000
"""The largest seed that Pythia takes."""

_HARD_PROCESS = 23  # |status| of what the hardest process and the decays in it give
_TOP, _W = 6, 24  # |PDG id|


@dataclass(frozen=True, eq=False)
class Particles:
    """Particles of a batch of events, one a row, those of one event after those of the other.

    ``event`` numbers the event, ``p4`` is (px, py, pz, E) in GeV, ``vertex`` is (x, y, z) of the
    production in mm, ``charge`` is in units of e.
    """

    event: Int64[np.ndarray, " particles"]
    pdg_id: Int64[np.ndarray, " particles"]
    p4: Float64[np.ndarray, "particles 4"]
    vertex: Float64[np.ndarray, "particles 3"]
    charge: Float64[np.ndarray, " particles"]

    def take(self, rows: np.ndarray) -> Particles:
        """Return the particles at ``rows``, given by number or as a mask."""
        return Particles(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class TopDecays:
    """The top quarks of a batch and the quarks they decayed to, t before t̄ in each event.

    ``top`` is the four-momentum of each top before its decay, ``quarks`` those of the three quarks
    of t → b W → b q q̄; an event has two tops, or none in a batch of QCD.
    """

    event: Int64[np.ndarray, " tops"]
    top: Float64[np.ndarray, "tops 4"]
    quarks: Float64[np.ndarray, "tops 3 4"]


@dataclass(frozen=True, eq=False)
class EventBatch:
    """What a batch of events gives: stable particles (neutrinos too) and the tops' decays."""

    num_events: int
    stable: Particles
    tops: TopDecays


class Generator:
    """A Pythia 8 of its own, initialized with ``settings`` and a seed.

    The same settings and seed give the same events, however they are split into batches.

    Parameters
    ----------
    settings
        Lines of the form ``name=value``, in Pythia's own language.
    seed
        1 to ``MAX_SEED``.
    veto
        A user hook of Pythia's that gives up unwanted events early.

    Raises
    ------
    InputError
        If pythia8mc is not installed.
    ValueError
        If Pythia does not accept a setting, or cannot start with them.
    """

    def __init__(self, settings: Sequence[str], seed: int, veto: Any = None) -> None:
        require_packages()
        import pythia8mc

        self._pythia = pythia8mc.Pythia("", False)
        if veto is not None:
            self._veto = veto  # Pythia does not keep its Python side alive
            self._pythia.setUserHooksPtr(veto)
        for line in ("Print:quiet=on", *settings, "Random:setSeed=on", f"Random:seed={seed}"):
            if not self._pythia.readString(line):
                raise ValueError(f"Pythia does not accept the setting {line!r}")
        if not self._pythia.init():
            raise ValueError("Pythia could not start with these settings")

    def next_batch(self, num_events: int) -> EventBatch:
        """Return the next ``num_events`` events that are not vetoed."""
        events = self._pythia.nextBatch(num_events).prt
        lengths = ak.to_numpy(ak.num(events))
        event = np.repeat(np.arange(len(events)), lengths)
        records = ak.flatten(events)
        stable = np.flatnonzero(ak.to_numpy(records.status) > 0)
        pdg_id = ak.to_numpy(records.id)[stable].astype(np.int64)
        return EventBatch(
            num_events=len(events),
            stable=Particles(
                event=event[stable],
                pdg_id=pdg_id,
                p4=_p4(records, stable),
                vertex=_vertices(records, stable),
                charge=self._charges(pdg_id),
            ),
            tops=_top_decays(records, event, first_row=np.cumsum(lengths) - lengths),
        )

    def _charges(
        self, pdg_id: Int64[np.ndarray, " particles"]
    ) -> Float64[np.ndarray, " particles"]:
        kinds, kind = np.unique(pdg_id, return_inverse=True)
        table = self._pythia.particleData
        return np.array([table.chargeType(int(one)) / 3 for one in kinds])[kind]


def _p4(records: ak.Array, rows: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows 4"]:
    axes = (records.p[axis] for axis in ("px", "py", "pz", "e"))
    return np.stack([ak.to_numpy(axis)[rows] for axis in axes], axis=1)


def _vertices(records: ak.Array, rows: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows 3"]:
    # A particle made at the collision point has no vertex of its own.
    axes = (ak.fill_none(records.vProd[axis], 0.0) for axis in ("px", "py", "pz"))
    return np.stack([ak.to_numpy(axis)[rows] for axis in axes], axis=1)


def _top_decays(
    records: ak.Array,
    event: Int64[np.ndarray, " records"],
    first_row: Int64[np.ndarray, " events"],
) -> TopDecays:
    pdg_id = ak.to_numpy(records.id)
    # Quarks of the hardest process and of the decays in it; the daughters of t and W⁺ belong to
    # the top, those of t̄ and W⁻ to the antitop.
    outgoing = np.abs(ak.to_numpy(records.status)) == _HARD_PROCESS
    quarks = np.flatnonzero(outgoing & (np.abs(pdg_id) < _TOP))
    mother = first_row[event[quarks]] + ak.to_numpy(records.mother1)[quarks]
    decays = np.isin(np.abs(pdg_id[mother]), (_TOP, _W))
    quarks, mother = quarks[decays], mother[decays]
    order = np.lexsort((pdg_id[mother] < 0, event[quarks]))
    quarks, mother = quarks[order], mother[order]
    tops = mother[np.abs(pdg_id[mother]) == _TOP]  # each is the mother of one quark and the W
    return TopDecays(
        event=event[tops],
        top=_p4(records, tops),
        quarks=_p4(records, quarks).reshape(len(tops), 3, 4),
    )
