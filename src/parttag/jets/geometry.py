"""Directions of four-momenta in NumPy: simulation runs in processes that do not load torch."""

import numpy as np
from jaxtyping import Float64


def pt_eta_phi(
    p4: Float64[np.ndarray, "*shape 4"],
) -> tuple[
    Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]
]:
    """Return pT in GeV, pseudorapidity, and azimuth in [−π, π]; pT must not be 0."""
    pt = np.hypot(p4[..., 0], p4[..., 1])
    return pt, np.arcsinh(p4[..., 2] / pt), np.arctan2(p4[..., 1], p4[..., 0])


def delta_phi(
    first: Float64[np.ndarray, "*#shape"], second: Float64[np.ndarray, "*#shape"]
) -> Float64[np.ndarray, "*#shape"]:
    """Return first − second wrapped into [−π, π)."""
    wrapped: Float64[np.ndarray, "*shape"] = (first - second + np.pi) % (2 * np.pi) - np.pi
    return wrapped


def massless(
    energy: Float64[np.ndarray, " particles"],
    eta: Float64[np.ndarray, " particles"],
    phi: Float64[np.ndarray, " particles"],
) -> Float64[np.ndarray, "particles 4"]:
    """Return the p4 (px, py, pz, E) of massless particles."""
    pt = energy / np.cosh(eta)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
