"""The truth of a jet: the jet that the stable particles make, and where its particles were made."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int16, Int64

from parttag.jets.clustered import Jets
from parttag.jets.kinematics import delta_phi, mass, pt_eta_phi
from parttag.jets.packing import places
from parttag.samples.simulation.clustering import hard_jets
from parttag.samples.simulation.detectors.energy_flow import EnergyFlow
from parttag.samples.simulation.generator import Particles
from parttag.samples.simulation.pairs import matches
from parttag.samples.simulation.substructure import soft_drop_mass
from parttag.samples.simulation.truth import NEUTRINOS

SAME_VERTEX = 0.1
"""mm; particles made nearer to one another share a vertex, as no detector tells them apart."""

_MAX_ETA = 5.0
_SHARE = 0.3
"""Of the detected jets' lowest pT, above which generated jets are looked for."""


def generated_columns(
    jets: Jets, stable: Particles, radius: float, min_pt: float
) -> dict[str, Float64[np.ndarray, " jets"]]:
    """Return ``jet_genpt``, ``jet_genmass`` and ``jet_gensdmass`` in GeV.

    They are of the nearest jet of stable particles but neutrinos, |η| < 5, made with the same
    algorithm and radius, within half of the radius of the jet's axis; NaN where there is none.
    ``min_pt`` in GeV is that of the jets.
    """
    names = ("jet_genpt", "jet_genmass", "jet_gensdmass")
    pt, eta, _ = pt_eta_phi(stable.p4)
    used = (np.abs(eta) < _MAX_ETA) & (pt > 0) & np.isin(stable.event, jets.event)
    used &= ~np.isin(np.abs(stable.pdg_id), NEUTRINOS)
    num_events = int(stable.event.max(initial=-1)) + 1
    flow = EnergyFlow(stable.event[used], stable.p4[used])
    made = hard_jets(flow, num_events, radius, _SHARE * min_pt)
    jet, other = matches(jets.event, made.event)
    (_, eta, phi), (_, own_eta, own_phi) = pt_eta_phi(made.p4), pt_eta_phi(jets.p4)
    distance = np.hypot(own_eta[jet] - eta[other], delta_phi(own_phi[jet], phi[other]))
    order = np.flatnonzero(distance < radius / 2)
    order = order[np.lexsort((distance[order], jet[order]))]
    matched, first = np.unique(jet[order], return_index=True)
    found = made.take(other[order[first]])
    columns = {name: np.full(len(jets), np.nan) for name in names}
    values = (pt_eta_phi(found.p4)[0], mass(found.p4), soft_drop_mass(found))
    for name, value in zip(names, values, strict=True):
        columns[name][matched] = value
    return columns


def vertex_numbers(jets: Jets) -> Int16[np.ndarray, " particles"]:
    """Return for each particle which vertex of its jet it was made at.

    0 is where the protons collided; others count from 1 on, in the order of the hardest particle
    of each. Particles made within 0.1 mm of each other, or of a third one, share a vertex.
    """
    vertex = np.stack([jets.columns[f"prod_vertex_{axis}"] for axis in "xyz"], axis=1)
    rows = np.flatnonzero((vertex**2).sum(axis=1) > SAME_VERTEX**2)
    jet = np.repeat(np.arange(len(jets)), jets.lengths)[rows]
    first = _connected(vertex[rows], jet)
    number = np.zeros(len(vertex), dtype=np.int16)
    founders, place = np.unique(first, return_inverse=True)
    in_jet = places(np.bincount(jet[founders], minlength=len(jets)))
    number[rows] = in_jet[place] + 1
    return number


def _connected(
    vertex: Float64[np.ndarray, "rows 3"], jet: Int64[np.ndarray, " rows"]
) -> Int64[np.ndarray, " rows"]:
    """Return for each row the first one that it is connected to, of the same jet."""
    one, other = matches(jet, jet)
    near = ((vertex[one] - vertex[other]) ** 2).sum(axis=1) < SAME_VERTEX**2
    one, other = one[near], other[near]
    first = np.arange(len(jet))
    while True:
        reached = first.copy()
        np.minimum.at(reached, one, first[other])
        reached = reached[reached]
        if np.array_equal(reached, first):
            return first
        first = reached
