"""Stable particles and jets made by hand, for tests of the simulation."""

from dataclasses import fields

import numpy as np

from parttag.jets.clustered import Jets
from parttag.jets.packing import offsets_of
from parttag.samples.simulation.generator import Particles

MASSES = {211: 0.13957, 321: 0.49368, 2212: 0.93827, 13: 0.10566, 310: 0.49761, 130: 0.49761}
CHARGED = {11: -1, 13: -1, 211: 1, 321: 1, 2212: 1}


def p4(pt, eta, phi, mass=0.0):
    """Return (px, py, pz, E), shape (n, 4)."""
    pt, eta, phi, mass = np.broadcast_arrays(*np.atleast_1d(pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)], axis=1)


def particles(pdg_id, pt, eta=0.0, phi=0.0, vertex=(0.0, 0.0, 0.0), event=0, origin=0):
    """Return particles of one kind; a negative ``pdg_id`` is the antiparticle."""
    kind = abs(pdg_id)
    momenta = p4(pt, eta, phi, MASSES.get(kind, 0.0))
    count = len(momenta)
    return Particles(
        event=np.broadcast_to(np.int64(event), count).copy(),
        pdg_id=np.full(count, pdg_id, dtype=np.int64),
        p4=momenta,
        vertex=np.broadcast_to(np.array(vertex, dtype=np.float64), (count, 3)).copy(),
        charge=np.full(count, float(np.sign(pdg_id) * CHARGED.get(kind, 0))),
        origin=np.full(count, origin),
        ancestor=np.zeros(count, dtype=np.int64),
        mother_id=np.zeros(count, dtype=np.int64),
    )


def together(*parts):
    """Return the particles of all parts."""
    names = [field.name for field in fields(Particles)]
    return Particles(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def jets(*members, event=None):
    """Return one jet for each (n, 4) array of particles' p4."""
    offsets = offsets_of([len(one) for one in members])
    events = np.arange(len(members)) if event is None else np.array(event, dtype=np.int64)
    return Jets(
        events, np.array([one.sum(axis=0) for one in members]), offsets, np.concatenate(members)
    )
