"""What a jet is like in a few numbers: kinematics, multiplicity, and how its pT is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from parttag.jets import JetArrays


@dataclass(frozen=True)
class Variable:
    """A number that every jet has, as it is called in code and in pictures."""

    name: str
    label: str
    unit: str = ""


JET_VARIABLES: tuple[Variable, ...] = (
    Variable("num_particles", "Number of particles"),
    Variable("mass", "Jet mass", "GeV"),
    Variable("pt", r"Jet $p_{\mathrm{T}}$", "GeV"),
    Variable("abs_eta", r"Jet $|\eta|$"),
    # Angularities Σ z ΔRᵏ with z = pT/Σ pT, k = ½, 1, 2: small where the pT is near the axis.
    Variable("les_houches", r"Les Houches angularity $\Sigma\, z\,\Delta R^{1/2}$"),
    Variable("width", r"Width $\Sigma\, z\,\Delta R$"),
    Variable("thrust", r"Thrust $\Sigma\, z\,\Delta R^2$"),
    # √λ₁ and λ₂/λ₁ of the pT-weighted covariance of (Δη, Δφ).
    Variable("major_axis", "Major axis"),
    Variable("roundness", "Roundness: minor over major axis, squared"),
    Variable("pt_d", r"$p_{\mathrm{T}}^{\mathrm{D}} = \sqrt{\Sigma\, z^2}$"),
    Variable("leading_share", r"Share of $p_{\mathrm{T}}$ in the hardest particle"),
    Variable("leading5_share", r"Share of $p_{\mathrm{T}}$ in the 5 hardest particles"),
    Variable("leading20_share", r"Share of $p_{\mathrm{T}}$ in the 20 hardest particles"),
    Variable("core_share", r"Share of $p_{\mathrm{T}}$ at $\Delta R < 0.1$"),
    Variable("num_to_90", r"Hardest particles with 90 % of the $p_{\mathrm{T}}$"),
    Variable("softest_pt", r"$p_{\mathrm{T}}$ of the softest particle", "GeV"),
)
"""In the order of the columns of ``jet_variables``; angles are about the jet's axis."""


def jet_variables(jets: JetArrays) -> Float64[np.ndarray, "jets variables"]:
    """Return the ``JET_VARIABLES`` of good jets, which have at least one particle each."""
    first, lengths = jets.offsets[:-1], jets.lengths
    jet = np.repeat(np.arange(len(jets)), lengths)
    px, py, pz, _ = jets.p4.astype(np.float64).T
    pt = np.hypot(px, py)

    def total(values: Float64[np.ndarray, " particles"]) -> Float64[np.ndarray, " jets"]:
        sums: Float64[np.ndarray, " jets"] = np.add.reduceat(values, first)
        return sums

    if len(jets) == 0:
        return np.zeros((0, len(JET_VARIABLES)))
    # A particle along the beam, or a jet of nothing else, is still a good one.
    z = pt / np.maximum(total(pt), 1e-20)[jet]
    axis = jets.jet_axis.astype(np.float64)[jet]
    delta_eta = np.arcsinh(pz / np.maximum(pt, 1e-20)) - axis[:, 0]
    delta_phi = (np.arctan2(py, px) - axis[:, 1] + np.pi) % (2 * np.pi) - np.pi
    delta_r = np.hypot(delta_eta, delta_phi)
    rank = np.arange(len(pt)) - first[jet]
    before = np.cumsum(z) - z
    before -= before[first][jet]
    major, minor = _axes(total(z * delta_eta**2), total(z * delta_phi**2), delta_eta, delta_phi, z)
    return np.stack([], axis=1)
