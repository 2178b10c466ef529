"""Tracks of charged particles: which are found, with what momentum and impact parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float64, Int64

from parttag.jets.kinematics import pt_eta_phi
from parttag.samples.simulation.detectors.card import Card, LayeredCard
from parttag.samples.simulation.generator import Particles

ELECTRON, MUON = 11, 13  # |PDG id|


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks: the row of the particle that made each, its p4, and its σ(pT)/pT."""

    particle: Int64[np.ndarray, " tracks"]
    p4: Float64[np.ndarray, "tracks 4"]
    resolution: Float64[np.ndarray, " tracks"]

    def take(self, rows: np.ndarray) -> Tracks:
        """Return the tracks at ``rows``, given by number or as a mask."""
        return Tracks(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class MeasuredTracks:
    """Tracks as the tracker measures them, those of one event after those of the other.

    ``momentum`` is (px, py, pz) in GeV at the point nearest to the beam; impact parameters and
    their errors are in mm.
    """

    event: Int64[np.ndarray, " tracks"]
    momentum: Float64[np.ndarray, "tracks 3"]
    d0: Float64[np.ndarray, " tracks"]
    d0_error: Float64[np.ndarray, " tracks"]
    dz: Float64[np.ndarray, " tracks"]
    dz_error: Float64[np.ndarray, " tracks"]

    @classmethod
    def of(
        cls,
        tracks: Tracks,
        impact: Mapping[str, Float64[np.ndarray, " tracks"]],
        particles: Particles,
    ) -> MeasuredTracks:
        """Return tracks with what ``impact_parameters`` gave for them."""
        columns = (impact[name] for name in ("d0val", "d0err", "dzval", "dzerr"))
        return cls(particles.event[tracks.particle], tracks.p4[:, :3], *columns)

    def take(self, rows: np.ndarray) -> MeasuredTracks:
        """Return the tracks at ``rows``, given by number or as a mask."""
        return MeasuredTracks(*(getattr(self, field.name)[rows] for field in fields(self)))


def find_tracks(
    particles: Particles,
    eta: Float64[np.ndarray, " particles"],
    card: Card,
    rng: np.random.Generator,
) -> Tracks:
    """Return the tracks of the charged particles that are found, massless, with smeared momenta.

    Efficiency and smearing go by ``eta`` at the calorimeter, as in Delphes; a soft track curls
    there.
    """
    charged = np.flatnonzero(particles.charge)
    particles, eta = particles.take(charged), eta[charged]
    kind = np.abs(particles.pdg_id)
    pt = np.hypot(particles.p4[:, 0], particles.p4[:, 1])
    efficiency, resolution = np.empty_like(pt), np.empty_like(pt)
    for tracker, rows in (
        (card.electron, kind == ELECTRON),
        (card.muon, kind == MUON),
        (card.hadron, (kind != ELECTRON) & (kind != MUON)),
    ):
        efficiency[rows] = tracker.efficiency(eta[rows], pt[rows])
        resolution[rows] = tracker.resolution(eta[rows], pt[rows])
    stretch = rng.normal(1.0, resolution)
    found = np.flatnonzero((rng.uniform(size=len(pt)) < efficiency) & (stretch > 0))
    momentum = particles.p4[found, :3] * stretch[found, None]
    energy = np.sqrt((momentum**2).sum(axis=1))
    return Tracks(charged[found], np.column_stack([momentum, energy]), resolution[found])


def impact_parameters(
    tracks: Tracks, particles: Particles, card: LayeredCard, rng: np.random.Generator
) -> dict[str, Float64[np.ndarray, " tracks"]]:
    """Return d0 and dz of tracks and their errors in mm, named as in JetClass.

    They are those of the straight line from where the particle was made, at its point nearest to
    the beam, smeared: with vertex (x, y, z), d0 = (x py − y px)/pT and
    dz = z − (x px + y py) pz/pT². The field bends a track of 1 GeV from a vertex at 1 cm by
    0.06 mm, which is less than the error of its d0.
    """
    x, y, z = particles.vertex[tracks.particle].T
    px, py, pz, _ = particles.p4[tracks.particle].T
    pt2 = px**2 + py**2
    true = {"d0": (x * py - y * px) / np.sqrt(pt2), "dz": z - (x * px + y * py) * pz / pt2}
    pt, eta, _ = pt_eta_phi(tracks.p4)
    columns = {}
    for name, resolution in (("d0", card.d0), ("dz", card.dz)):
        columns[f"{name}err"] = resolution(eta, pt)
        columns[f"{name}val"] = rng.normal(true[name], columns[f"{name}err"])
    return columns
