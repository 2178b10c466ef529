"""What the particles of an event come from, found in Pythia's record of it.

A particle has the origin of its nearest ancestor in the record that says something: a heavy hadron,
a tau, a resonance, or a parton of a second collision. A hadron of a string is a descendant of many
partons; it is counted to that of nearest direction, so that what a b quark of a top decay
fragments to is the top's although its string ends in a gluon of the initial state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from jaxtyping import Bool, Float64, Int64

from parttag.samples.simulation.pairs import ranges


class Origin(IntEnum):
    """What a particle comes from, as ``part_origin`` has it in files.

    The first that applies of: the decay of a hadron with a b quark (what its charmed hadrons and
    taus decay to as well), of one with a c quark, of a tau; else the nearest of W, Z, H and top,
    which then radiated or fragmented; a parton of a second collision of the protons; all the rest,
    which is radiation and fragmentation of the hard process and of what is left of the protons.
    """

    SHOWER = 0
    B = 1
    C = 2
    TAU = 3
    W = 4
    Z = 5
    H = 6
    TOP = 7
    UNDERLYING = 8


_KINDS = {15: Origin.TAU, 24: Origin.W, 23: Origin.Z, 25: Origin.H, 6: Origin.TOP}  # |PDG id|
_DECAYING = (Origin.B, Origin.C, Origin.TAU)
_CONTAINING = (Origin.B, Origin.C)
_NONE = -1
_NUM_KINDS = 100_000  # hadrons with b or c quarks that Pythia makes have five digits at most
# |status|, by Pythia's manual.
_BEAM = 12
_SECOND_INCOMING, _SECOND_OUTGOING = 31, (33, 34, 35, 36)
_FRAGMENTED = (81, 86)
"""From and to: mothers are then all partons from the first to the second one."""


@dataclass(frozen=True, eq=False)
class Record:
    """The whole record of a batch of events, one entry a row, those of one event together.

    ``first`` is the row where the entry's event begins, ``mothers`` count from there and are 0 for
    none; ``momentum`` is (px, py, pz) in GeV.
    """

    first: Int64[np.ndarray, " entries"]
    pdg_id: Int64[np.ndarray, " entries"]
    status: Int64[np.ndarray, " entries"]
    mothers: Int64[np.ndarray, "entries 2"]
    momentum: Float64[np.ndarray, "entries 3"]


@dataclass(frozen=True, eq=False)
class Ancestry:
    """The origin of particles, the row of the ancestor that gives it, and their mother's PDG id."""

    origin: Int64[np.ndarray, " particles"]
    ancestor: Int64[np.ndarray, " particles"]
    mother_id: Int64[np.ndarray, " particles"]


def ancestry(record: Record, rows: Int64[np.ndarray, " particles"]) -> Ancestry:
    """Return what the particles at ``rows`` come from."""
    parent = record.first + record.mothers[:, 0]
    code = _codes(record, parent)
    nearest = _nearest(code, parent)
    torn = _of_torn_strings(record, code[nearest])
    if len(torn):
        parent[torn] = _nearest_partons(record, torn)
        nearest = _nearest(code, parent)
    found = nearest[rows]
    while True:  # out of the decays that are a part of the decay of a heavier hadron
        above = nearest[parent[found]]
        inner = np.isin(code[found], _DECAYING) & np.isin(code[above], _CONTAINING)
        inner &= (code[above] < code[found]) | (code[found] == Origin.C)
        if not inner.any():
            break
        found = np.where(inner, above, found)
    return Ancestry(code[found], found, record.pdg_id[parent[rows]])


def _nearest(
    code: Int64[np.ndarray, " entries"], parent: Int64[np.ndarray, " entries"]
) -> Int64[np.ndarray, " entries"]:
    """Return the row of the nearest entry with a code, on the way up from each and itself."""
    nearest = np.where(code != _NONE, np.arange(len(code)), parent)
    # Up by 1, 2, 4, 8 … generations at a time.
    while not np.array_equal(further := nearest[nearest], nearest):
        nearest = further
    return nearest


def _of_torn_strings(
    record: Record, origin: Int64[np.ndarray, " entries"]
) -> Int64[np.ndarray, " hadrons"]:
    """Return the rows of the hadrons of strings whose partons differ in their origin."""
    status = np.abs(record.status)
    first, last = record.mothers.T
    rows = np.flatnonzero((status >= _FRAGMENTED[0]) & (status <= _FRAGMENTED[1]) & (last > first))
    changes = np.cumsum(np.diff(origin, prepend=origin[:1]) != 0)
    low, high = (changes[record.first[rows] + end[rows]] for end in (first, last))
    torn: Int64[np.ndarray, " hadrons"] = rows[low != high]
    return torn


def _nearest_partons(
    record: Record, hadrons: Int64[np.ndarray, " hadrons"]
) -> Int64[np.ndarray, " hadrons"]:
    """Return the row of the parton of each hadron's string that is nearest to it in direction."""
    first, last = (record.first[hadrons] + end for end in record.mothers[hadrons].T)
    hadron, parton = ranges(first, last + 1)
    momentum = record.momentum[parton]
    length = np.sqrt(np.einsum("pi,pi->p", momentum, momentum)).clip(min=1e-12)
    along = np.einsum("pi,pi->p", momentum, record.momentum[hadrons][hadron]) / length
    order = np.lexsort((along, hadron))
    return parton[order][np.flatnonzero(np.diff(hadron, append=-1))]


def _codes(record: Record, parent: Int64[np.ndarray, " entries"]) -> Int64[np.ndarray, " entries"]:
    """Return what each entry says of the origin of its descendants, −1 for nothing."""
    kind = np.abs(record.pdg_id)
    code = _codes_by_kind()[np.where(kind < _NUM_KINDS, kind, 0)]
    status = np.abs(record.status)
    code[np.isin(status, _SECOND_OUTGOING)] = Origin.UNDERLYING
    incoming = np.flatnonzero(status == _SECOND_INCOMING)
    while len(incoming):  # what radiates before a second collision, up to the protons
        code[incoming] = Origin.UNDERLYING
        above = np.unique(parent[incoming])
        incoming = above[(status[above] != _BEAM) & (above != record.first[above])]
    code[record.first == np.arange(len(code))] = Origin.SHOWER
    return code


@cache
def _codes_by_kind() -> Int64[np.ndarray, " kinds"]:
    """Return the code of each |PDG id| below ``_NUM_KINDS``."""
    kind = np.arange(_NUM_KINDS)
    code = np.full(_NUM_KINDS, _NONE)
    code[list(_KINDS)] = list(_KINDS.values())
    code[has_quark(kind, 4)] = Origin.C
    code[has_quark(kind, 5)] = Origin.B
    return code


def has_quark(kind: Int64[np.ndarray, " kinds"], flavour: int) -> Bool[np.ndarray, " kinds"]:
    """Return which |PDG ids| are of hadrons whose heaviest quark has this flavour, 4 or 5.

    Charmonium and bottomonium are left out.
    """
    baryon, meson, light = (kind // unit % 10 for unit in (1000, 100, 10))
    hadron = (kind > 100) & (kind < 10**7) & (light > 0) & (meson > 0)
    hidden = (baryon == 0) & (meson == light)
    found: Bool[np.ndarray, " kinds"]
    found = hadron & ~hidden & ((baryon == flavour) | (meson == flavour))
    return found
