"""The numbers of ``delphes_card_ATLAS.tcl`` of Delphes 3.3.2.

The Top Quark Tagging Reference Dataset was made with them.
"""

from __future__ import annotations

from parttag.samples.simulation.detectors.card import (
    DEPOSITS,
    CombinedCard,
    Compartment,
    Efficiency,
    EnergyResolution,
    TowerGrid,
    Tracker,
    TrackResolution,
)


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

ATLAS_3_3_2 = CombinedCard(
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
    deposits=DEPOSITS,
)
