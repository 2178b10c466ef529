"""Four-momenta from the coordinates that files hold."""

import numpy as np
from jaxtyping import Float64

_Values = Float64[np.ndarray, " rows"]


def transverse(pt: _Values, phi: _Values) -> tuple[_Values, _Values]:
    """Return px and py; what is not finite becomes not a number, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return pt * np.cos(phi), pt * np.sin(phi)


def four_momenta(
    px: _Values,
    py: _Values,
    *,
    pz: _Values | None = None,
    eta: _Values | None = None,
    rapidity: _Values | None = None,
    energy: _Values | None = None,
    mass: _Values | None = None,
) -> Float64[np.ndarray, "rows 4"]:
    """Return px, py, pz and E from px, py, one of pz, η and rapidity, and one of E and mass.

    A negative mass stands for a negative square, as ROOT writes it where rounding left |p| > E.
    What cannot be a momentum becomes infinite or not a number, without a warning: its jet is a bad
    one.

    Raises
    ------
    ValueError
        If not exactly one of each choice is given.
    """
    if sum(v is not None for v in (pz, eta, rapidity)) != 1 or (energy is None) == (mass is None):
        raise ValueError("give one of pz, eta and rapidity, and one of energy and mass")
    with np.errstate(over="ignore", invalid="ignore"):
        square = 0 if mass is None else mass * np.abs(mass)
        if eta is not None:
            pz = np.hypot(px, py) * np.sinh(eta)
        elif rapidity is not None and energy is not None:
            pz = energy * np.tanh(rapidity)
        elif rapidity is not None:
            pz = np.sqrt(px**2 + py**2 + square) * np.sinh(rapidity)
        assert pz is not None
        if energy is None:
            energy = np.sqrt(px**2 + py**2 + pz**2 + square)
        return np.stack([px, py, pz, energy], axis=1)
