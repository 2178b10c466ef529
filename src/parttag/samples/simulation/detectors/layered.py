"""A detector with two calorimeters one behind the other, as CMS has them, the way Delphes does it.

1. Particles fly to the calorimeters, charged ones in the magnetic field.
2. Charged particles give tracks with some efficiency; a track keeps its direction, its pT is
   smeared, and it gets impact parameters with an error.
3. Particles leave their energy in the towers of each calorimeter, which smears it and drops it
   where it is not significant.
4. Energy flow: if a tower has significantly more energy than its tracks, the excess is a photon
   (in the electromagnetic calorimeter) or a neutral hadron, in a direction uniform within the
   tower, and the tracks stand as they are. Without such an excess, the tracks of the tower share
   the energy that it measured, which may be none.

The last sentence is what came of JetClass's card: it hands its tracks on with a resolution of zero,
and Delphes then weights the track's own momentum with nothing. JetClass-II, made alike, has it: the
errors of d0, which tell the momentum before, belong to other momenta than the hadrons have.

Tracks keep the mass of their particle, the rest is massless. Random numbers are drawn for a batch
of events at a time, so that the result depends on how events were split into batches.

References
----------
arXiv:1307.6346 (Delphes 3), sections 2.1 to 2.4; the module ``SimpleCalorimeter`` of Delphes 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from parttag.jets.kinematics import massless
from parttag.samples.simulation.ancestry import Origin
from parttag.samples.simulation.detectors.card import Layer, LayeredCard
from parttag.samples.simulation.detectors.energy_flow import (
    EnergyFlow,
    deposit_shares,
    measure,
    sum_by_tower,
)
from parttag.samples.simulation.detectors.propagation import reach_calorimeter
from parttag.samples.simulation.detectors.tracking import (
    ELECTRON,
    MUON,
    MeasuredTracks,
    Tracks,
    find_tracks,
    impact_parameters,
)
from parttag.samples.simulation.generator import Particles

IDENTITIES = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
_IMPACT = ("d0val", "d0err", "dzval", "dzerr")
_AXES = "xyz"
# What tracks count for in the truth of an excess: all where there is nothing else in the tower.
_LITTLE = 1e-6


@dataclass(frozen=True, eq=False)
class _Towers:
    """The towers of a layer that something hits, through all events of a batch.

    ``of`` gives the tower of each particle, −1 where it leaves nothing.
    """

    of: Int64[np.ndarray, " particles"]
    event: Int64[np.ndarray, " towers"]
    eta_edges: Float64[np.ndarray, "towers 2"]
    phi_edges: Float64[np.ndarray, "towers 2"]

    def __len__(self) -> int:
        return len(self.event)


def detect(particles: Particles, card: LayeredCard, rng: np.random.Generator) -> EnergyFlow:
    """Return what the detector ``card`` reconstructs of the stable particles of a batch.

    The columns are those of JetClass: ``charge``, the five identities, ``d0val``, ``d0err``,
    ``dzval`` and ``dzerr`` in mm, which are 0 for what has no track; and of the truth ``origin``
    and ``prod_vertex_x`` to ``_z``. What has no track has the origin of most of the energy in its
    tower, and the vertex of the particle with the greatest part of it, tracks left out.
    """
    particles, eta, phi = reach_calorimeter(particles, card)
    tracks = _massive(find_tracks(particles, eta, card, rng), particles)
    impact = impact_parameters(tracks, particles, card, rng)
    shares = deposit_shares(particles.pdg_id, card)
    scale = np.ones(len(tracks.particle))
    untracked = np.ones(len(shares))
    untracked[tracks.particle] = _LITTLE
    flows = []
    for i, (layer, identity) in enumerate(
        ((card.electromagnetic, "isPhoton"), (card.hadronic, "isNeutralHadron"))
    ):
        towers = _hit_towers(layer, particles.event, eta, phi, shares[:, i])
        own = np.flatnonzero(shares[tracks.particle, i] == 1)
        deposit = particles.p4[:, 3] * shares[:, i]
        scale[own], excess = _compare(layer, towers, deposit, tracks.take(own), rng)
        source = _sources(towers, particles, deposit * untracked)
        flows.append(_neutral(towers, excess, identity, source, rng))
    flows.append(_charged(tracks, scale, particles, impact))
    return replace(
        _in_order(flows),
        tracks=MeasuredTracks.of(tracks, impact, particles),
        tracked=particles.take(tracks.particle),
    )


def _massive(tracks: Tracks, particles: Particles) -> Tracks:
    """Return the tracks with the masses of their particles."""
    p4 = _with_mass_of(particles.p4[tracks.particle], tracks.p4[:, :3])
    return replace(tracks, p4=p4)


def _with_mass_of(
    other: Float64[np.ndarray, "tracks 4"], momentum: Float64[np.ndarray, "tracks 3"]
) -> Float64[np.ndarray, "tracks 4"]:
    mass2 = np.maximum(other[:, 3] ** 2 - (other[:, :3] ** 2).sum(axis=1), 0.0)
    return np.column_stack([momentum, np.sqrt((momentum**2).sum(axis=1) + mass2)])


def _hit_towers(
    layer: Layer,
    event: Int64[np.ndarray, " particles"],
    eta: Float64[np.ndarray, " particles"],
    phi: Float64[np.ndarray, " particles"],
    share: Float64[np.ndarray, " particles"],
) -> _Towers:
    grid = layer.grid
    cell, inside = grid.cells(eta, phi)
    hits = np.flatnonzero(inside & (share > 0))
    cells, tower = np.unique(cell[hits] + event[hits] * grid.num_cells, return_inverse=True)
    of = np.full(len(event), -1)
    of[hits] = tower
    tower_event, cell = np.divmod(cells, grid.num_cells)
    return _Towers(of, tower_event, *grid.edges(cell))


def _compare(
    layer: Layer,
    towers: _Towers,
    deposit: Float64[np.ndarray, " particles"],
    tracks: Tracks,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, " tracks"], Float64[np.ndarray, " towers"]]:
    """Return what to multiply each track's momentum with, and the excess energy of each tower.

    ``deposit`` is what each particle leaves in this layer; ``tracks`` are those that end in it.
    """
    resolution = layer.compartment.resolution
    eta = towers.eta_edges.mean(axis=1)
    hits = towers.of >= 0
    true = sum_by_tower(towers.of[hits], deposit[hits], len(towers))
    smeared = measure(true, eta, resolution, rng)
    measured = layer.compartment.significant(eta, smeared)

    tower = towers.of[tracks.particle]
    charged = sum_by_tower(tower, tracks.p4[:, 3], len(towers))
    excess = np.maximum(measured - charged, 0.0)
    counts = (excess > layer.compartment.min_energy) & (
        excess > layer.compartment.min_significance * resolution(eta, smeared)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # towers without tracks
        scale = np.where(counts, 1.0, measured / charged)
    return scale[tower], np.where(counts, excess, 0.0)


def _sources(
    towers: _Towers, particles: Particles, deposit: Float64[np.ndarray, " particles"]
) -> dict[str, Shaped[np.ndarray, " towers"]]:
    """Return the truth of each tower: origin of most of the energy, vertex of the greatest part."""
    hits = np.flatnonzero(towers.of >= 0)
    tower, energy, origin = towers.of[hits], deposit[hits], particles.origin[hits]
    by_origin = sum_by_tower(
        tower * len(Origin) + origin, energy, len(towers) * len(Origin)
    ).reshape(len(towers), len(Origin))
    order = np.lexsort((energy, tower))
    greatest = hits[order[np.flatnonzero(np.diff(tower[order], append=-1))]]
    return {
        "origin": by_origin.argmax(axis=1).astype(np.int8),
        **_vertices(particles.vertex[greatest]),
    }


def _vertices(vertex: Float64[np.ndarray, "rows 3"]) -> dict[str, Float64[np.ndarray, " rows"]]:
    return {f"prod_vertex_{axis}": column for axis, column in zip(_AXES, vertex.T, strict=True)}


def _neutral(
    towers: _Towers,
    energy: Float64[np.ndarray, " towers"],
    identity: str,
    source: Mapping[str, Shaped[np.ndarray, " towers"]],
    rng: np.random.Generator,
) -> EnergyFlow:
    eta = rng.uniform(towers.eta_edges[:, 0], towers.eta_edges[:, 1])
    phi = rng.uniform(towers.phi_edges[:, 0], towers.phi_edges[:, 1])
    rows = np.flatnonzero(energy)
    zero, one = np.zeros(len(rows)), np.ones(len(rows))
    columns = {"charge": zero, **dict.fromkeys((*IDENTITIES, *_IMPACT), zero), identity: one}
    columns |= {name: column[rows] for name, column in source.items()}
    return EnergyFlow(towers.event[rows], massless(energy, eta, phi)[rows], columns)


def _charged(
    tracks: Tracks,
    scale: Float64[np.ndarray, " tracks"],
    particles: Particles,
    impact: dict[str, Float64[np.ndarray, " tracks"]],
) -> EnergyFlow:
    rows = np.flatnonzero(scale)
    particle = tracks.particle[rows]
    kind = np.abs(particles.pdg_id[particle])
    identity = dict.fromkeys(IDENTITIES, np.zeros(len(rows)))
    identity["isElectron"] = (kind == ELECTRON).astype(np.float64)
    identity["isMuon"] = (kind == MUON).astype(np.float64)
    identity["isChargedHadron"] = 1.0 - identity["isElectron"] - identity["isMuon"]
    columns = {
        "charge": particles.charge[particle],
        **identity,
        **{name: impact[name][rows] for name in _IMPACT},
        "origin": particles.origin[particle].astype(np.int8),
        **_vertices(particles.vertex[particle]),
    }
    p4 = _with_mass_of(tracks.p4[rows], tracks.p4[rows, :3] * scale[rows, None])
    return EnergyFlow(particles.event[particle], p4, columns)


def _in_order(flows: list[EnergyFlow]) -> EnergyFlow:
    """Return the particles of all flows, those of one event after those of the other."""
    event = np.concatenate([flow.event for flow in flows])
    order = np.argsort(event, kind="stable")
    return EnergyFlow(
        event[order],
        np.concatenate([flow.p4 for flow in flows])[order],
        {
            name: np.concatenate([flow.columns[name] for flow in flows])[order]
            for name in flows[0].columns
        },
    )
