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
    """Tracks with the cell they hit, their σ(pT)/pT, and the shares of their energy left there."""

    event: Int64[np.ndarray, " tracks"]
    cell: Int64[np.ndarray, " tracks"]
    p4: Float64[np.ndarray, "tracks 4"]
    resolution: Float64[np.ndarray, " tracks"]
    shares: Float64[np.ndarray, "tracks 2"]

    def take(self, rows: np.ndarray) -> _Tracks:
        """Return the tracks at ``rows``, given by number or as a mask."""
        return _Tracks(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class _Towers:
    """Cells with energy in them: η of the center, (electromagnetic, hadronic) energy in GeV."""

    cell: Int64[np.ndarray, " towers"]
    center: Float64[np.ndarray, " towers"]
    deposit: Float64[np.ndarray, "towers 2"]


def detect(
    particles: Particles, num_events: int, card: Card, rng: np.random.Generator
) -> EnergyFlow:
    """Return what the detector ``card`` reconstructs of the stable particles of a batch."""
    particles, eta, phi = reach_calorimeter(particles, card)
    cell, inside = card.grid.cells(eta, phi)
    particles, eta = particles.take(inside), eta[inside]
    cell = cell[inside] + particles.event * card.grid.num_cells

    shares = _deposit_shares(particles.pdg_id, card)
    tracks = _find_tracks(particles, eta, cell, shares, card, rng)
    towers = _fill_towers(particles, cell, shares, num_events, card)

    invisible = tracks.take(tracks.shares.sum(axis=1) == 0)  # muons
    events, p4 = [invisible.event], [invisible.p4]
    tower_event, tower_cell = np.divmod(towers.cell, card.grid.num_cells)
    direction = [rng.uniform(edges[:, 0], edges[:, 1]) for edges in card.grid.edges(tower_cell)]
    for i, compartment in enumerate((card.electromagnetic, card.hadronic)):
        own = tracks.take(tracks.shares[:, i] == 1)
        scale, left = _share_energy(own, towers, towers.deposit[:, i], compartment, rng)
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
    cell: Int64[np.ndarray, " particles"],
    shares: Float64[np.ndarray, "particles 2"],
    card: Card,
    rng: np.random.Generator,
) -> _Tracks:
    """Return the tracks of the charged particles that are found, with smeared momenta.

    Efficiency and smearing go by η at the calorimeter, as in Delphes; a soft track curls there.
    """
    pt = np.hypot(particles.p4[:, 0], particles.p4[:, 1])
    kind = np.abs(particles.pdg_id)
    efficiency, resolution = np.zeros_like(pt), np.zeros_like(pt)
    charged = particles.charge != 0
    for tracker, rows in (
        (card.electron, charged & (kind == _ELECTRON)),
        (card.muon, charged & (kind == _MUON)),
        (card.hadron, charged & (kind != _ELECTRON) & (kind != _MUON)),
    ):
        efficiency[rows] = tracker.efficiency(eta[rows], pt[rows])
        resolution[rows] = tracker.resolution(eta[rows], pt[rows])
    smeared = pt * rng.normal(1.0, resolution)
    found = (rng.uniform(size=len(pt)) < efficiency) & (smeared > 0)
    momentum = particles.p4[found, :3] * (smeared / pt)[found, None]
    energy = np.sqrt((momentum**2).sum(axis=1))
    return _Tracks(
        event=particles.event[found],
        cell=cell[found],
        p4=np.column_stack([momentum, energy]),
        resolution=resolution[found],
        shares=shares[found],
    )


def _fill_towers(
    particles: Particles,
    cell: Int64[np.ndarray, " particles"],
    shares: Float64[np.ndarray, "particles 2"],
    num_events: int,
    card: Card,
) -> _Towers:
    num_cells = num_events * card.grid.num_cells
    deposits = [
        np.bincount(cell, particles.p4[:, 3] * share, minlength=num_cells) for share in shares.T
    ]
    filled = np.flatnonzero(sum(deposits))
    eta_edges, _ = card.grid.edges(filled % card.grid.num_cells)
    deposit = np.stack([one[filled] for one in deposits], axis=1)
    return _Towers(filled, eta_edges.mean(axis=1), deposit)


def _share_energy(
    tracks: _Tracks,
    towers: _Towers,
    deposit: Float64[np.ndarray, " towers"],
    compartment: Compartment,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, " tracks"], Float64[np.ndarray, " towers"]]:
    """Return what to multiply each track's momentum with, and the energy left in each tower."""
    measured = _measure(deposit, towers.center, compartment.resolution, rng)
    measured = compartment.significant(towers.center, measured)

    tower = np.searchsorted(towers.cell, tracks.cell)
    energy = tracks.p4[:, 3]
    sigma = compartment.resolution(towers.center[tower], energy)
    scaled = sigma < tracks.resolution * energy  # the calorimeter measures these better
    by_tracker = np.bincount(tower, np.where(scaled, 0.0, energy), minlength=len(towers.cell))
    by_calorimeter = np.bincount(tower, np.where(scaled, energy, 0.0), minlength=len(towers.cell))

    left = np.maximum(measured - by_tracker, 0.0)
    scale = np.ones_like(energy)
    scale[scaled] = left[tower[scaled]] / by_calorimeter[tower[scaled]]
    left = np.where(by_calorimeter > 0, 0.0, left)
    return scale, compartment.significant(towers.center, left)


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
