"""Energy flow: reconstructed particles, and the steps that all detectors share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from parttag.samples.simulation.detectors.card import Card, EnergyResolution
from parttag.samples.simulation.detectors.tracking import MeasuredTracks
from parttag.samples.simulation.generator import Particles


@dataclass(frozen=True, eq=False)
class EnergyFlow:
    """Reconstructed particles of a batch, those of one event after the other; p4 in GeV.

    ``columns`` holds what else is known of them, by the name that it has in JetClass after
    ``part_``. ``tracks`` are all that were found, those that energy flow drops too, and
    ``tracked`` the particles that made them.
    """

    event: Int64[np.ndarray, " particles"]
    p4: Float64[np.ndarray, "particles 4"]
    columns: Mapping[str, Shaped[np.ndarray, " particles"]] = field(default_factory=dict)
    tracks: MeasuredTracks | None = None
    tracked: Particles | None = None


def deposit_shares(
    pdg_id: Int64[np.ndarray, " particles"], card: Card
) -> Float64[np.ndarray, "particles 2"]:
    """Return the shares of its energy that each particle leaves in the two calorimeters."""
    kinds = np.array([kind for kind, _, _ in card.deposits])
    table = np.array([[0.0, 1.0], *(shares for _, *shares in card.deposits)])
    order = np.argsort(kinds)
    place = np.searchsorted(kinds[order], np.abs(pdg_id)).clip(max=len(kinds) - 1)
    known = kinds[order][place] == np.abs(pdg_id)
    return table[np.where(known, order[place] + 1, 0)]


def sum_by_tower(
    tower: Int64[np.ndarray, " hits"], energy: Float64[np.ndarray, " hits"], num_towers: int
) -> Float64[np.ndarray, " towers"]:
    """Return the energies in each tower."""
    # Of nothing, bincount makes integers.
    return np.bincount(tower, energy, minlength=num_towers).astype(np.float64)


def measure(
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
