"""A detector with one calorimeter: stable particles in, energy flow out, the way Delphes does it.

1. Particles fly to the calorimeter, charged ones in the magnetic field.
2. Charged particles give tracks with some efficiency; a track keeps its direction, its pT is
   smeared.
3. Particles leave their energy in towers. The electromagnetic and the hadronic energy of a tower
   are smeared, and dropped where they are not significant.
4. Energy flow, in each of the two compartments: where the tracker measures a charged particle
   better than the tower does, the track stands as it is and its energy is taken out of the
   tower's; other tracks share what is left of it. Without such tracks what is left, if
   significant, is a photon or a neutral hadron; the two of a tower have one direction, uniform
   within the tower.

Everything that comes out is massless. Random numbers are drawn for a batch of events at a time, so
that the result depends on how events were split into batches.

References
----------
arXiv:1307.6346 (Delphes 3), sections 2.1 to 2.4.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from parttag.jets.kinematics import massless
from parttag.samples.simulation.detectors.card import CombinedCard, Compartment
from parttag.samples.simulation.detectors.energy_flow import (
    EnergyFlow,
    deposit_shares,
    measure,
    sum_by_tower,
)
from parttag.samples.simulation.detectors.propagation import reach_calorimeter
from parttag.samples.simulation.detectors.tracking import Tracks, find_tracks
from parttag.samples.simulation.generator import Particles


def detect(particles: Particles, card: CombinedCard, rng: np.random.Generator) -> EnergyFlow:
    """Return what the detector ``card`` reconstructs of the stable particles of a batch."""
    particles, eta, phi = reach_calorimeter(particles, card)
    cell, inside = card.grid.cells(eta, phi)
    particles, eta = particles.take(inside), eta[inside]
    # Towers are the cells that something hits, numbered through all events of the batch.
    cells, tower = np.unique(
        cell[inside] + particles.event * card.grid.num_cells, return_inverse=True
    )
    tower_event, cell = np.divmod(cells, card.grid.num_cells)
    eta_edges, phi_edges = card.grid.edges(cell)
    center = eta_edges.mean(axis=1)
    direction = [rng.uniform(edges[:, 0], edges[:, 1]) for edges in (eta_edges, phi_edges)]

    shares = deposit_shares(particles.pdg_id, card)
    tracks = find_tracks(particles, eta, card, rng)
    seen = shares[tracks.particle]
    unseen = tracks.take(seen.sum(axis=1) == 0)  # by the calorimeter: muons
    events, p4 = [particles.event[unseen.particle]], [unseen.p4]
    for i, compartment in enumerate((card.electromagnetic, card.hadronic)):
        deposit = sum_by_tower(tower, particles.p4[:, 3] * shares[:, i], len(cells))
        own = tracks.take(seen[:, i] == 1)
        scale, left = _share_energy(own, tower[own.particle], deposit, center, compartment, rng)
        events += [particles.event[own.particle][scale > 0], tower_event[left > 0]]
        p4 += [(own.p4 * scale[:, None])[scale > 0], massless(left, *direction)[left > 0]]
    event = np.concatenate(events)
    order = np.argsort(event, kind="stable")
    return EnergyFlow(event[order], np.concatenate(p4)[order])


def _share_energy(
    tracks: Tracks,
    tower: Int64[np.ndarray, " tracks"],
    deposit: Float64[np.ndarray, " towers"],
    eta: Float64[np.ndarray, " towers"],
    compartment: Compartment,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, " tracks"], Float64[np.ndarray, " towers"]]:
    """Return what to multiply each track's momentum with, and the energy left in each tower.

    ``tower`` is where each track ends, ``deposit`` the true energy of the towers in this
    compartment, ``eta`` their center.
    """
    measured = compartment.significant(eta, measure(deposit, eta, compartment.resolution, rng))
    energy = tracks.p4[:, 3]
    sigma = compartment.resolution(eta[tower], energy)
    scaled = sigma < tracks.resolution * energy  # the calorimeter measures these better
    sharing = sum_by_tower(tower[scaled], energy[scaled], len(eta))
    taken = sum_by_tower(tower[~scaled], energy[~scaled], len(eta))

    left = np.maximum(measured - taken, 0.0)
    scale = np.ones_like(energy)
    shared = tower[scaled]
    scale[scaled] = left[shared] / sharing[shared]
    return scale, compartment.significant(eta, np.where(sharing > 0, 0.0, left))
