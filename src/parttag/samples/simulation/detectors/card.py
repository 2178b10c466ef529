"""Detector cards: the numbers of Delphes, as typed tables.

A card says how well and how often charged particles are measured, and how the calorimeter is cut
into towers. The numbers themselves are in ``atlas.py`` and ``cms.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


def _by_region(
    eta: Float64[np.ndarray, " points"],
    edges: Sequence[float],
    values: Sequence[float],
) -> Float64[np.ndarray, " points"]:
    """Return the value of the region of |η| that ends at each edge; 0 beyond the last."""
    found: Float64[np.ndarray, " points"]
    found = np.array([*values, 0.0])[np.searchsorted(edges, np.abs(eta))]
    return found


@dataclass(frozen=True)
class Efficiency:
    """The probability that a charged particle gives a track, by |η| and pT.

    ``table[i][j]`` holds for |η| up to ``eta_edges[i]`` and pT (GeV) up to ``pt_edges[j]``, the
    last column for any higher pT; beyond the last |η| there are no tracks.
    """

    eta_edges: tuple[float, ...]
    pt_edges: tuple[float, ...]
    table: tuple[tuple[float, ...], ...]

    def __call__(
        self, eta: Float64[np.ndarray, " particles"], pt: Float64[np.ndarray, " particles"]
    ) -> Float64[np.ndarray, " particles"]:
        """Return the efficiency at each η and pT."""
        by_range = [
            _by_region(eta, self.eta_edges, values) for values in zip(*self.table, strict=True)
        ]
        return np.stack(by_range)[np.searchsorted(self.pt_edges, pt), np.arange(len(pt))]


@dataclass(frozen=True)
class TrackResolution:
    """σ(pT)/pT = √(floor² + (slope·pT)²) of tracks, with a floor and a slope (1/GeV) by |η|."""

    eta_edges: tuple[float, ...]
    floor: tuple[float, ...]
    slope: tuple[float, ...]

    def __call__(
        self, eta: Float64[np.ndarray, " tracks"], pt: Float64[np.ndarray, " tracks"]
    ) -> Float64[np.ndarray, " tracks"]:
        """Return σ(pT)/pT at each η and pT; 0 beyond the last |η|."""
        floor = _by_region(eta, self.eta_edges, self.floor)
        slope = _by_region(eta, self.eta_edges, self.slope)
        return np.asarray(np.sqrt(floor**2 + (slope * pt) ** 2))


@dataclass(frozen=True)
class ImpactResolution:
    """σ in mm of an impact parameter of tracks, by |η| and pT.

    ``sigma[i][j]`` holds for |η| up to ``eta_edges[i]`` at pT = ``pt[j]`` (GeV). Between two such
    pT, ln σ is linear in ln pT; outside of them it is constant. 0 beyond the last |η|.
    """

    eta_edges: tuple[float, ...]
    pt: tuple[float, ...]
    sigma: tuple[tuple[float, ...], ...]

    def __call__(
        self, eta: Float64[np.ndarray, " tracks"], pt: Float64[np.ndarray, " tracks"]
    ) -> Float64[np.ndarray, " tracks"]:
        """Return σ at each η and pT."""
        by_region = [
            np.exp(np.interp(np.log(pt), np.log(self.pt), np.log(sigma))) for sigma in self.sigma
        ]
        region = np.searchsorted(self.eta_edges, np.abs(eta))
        found: Float64[np.ndarray, " tracks"]
        found = np.stack([*by_region, np.zeros_like(pt)])[region, np.arange(len(pt))]
        return found


@dataclass(frozen=True)
class EnergyResolution:
    """σ(E) = s(η)·√((constant·E)² + stochastic²·E + noise²) in GeV of a calorimeter, by |η|.

    The shape is s(η) = a + b|η| + cη² with (a, b, c) by region; 1 if not given.
    """

    eta_edges: tuple[float, ...]
    constant: tuple[float, ...]
    stochastic: tuple[float, ...]
    noise: tuple[float, ...]
    shape: tuple[tuple[float, float, float], ...] | None = None

    def __call__(
        self, eta: Float64[np.ndarray, " towers"], energy: Float64[np.ndarray, " towers"]
    ) -> Float64[np.ndarray, " towers"]:
        """Return σ(E) at each η and energy; 0 beyond the last |η|."""
        constant, stochastic, noise = (
            _by_region(eta, self.eta_edges, terms)
            for terms in (self.constant, self.stochastic, self.noise)
        )
        sigma = np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2)
        if self.shape is not None:
            a, b, c = (
                _by_region(eta, self.eta_edges, terms) for terms in zip(*self.shape, strict=True)
            )
            sigma *= a + b * np.abs(eta) + c * eta**2
        return np.asarray(sigma)


@dataclass(frozen=True)
class Tracker:
    """How one kind of charged particle is tracked."""

    efficiency: Efficiency
    resolution: TrackResolution


@dataclass(frozen=True)
class Compartment:
    """The electromagnetic or the hadronic part of the calorimeter.

    A tower's energy counts from ``min_energy`` (GeV) and ``min_significance`` (in σ) on.
    """

    resolution: EnergyResolution
    min_energy: float
    min_significance: float

    def significant(
        self, eta: Float64[np.ndarray, " towers"], energy: Float64[np.ndarray, " towers"]
    ) -> Float64[np.ndarray, " towers"]:
        """Return the energies, 0 where they are too low to count."""
        sigma = self.resolution(eta, energy)
        counts = (energy >= self.min_energy) & (energy >= self.min_significance * sigma)
        return np.where(counts, energy, 0.0)


@dataclass(frozen=True)
class TowerGrid:
    """The towers: rings in η between ``eta_edges``, each cut into ``phi_bins`` parts from −π on."""

    eta_edges: tuple[float, ...]
    phi_bins: tuple[int, ...]

    @property
    def num_cells(self) -> int:
        """Number of cells of an event: each ring takes as many as the finest."""
        return len(self.phi_bins) * max(self.phi_bins)

    def cells(
        self, eta: Float64[np.ndarray, " hits"], phi: Float64[np.ndarray, " hits"]
    ) -> tuple[Int64[np.ndarray, " hits"], Bool[np.ndarray, " hits"]]:
        """Return the cell that each direction points at, and whether it points at one at all."""
        ring = np.searchsorted(self.eta_edges, eta) - 1
        inside = (ring >= 0) & (ring < len(self.phi_bins))
        bins = np.array(self.phi_bins)[np.where(inside, ring, 0)]
        column = np.floor((phi + math.pi) / (2 * math.pi) * bins).astype(np.int64) % bins
        return ring * max(self.phi_bins) + column, inside

    def edges(
        self, cells: Int64[np.ndarray, " cells"]
    ) -> tuple[Float64[np.ndarray, "cells 2"], Float64[np.ndarray, "cells 2"]]:
        """Return the lower and upper edge of the cells in η and in φ."""
        ring, column = np.divmod(cells, max(self.phi_bins))
        eta = np.array(self.eta_edges)
        width = 2 * math.pi / np.array(self.phi_bins)[ring]
        phi = -math.pi + column * width
        return np.stack([eta[ring], eta[ring + 1]], axis=1), np.stack([phi, phi + width], axis=1)


@dataclass(frozen=True)
class Card:
    """What every detector has: a solenoid and a tracker in it.

    ``hadron``, ``electron`` and ``muon`` say how charged particles are tracked, inside a solenoid
    of ``radius`` and ``half_length`` (m) with a field of ``magnetic_field`` (T) along z.
    ``deposits`` gives the shares of their energy that particles leave in the electromagnetic and
    in the hadronic calorimeter by |PDG id|; any other particle leaves all of it in the hadronic.
    """

    name: str
    radius: float
    half_length: float
    magnetic_field: float
    hadron: Tracker
    electron: Tracker
    muon: Tracker
    deposits: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class CombinedCard(Card):
    """A detector with one calorimeter, each tower of which has two compartments."""

    grid: TowerGrid
    electromagnetic: Compartment
    hadronic: Compartment


@dataclass(frozen=True)
class Layer:
    """A calorimeter of its own: its towers and how they measure."""

    grid: TowerGrid
    compartment: Compartment


@dataclass(frozen=True)
class LayeredCard(Card):
    """A detector with a hadronic calorimeter behind an electromagnetic one of finer towers.

    ``d0`` and ``dz`` are the resolutions of the transverse and the longitudinal impact parameter.
    """

    electromagnetic: Layer
    hadronic: Layer
    d0: ImpactResolution
    dz: ImpactResolution


DEPOSITS = (
    (11, 1.0, 0.0),
    (22, 1.0, 0.0),
    (12, 0.0, 0.0),
    (13, 0.0, 0.0),
    (14, 0.0, 0.0),
    (16, 0.0, 0.0),
    # K0S and Λ decay on the way or inside
    (310, 0.3, 0.7),
    (3122, 0.3, 0.7),
)
"""Of all cards of Delphes."""
