"""A fast detector: stable particles in, energy flow out, the way Delphes does it.

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

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float64, Int64

from parttag.data.simulation.card import Card, Compartment, EnergyResolution
from parttag.data.simulation.generator import Particles
from parttag.data.simulation.geometry import massless
from parttag.data.simulation.propagation import reach_calorimeter

_ELECTRON, _MUON = 11, 13  # |PDG id|


@dataclass(frozen=True, eq=False)
class EnergyFlow:
    """Reconstructed particles of a batch, those of one event after the other; p4 in GeV."""

    event: Int64[np.ndarray, " particles"]
    p4: Float64[np.ndarray, "particles 4"]


@dataclass(frozen=True, eq=False)
class _Tracks:
    """Tracks: the tower they hit, their σ(pT)/pT, and the shares of their energy left there."""

    event: Int64[np.ndarray, " tracks"]
    tower: Int64[np.ndarray, " tracks"]
    p4: Float64[np.ndarray, "tracks 4"]
    resolution: Float64[np.ndarray, " tracks"]
    shares: Float64[np.ndarray, "tracks 2"]

    def take(self, rows: np.ndarray) -> _Tracks:
        """Return the tracks at ``rows``, given by number or as a mask."""
        return _Tracks(*(getattr(self, field.name)[rows] for field in fields(self)))


def detect(particles: Particles, card: Card, rng: np.random.Generator) -> EnergyFlow:
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

    shares = _deposit_shares(particles.pdg_id, card)
    tracks = _find_tracks(particles, eta, tower, shares, card, rng)
    unseen = tracks.take(tracks.shares.sum(axis=1) == 0)  # by the calorimeter: muons
    events, p4 = [unseen.event], [unseen.p4]
    for i, compartment in enumerate((card.electromagnetic, card.hadronic)):
        deposit = _sum_by_tower(tower, particles.p4[:, 3] * shares[:, i], len(cells))
        own = tracks.take(tracks.shares[:, i] == 1)
        scale, left = _share_energy(own, deposit, center, compartment, rng)
        events += [own.event[scale > 0], tower_event[left > 0]]
        p4 += [(own.p4 * scale[:, None])[scale > 0], massless(left, *direction)[left > 0]]
    event = np.concatenate(events)
    order = np.argsort(event, kind="stable")
    return EnergyFlow(event[order], np.concatenate(p4)[order])


def _deposit_shares(
    pdg_id: Int64[np.ndarray, " particles"], card: Card
) -> Float64[np.ndarray, "particles 2"]:
    """Return the shares of its energy that each particle leaves in the two compartments."""
    kinds = np.array([kind for kind, _, _ in card.deposits])
    table = np.array([[0.0, 1.0], *(shares for _, *shares in card.deposits)])
    order = np.argsort(kinds)
    place = np.searchsorted(kinds[order], np.abs(pdg_id)).clip(max=len(kinds) - 1)
    known = kinds[order][place] == np.abs(pdg_id)
    return table[np.where(known, order[place] + 1, 0)]


def _find_tracks(
    particles: Particles,
    eta: Float64[np.ndarray, " particles"],
    tower: Int64[np.ndarray, " particles"],
    shares: Float64[np.ndarray, "particles 2"],
    card: Card,
    rng: np.random.Generator,
) -> _Tracks:
    """Return the tracks of the charged particles that are found, with smeared momenta.

    Efficiency and smearing go by η at the calorimeter, as in Delphes; a soft track curls there.
    """
    charged = np.flatnonzero(particles.charge)
    particles, eta = particles.take(charged), eta[charged]
    kind = np.abs(particles.pdg_id)
    pt = np.hypot(particles.p4[:, 0], particles.p4[:, 1])
    efficiency, resolution = np.empty_like(pt), np.empty_like(pt)
    for tracker, rows in (
        (card.electron, kind == _ELECTRON),
        (card.muon, kind == _MUON),
        (card.hadron, (kind != _ELECTRON) & (kind != _MUON)),
    ):
        efficiency[rows] = tracker.efficiency(eta[rows], pt[rows])
        resolution[rows] = tracker.resolution(eta[rows], pt[rows])
    stretch = rng.normal(1.0, resolution)
    found = np.flatnonzero((rng.uniform(size=len(pt)) < efficiency) & (stretch > 0))
    momentum = particles.p4[found, :3] * stretch[found, None]
    energy = np.sqrt((momentum**2).sum(axis=1))
    return _Tracks(
        event=particles.event[found],
        tower=tower[charged[found]],
        p4=np.column_stack([momentum, energy]),
        resolution=resolution[found],
        shares=shares[charged[found]],
    )


def _share_energy(
    tracks: _Tracks,
    deposit: Float64[np.ndarray, " towers"],
    eta: Float64[np.ndarray, " towers"],
    compartment: Compartment,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, " tracks"], Float64[np.ndarray, " towers"]]:
    """Return what to multiply each track's momentum with, and the energy left in each tower.

    ``deposit`` is the true energy of the towers in this compartment, ``eta`` their center.
    """
    measured = compartment.significant(eta, _measure(deposit, eta, compartment.resolution, rng))
    energy = tracks.p4[:, 3]
    sigma = compartment.resolution(eta[tracks.tower], energy)
    scaled = sigma < tracks.resolution * energy  # the calorimeter measures these better
    sharing = _sum_by_tower(tracks.tower[scaled], energy[scaled], len(eta))
    taken = _sum_by_tower(tracks.tower[~scaled], energy[~scaled], len(eta))

    left = np.maximum(measured - taken, 0.0)
    scale = np.ones_like(energy)
    shared = tracks.tower[scaled]
    scale[scaled] = left[shared] / sharing[shared]
    return scale, compartment.significant(eta, np.where(sharing > 0, 0.0, left))


def _sum_by_tower(
    tower: Int64[np.ndarray, " hits"], energy: Float64[np.ndarray, " hits"], num_towers: int
) -> Float64[np.ndarray, " towers"]:
    # Of nothing, bincount makes integers.
    return np.bincount(tower, energy, minlength=num_towers).astype(np.float64)


def _measure(
    deposit: Float64[np.ndarray, " towers"],
    eta: Float64[np.ndarray, " towers"],
    resolution: EnergyResolution,
    rng: np.random.Generator,
) -> Float64[np.ndarray, " towers"]:
    """Return log-normal energies with the deposits as means and the resolution as width."""
    normal = rng.normal(size=len(deposit))
    filled = deposit > 0
    mean = np.where(filled, deposit, 1.0)
    width = np.sqrt(np.log1p((resolution(eta, mean) / mean) ** 2))
    return np.where(filled, mean * np.exp(width * normal - width**2 / 2), 0.0)
