"""What a jet is like in a few numbers: kinematics, multiplicity, and how its pT is spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from parttag.jets import kinematics
from parttag.jets.arrays import JetArrays


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
    if len(jets) == 0:
        return np.zeros((0, len(JET_VARIABLES)))
    first = jets.offsets[:-1]
    jet = np.repeat(np.arange(len(jets)), jets.lengths)

    def total(values: np.ndarray) -> Float64[np.ndarray, " jets"]:
        """Return the sum over the particles of each jet."""
        sums: Float64[np.ndarray, " jets"] = np.add.reduceat(values, first, dtype=np.float64)
        return sums

    pt, delta_eta, delta_phi = _polar(jets, jet)
    delta_r = kinematics.delta_r(delta_eta, delta_phi)
    z = pt / np.maximum(total(pt), kinematics.TINY)[jet]
    rank = np.arange(len(z)) - first[jet]
    share_of_harder = np.cumsum(z) - z
    share_of_harder -= share_of_harder[first][jet]
    major, minor = _principal_variances(z, delta_eta, delta_phi, total)
    columns = {
        "pt": jets.pt,
        "abs_eta": np.abs(jets.eta),
        "mass": jets.mass,
        "num_particles": jets.lengths,
        "les_houches": total(z * np.sqrt(delta_r)),
        "width": total(z * delta_r),
        "thrust": total(z * delta_r**2),
        "major_axis": np.sqrt(major),
        "roundness": minor / np.maximum(major, kinematics.TINY),
        "pt_d": np.sqrt(total(z**2)),
        "leading_share": z[first],
        "leading5_share": total(z * (rank < 5)),
        "leading20_share": total(z * (rank < 20)),
        "core_share": total(z * (delta_r < 0.1)),
        "num_to_90": total(share_of_harder < 0.9),
        "softest_pt": np.minimum.reduceat(pt, first),
    }
    return np.stack([columns[variable.name] for variable in JET_VARIABLES], axis=1)


def _polar(
    jets: JetArrays, jet: Int64[np.ndarray, " particles"]
) -> tuple[Float64[np.ndarray, " particles"], ...]:
    """Return pT, Δη and Δφ of every particle, about the axis of its jet."""
    pt, eta, phi = kinematics.pt_eta_phi(jets.p4.astype(np.float64))
    axis = jets.jet_axis.astype(np.float64)[jet]
    delta_eta, delta_phi = eta - axis[:, 0], kinematics.delta_phi(phi, axis[:, 1])
    return pt, delta_eta, delta_phi


def _principal_variances(
    z: Float64[np.ndarray, " particles"],
    delta_eta: Float64[np.ndarray, " particles"],
    delta_phi: Float64[np.ndarray, " particles"],
    total: Callable[[np.ndarray], Float64[np.ndarray, " jets"]],
) -> tuple[Float64[np.ndarray, " jets"], Float64[np.ndarray, " jets"]]:
    """Return the eigenvalues of the z-weighted covariance of (Δη, Δφ), the larger one first."""
    mean_eta, mean_phi = total(z * delta_eta), total(z * delta_phi)
    eta2 = total(z * delta_eta**2) - mean_eta**2
    phi2 = total(z * delta_phi**2) - mean_phi**2
    mixed = total(z * delta_eta * delta_phi) - mean_eta * mean_phi
    half_sum, half_gap = (eta2 + phi2) / 2, np.hypot((eta2 - phi2) / 2, mixed)
    # Rounding makes the variances of a narrow jet negative by a hair.
    return np.maximum(half_sum + half_gap, 0), np.maximum(half_sum - half_gap, 0)
