"""The numbers of the CMS-like detector that JetClass was made with.

They are those of the Delphes card in https://github.com/jet-universe/jetclass_generation. It
differs from the ``delphes_card_CMS.tcl`` of today: hadrons are tracked with the older resolution,
a neutral hadron needs one standard deviation, not two, and tracks have impact parameters. Left out
are the loss of muons above 1 TeV, and the steps of the impact parameters' resolution: of its 34
values by pT, 9 are kept and joined by straight lines in the logarithms.

References
----------
arXiv:2202.03772, section 3 (JetClass); arXiv:1405.6569, figure 15 (impact parameters).
"""

from __future__ import annotations

from parttag.samples.simulation.detectors.card import (
    DEPOSITS,
    Compartment,
    Efficiency,
    EnergyResolution,
    ImpactResolution,
    Layer,
    LayeredCard,
    TowerGrid,
    Tracker,
    TrackResolution,
)


def _mirrored(positive: list[float]) -> list[float]:
    """Return edges in η and their mirror images, in order."""
    return [-eta for eta in reversed(positive) if eta > 0] + positive


def _electromagnetic_grid() -> TowerGrid:
    """Towers of 0.0174 x 1 degree up to |η| = 2.958, then of mostly 0.175 x 10 degrees."""
    fine = [round(0.0174 * step, 4) for step in range(171)]
    forward = [3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525, 4.7, 5.0]
    edges = _mirrored(fine + forward)
    return TowerGrid(
        eta_edges=tuple(edges),
        phi_bins=tuple(360 if -2.958 < upper <= 2.958 else 36 for upper in edges[1:]),
    )


def _hadronic_grid() -> TowerGrid:
    """Towers of 0.087 x 5 degrees up to |η| = 1.653, then of 10 and of 20 degrees."""
    central = [round(0.087 * step, 3) for step in range(20)]
    endcap = [1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95]
    forward = [3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525, 4.7, 5.0]
    edges = _mirrored(central + endcap + forward)

    def phi_bins(upper: float) -> int:
        if -1.653 < upper <= 1.653:
            return 72
        return 36 if -4.525 < upper <= 4.525 else 18

    return TowerGrid(eta_edges=tuple(edges), phi_bins=tuple(phi_bins(upper) for upper in edges[1:]))


_IMPACT_ETA = (0.9, 1.4, 2.5)
_IMPACT_PT = (0.2, 0.45, 1.0, 2.2, 5.0, 11.0, 20.0, 45.0, 100.0)

CMS_JETCLASS = LayeredCard(
    name="CMS, as Delphes had it for JetClass",
    radius=1.29,
    half_length=3.0,
    magnetic_field=3.8,
    hadron=Tracker(
        efficiency=Efficiency(
            eta_edges=(1.5, 2.5),
            pt_edges=(0.1, 1.0),
            table=((0.0, 0.70, 0.95), (0.0, 0.60, 0.85)),
        ),
        resolution=TrackResolution(
            eta_edges=(0.5, 1.5, 2.5), floor=(0.06, 0.10, 0.25), slope=(1.3e-3, 1.7e-3, 3.1e-3)
        ),
    ),
    electron=Tracker(
        efficiency=Efficiency(
            eta_edges=(1.5, 2.5),
            pt_edges=(0.1, 1.0, 100.0),
            table=((0.0, 0.73, 0.95, 0.99), (0.0, 0.50, 0.83, 0.90)),
        ),
        resolution=TrackResolution(
            eta_edges=(0.5, 1.5, 2.5), floor=(0.03, 0.05, 0.15), slope=(1.3e-3, 1.7e-3, 3.1e-3)
        ),
    ),
    muon=Tracker(
        efficiency=Efficiency(
            eta_edges=(1.5, 2.5),
            pt_edges=(0.1, 1.0),
            table=((0.0, 0.75, 0.99), (0.0, 0.70, 0.98)),
        ),
        resolution=TrackResolution(
            eta_edges=(0.5, 1.5, 2.5), floor=(0.01, 0.015, 0.025), slope=(1.0e-4, 1.5e-4, 3.5e-4)
        ),
    ),
    deposits=DEPOSITS,
    electromagnetic=Layer(
        grid=_electromagnetic_grid(),
        compartment=Compartment(
            resolution=EnergyResolution(
                eta_edges=(1.5, 2.5, 5.0),
                constant=(0.008, 0.008, 0.107),
                stochastic=(0.11, 0.11, 2.08),
                noise=(0.40, 0.40, 0.0),
                # 1 + 0.64 η², then 2.16 + 5.6 (|η| − 2)²
                shape=((1.0, 0.0, 0.64), (24.56, -22.4, 5.6), (1.0, 0.0, 0.0)),
            ),
            min_energy=0.5,
            min_significance=2.0,
        ),
    ),
    hadronic=Layer(
        grid=_hadronic_grid(),
        compartment=Compartment(
            resolution=EnergyResolution(
                eta_edges=(3.0, 5.0),
                constant=(0.050, 0.130),
                stochastic=(1.50, 2.70),
                noise=(0.0, 0.0),
            ),
            min_energy=1.0,
            min_significance=1.0,
        ),
    ),
    d0=ImpactResolution(
        eta_edges=_IMPACT_ETA,
        pt=_IMPACT_PT,
        sigma=(
            (0.354, 0.174, 0.0753, 0.0452, 0.0283, 0.0191, 0.0143, 0.0116, 0.0106),
            (0.456, 0.203, 0.0926, 0.0488, 0.0313, 0.0214, 0.0141, 0.0108, 0.0101),
            (0.697, 0.340, 0.1557, 0.0767, 0.0425, 0.0256, 0.0196, 0.0150, 0.0134),
        ),
    ),
    dz=ImpactResolution(
        eta_edges=_IMPACT_ETA,
        pt=_IMPACT_PT,
        sigma=(
            (0.369, 0.222, 0.111, 0.0684, 0.0484, 0.0382, 0.0316, 0.0316, 0.0290),
            (0.706, 0.388, 0.198, 0.1031, 0.0707, 0.0511, 0.0408, 0.0377, 0.0335),
            (2.17, 1.44, 0.670, 0.332, 0.182, 0.112, 0.0983, 0.0784, 0.0820),
        ),
    ),
)
