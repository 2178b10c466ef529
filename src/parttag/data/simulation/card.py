"""What a detector is: the numbers of a Delphes card, as typed tables.

A card says how well and how often charged particles are measured, and how the calorimeter is cut
into towers. ``ATLAS_3_3_2`` holds those of ``delphes_card_ATLAS.tcl`` of Delphes 3.3.2, with which
the Top Quark Tagging Reference Dataset was made.
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
class EnergyResolution:
    """σ(E) = √((constant·E)² + stochastic²·E + noise²) in GeV of a calorimeter, by |η|."""

    eta_edges: tuple[float, ...]
    constant: tuple[float, ...]
    stochastic: tuple[float, ...]
    noise: tuple[float, ...]

    def __call__(
        self, eta: Float64[np.ndarray, " towers"], energy: Float64[np.ndarray, " towers"]
    ) -> Float64[np.ndarray, " towers"]:
        """Return σ(E) at each η and energy; 0 beyond the last |η|."""
        constant, stochastic, noise = (
            _by_region(eta, self.eta_edges, terms)
            for terms in (self.constant, self.stochastic, self.noise)
        )
        return np.asarray(np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2))


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
    """A detector: field, tracking and calorimeter.

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
    grid: TowerGrid
    electromagnetic: Compartment
    hadronic: Compartment
    deposits: tuple[tuple[int, float, float], ...]


def _atlas_grid() -> TowerGrid:
    """Towers of 0.1 x 10 degrees up to |η| = 2.6, coarser ones of mostly 20 degrees to 4.9."""
    central = [round(0.1 * step, 1) for step in range(-26, 27)]
    forward = [2.8, 3.0, 3.2, 3.3, 3.5, 3.7, 3.9, 4.1, 4.3, 4.5, 4.7, 4.9]
    eta_edges = [-eta for eta in reversed(forward)] + central + forward
    # The card gives the cut in φ with the upper edge of a ring, hence the asymmetry.
    coarse = {-eta for eta in (4.7, 4.5, 4.3, 4.1, 3.9, 3.7, 3.5, 3.3, 3.0, 2.8, 2.6)} | {
        2.8, 3.0, 3.2, 3.5, 3.7, 3.9, 4.1, 4.3, 4.5, 4.7, 4.9,
    }  # fmt: skip
    return TowerGrid(
        eta_edges=tuple(eta_edges),
        phi_bins=tuple(18 if upper in coarse else 36 for upper in eta_edges[1:]),
    )


_HADRON_RESOLUTION = TrackResolution(
    eta_edges=(0.5, 1.5, 2.5), floor=(0.06, 0.10, 0.25), slope=(1.3e-3, 1.7e-3, 3.1e-3)
)

ATLAS_3_3_2 = Card(
    name="ATLAS, Delphes 3.3.2",
    radius=1.15,
    half_length=3.51,
    magnetic_field=2.0,
    hadron=Tracker(
        efficiency=Efficiency(
            eta_edges=(1.5, 2.5),
            pt_edges=(0.1, 1.0),
            table=((0.0, 0.70, 0.95), (0.0, 0.60, 0.85)),
        ),
        resolution=_HADRON_RESOLUTION,
    ),
    electron=Tracker(
        efficiency=Efficiency(
            eta_edges=(1.5, 2.5),
            pt_edges=(0.1, 1.0, 100.0),
            table=((0.0, 0.73, 0.95, 0.99), (0.0, 0.50, 0.83, 0.90)),
        ),
        resolution=_HADRON_RESOLUTION,
    ),
    muon=Tracker(
        efficiency=Efficiency(
            eta_edges=(1.5, 2.5),
            pt_edges=(0.1, 1.0),
            table=((0.0, 0.75, 0.99), (0.0, 0.70, 0.98)),
        ),
        resolution=TrackResolution(
            eta_edges=(0.5, 1.5, 2.5), floor=(0.02, 0.03, 0.06), slope=(2e-4, 3e-4, 6e-4)
        ),
    ),
    grid=_atlas_grid(),
    electromagnetic=Compartment(
        resolution=EnergyResolution(
            eta_edges=(3.2, 4.9),
            constant=(0.0017, 0.0350),
            stochastic=(0.101, 0.285),
            noise=(0.0, 0.0),
        ),
        min_energy=0.5,
        min_significance=1.0,
    ),
    hadronic=Compartment(
        resolution=EnergyResolution(
            eta_edges=(1.7, 3.2, 4.9),
            constant=(0.0302, 0.0500, 0.09420),
            stochastic=(0.5205, 0.706, 1.00),
            noise=(1.59, 0.0, 0.0),
        ),
        min_energy=1.0,
        min_significance=1.0,
    ),
    deposits=(
        (11, 1.0, 0.0),
        (22, 1.0, 0.0),
        (12, 0.0, 0.0),
        (13, 0.0, 0.0),
        (14, 0.0, 0.0),
        (16, 0.0, 0.0),
        # K0S and Λ decay on the way or inside
        (310, 0.3, 0.7),
        (3122, 0.3, 0.7),
    ),
)
