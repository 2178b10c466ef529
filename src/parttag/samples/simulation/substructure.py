"""Groomed mass and N-subjettiness of jets, by FastJet and its contributed packages."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from jaxtyping import Float64

from parttag.jets.clustered import Jets
from parttag.jets.fastjet_clusters import silence_banner
from parttag.samples.simulation.packages import require_packages

SOFT_DROP_CUT = 0.1
"""z_cut; β is 0."""
RADIUS = 0.8
"""R0 of both."""
NUM_AXES = (1, 2, 3, 4)


def soft_drop_mass(jets: Jets) -> Float64[np.ndarray, " jets"]:
    """Return the mass in GeV after soft drop with z_cut = 0.1, β = 0 (arXiv:1402.2657).

    Raises
    ------
    InputError
        If FastJet is not installed.
    """
    if not len(jets):
        return np.zeros(0)
    groomed = _declustered(jets).exclusive_jets_softdrop_grooming(
        njets=1, beta=0.0, symmetry_cut=SOFT_DROP_CUT, R0=RADIUS
    )
    mass: Float64[np.ndarray, " jets"] = ak.to_numpy(groomed.msoftdrop).astype(np.float64)
    return mass


def subjettiness(jets: Jets) -> dict[str, Float64[np.ndarray, " jets"]]:
    """Return ``jet_tau1`` to ``jet_tau4``: N-subjettiness with β = 1, over Σ pT·R0.

    The axes are those of exclusive kT jets, improved by one pass of minimization
    (arXiv:1011.2268, arXiv:1108.2701).

    Raises
    ------
    InputError
        If FastJet is not installed.
    """
    if not len(jets):
        return {f"jet_tau{n}": np.zeros(0) for n in NUM_AXES}
    tau = ak.to_numpy(
        _declustered(jets).njettiness(
            measure_definition="NormalizedMeasure",
            axes_definition="OnePass_KT_Axes",
            njets=list(NUM_AXES),
            beta=1.0,
            R0=RADIUS,
        )
    ).reshape(len(jets), len(NUM_AXES))
    return {f"jet_tau{n}": tau[:, i].astype(np.float64) for i, n in enumerate(NUM_AXES)}


def _declustered(jets: Jets) -> Any:
    """Return FastJet's clustering of each jet's own particles, wide enough to join them all."""
    require_packages()
    import fastjet

    silence_banner()
    px, py, pz, energy = jets.particles.T.copy()
    momenta = ak.zip({"px": px, "py": py, "pz": pz, "E": energy})
    definition = fastjet.JetDefinition(
        fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R
    )
    return fastjet.ClusterSequence(ak.unflatten(momenta, jets.lengths), definition)
