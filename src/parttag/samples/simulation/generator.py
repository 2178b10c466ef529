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

from parttag.samples.simulation.ancestry import Ancestry, Record, ancestry
from parttag.samples.simulation.packages import require_packages

MAX_SEED = 900_000_000
"""The largest seed that Pythia takes."""

_HARD_PROCESS = 23  # |status| of what the hardest process and the decays in it give
_RESONANCES = (6, 23, 24, 25)  # |PDG id| of t, Z, W and H


@dataclass(frozen=True, eq=False)
class Particles:
    """Particles of a batch of events, one a row, those of one event after those of the other.

    ``event`` numbers the event, ``p4`` is (px, py, pz, E) in GeV, ``vertex`` is (x, y, z) of the
    production in mm, ``charge`` is in units of e. ``origin`` says what the particle comes from
    (``ancestry.Origin``), ``ancestor`` is a number of that ancestor, no other one's in the batch,
    and ``mother_id`` the PDG id of what it was made by.
    """

    event: Int64[np.ndarray, " particles"]
    pdg_id: Int64[np.ndarray, " particles"]
    p4: Float64[np.ndarray, "particles 4"]
    vertex: Float64[np.ndarray, "particles 3"]
    charge: Float64[np.ndarray, " particles"]
    origin: Int64[np.ndarray, " particles"]
    ancestor: Int64[np.ndarray, " particles"]
    mother_id: Int64[np.ndarray, " particles"]

    def take(self, rows: np.ndarray) -> Particles:
        """Return the particles at ``rows``, given by number or as a mask."""
        return Particles(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Decays:
    """The particles of one kind in a batch that decayed early, and what they decayed to.

    ``parent`` is the four-momentum before the decay. ``products`` are quarks, gluons and leptons:
    what follows when the decays of decay products are followed too, as in t → b W → b q q̄.
    Decays are in order of their events.
    """

    event: Int64[np.ndarray, " decays"]
    parent_id: Int64[np.ndarray, " decays"]
    parent: Float64[np.ndarray, "decays 4"]
    product_ids: Int64[np.ndarray, "decays products"]
    products: Float64[np.ndarray, "decays products 4"]


@dataclass(frozen=True, eq=False)
class EventBatch:
    """What a batch of events gives: stable particles (neutrinos too) and the decays asked for."""

    num_events: int
    stable: Particles
    decays: Decays


class Generator:
    """A Pythia 8 of its own, initialized with ``settings`` and a seed.

    The same settings and seed give the same events, however they are split into batches.

    Parameters
    ----------
    settings
        Lines of the form ``name=value``, in Pythia's own language.
    seed
        1 to ``MAX_SEED``.
    parent
        |PDG id| of the t, Z, W or H whose decays are reported; all of them must have the same
        number of products.
    veto
        A user hook of Pythia's that gives up unwanted events early.
    origins
        Find out what particles come from, which takes some 5 % of the time; else it is 0.

    Raises
    ------
    InputError
        If pythia8mc is not installed.
    ValueError
        If Pythia does not accept a setting, or cannot start with them.
    """

    def __init__(
        self,
        settings: Sequence[str],
        seed: int,
        parent: int | None = None,
        veto: Any = None,
        *,
        origins: bool = True,
    ) -> None:
        require_packages()
        import pythia8mc

        self._parent, self._origins = parent, origins
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
        first_row = np.cumsum(lengths) - lengths
        known = Ancestry(*np.zeros((3, len(stable)), dtype=np.int64))
        if self._origins:
            known = ancestry(_record(records, first_row[event]), stable)
        return EventBatch(
            num_events=len(events),
            stable=Particles(
                event=event[stable],
                pdg_id=pdg_id,
                p4=_p4(records, stable),
                vertex=_vertices(records, stable),
                charge=self._charges(pdg_id),
                origin=known.origin,
                ancestor=known.ancestor,
                mother_id=known.mother_id,
            ),
            decays=_decays(records, event, first_row, self._parent),
        )

    def _charges(
        self, pdg_id: Int64[np.ndarray, " particles"]
    ) -> Float64[np.ndarray, " particles"]:
        kinds, kind = np.unique(pdg_id, return_inverse=True)
        table = self._pythia.particleData
        return np.array([table.chargeType(int(one)) / 3 for one in kinds])[kind]


def _record(records: ak.Array, first: Int64[np.ndarray, " records"]) -> Record:
    momentum = np.stack([ak.to_numpy(records.p[axis]) for axis in ("px", "py", "pz")], axis=1)
    pdg_id, status, *mothers = (
        ak.to_numpy(records[name]).astype(np.int64)
        for name in ("id", "status", "mother1", "mother2")
    )
    return Record(first, pdg_id, status, np.stack(mothers, axis=1), momentum)


def _p4(records: ak.Array, rows: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows 4"]:
    axes = (records.p[axis] for axis in ("px", "py", "pz", "e"))
    return np.stack([ak.to_numpy(axis)[rows] for axis in axes], axis=1)


def _vertices(records: ak.Array, rows: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows 3"]:
    # A particle made at the collision point has no vertex of its own.
    axes = (ak.fill_none(records.vProd[axis], 0.0) for axis in ("px", "py", "pz"))
    return np.stack([ak.to_numpy(axis)[rows] for axis in axes], axis=1)


def _decays(
    records: ak.Array,
    event: Int64[np.ndarray, " records"],
    first_row: Int64[np.ndarray, " events"],
    parent: int | None,
) -> Decays:
    pdg_id = ak.to_numpy(records.id).astype(np.int64)
    kind = np.abs(pdg_id)
    outgoing = np.abs(ak.to_numpy(records.status)) == _HARD_PROCESS
    product = np.flatnonzero(outgoing & ~np.isin(kind, _RESONANCES))
    mother1 = ak.to_numpy(records.mother1)
    row = first_row[event[product]] + mother1[product]
    # Up through copies of a resonance and the resonances that it came from. A resonance decays as
    # its last copy, the first that is met on the way up.
    decayed = row
    while True:
        mother = first_row[event[row]] + mother1[row]
        up = np.isin(kind[row], _RESONANCES) & np.isin(kind[mother], _RESONANCES)
        if not up.any():
            break
        decayed = np.where(up & (pdg_id[mother] != pdg_id[row]), mother, decayed)
        row = np.where(up, mother, row)
    wanted = kind[decayed] == (parent or 0)  # no particle has the id 0
    product, decayed = product[wanted], decayed[wanted]
    order = np.argsort(decayed, kind="stable")
    product, decayed = product[order], decayed[order]
    parents = np.unique(decayed)
    shape = (len(parents), len(product) // len(parents) if len(parents) else 0)
    return Decays(
        event=event[parents],
        parent_id=pdg_id[parents],
        parent=_p4(records, parents),
        product_ids=pdg_id[product].reshape(shape),
        products=_p4(records, product).reshape(*shape, 4),
    )
