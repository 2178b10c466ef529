"""Four-momenta to what physicists look at, and back, in NumPy and in torch.

A ``p4`` is (px, py, pz, E) in GeV with c = 1, along the last axis. η is pseudorapidity and y is
rapidity; the two are never mixed. What is given in NumPy or torch comes back in the same, in the
same dtype, on the same device. Torch is used where a tensor is handed over, and never imported.

Where the two libraries are told to round differently, networks and files depend on each: trained
networks have learned the rounding of torch's formulas, and stores hold that of NumPy's.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float, Float64

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", np.ndarray, Tensor)
else:
    Array = TypeVar("Array")

# Below it a denominator counts as zero: far under any momentum in GeV, far above the smallest
# normal float32.
TINY = 1e-20
_BACKWARD = math.exp(-6)  # e²ʸ at y = −3

_Values = Float64[np.ndarray, " rows"]


def _namespace(array: Any) -> Any:
    """Return NumPy or torch, whose functions used here have the same names.

    A library that looks the namespace up makes ``torch.compile`` warn in every training.
    """
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["torch"]


def _length(x: Array, y: Array) -> Array:
    """Return √(x² + y²): NumPy's ``hypot``, which cannot overflow; in torch the plain formula."""
    if isinstance(x, np.ndarray | np.generic):
        length: Array = np.hypot(x, y)
        return length
    return (x.square() + y.square()).sqrt()


def pt(p4: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Return the transverse momentum √(px² + py²) in GeV."""
    return _length(p4[..., 0], p4[..., 1])


def eta(p4: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Return the pseudorapidity asinh(pz/pT); finite even along the beam, 0 for a null p4.

    In torch it is written as ± ln((|p| + |pz|)/pT), which takes a tenth of the time on a CPU.
    """
    transverse, pz = pt(p4), p4[..., 2]
    if isinstance(p4, np.ndarray):
        pseudorapidity: Array = np.arcsinh(pz / np.maximum(transverse, TINY))
        return pseudorapidity
    momentum = (transverse.square() + pz.square()).sqrt()
    ratio = (momentum + abs(pz)) / transverse.clip(min=TINY)
    logarithm: Array = _namespace(p4).copysign(ratio.clip(min=1).log(), pz)
    return logarithm


def rapidity(p4: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Return the rapidity ½ ln((E + pz)/(E − pz)), written as ½ ln(1 + 2pz/(E − pz)).

    Finite even for a massless particle along the beam. The sum cancels far backward, where float32
    would be off by 10⁻³ at y = −5 and by half a unit at y = −8: below y = −3 the quotient is taken
    as it stands. Above, published weights keep the rounding that they were trained with.
    """
    pz, energy = p4[..., 2], p4[..., 3]
    difference = (energy - pz).clip(min=TINY)
    ratio = 1 + (2 * pz) / difference
    xp = _namespace(p4)
    ratio = xp.where(ratio < _BACKWARD, (energy + pz) / difference, ratio)
    half: Array = 0.5 * xp.log(ratio.clip(min=TINY))
    return half


def phi(p4: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Return the azimuth in [−π, π]."""
    angle: Array = _namespace(p4).arctan2(p4[..., 1], p4[..., 0])
    return angle


def pt_eta_phi(
    p4: Float[Array, "*shape 4"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Return the transverse momentum in GeV, the pseudorapidity and the azimuth."""
    return pt(p4), eta(p4), phi(p4)


def mass(p4: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Return the invariant mass in GeV; 0 where rounding makes m² negative."""
    xp = _namespace(p4)
    square = xp.square(p4[..., 3]) - xp.square(p4[..., :3]).sum(-1)
    root: Array = xp.sqrt(square.clip(min=0))
    return root


def wrap(angle: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the angle, or difference of azimuths, in [−π, π)."""
    wrapped: Array = (angle + math.pi) % (2 * math.pi) - math.pi
    return wrapped


def delta_phi(first: Float[Array, "*#shape"], second: Float[Array, "*#shape"]) -> Array:
    """Return first − second wrapped into [−π, π)."""
    return wrap(first - second)


def delta_r(delta_eta: Float[Array, "*#shape"], delta_phi: Float[Array, "*#shape"]) -> Array:
    """Return √(Δη² + Δφ²)."""
    return _length(delta_eta, delta_phi)


def massless(
    energy: Float[Array, "*shape"], eta: Float[Array, "*shape"], phi: Float[Array, "*shape"]
) -> Float[Array, "*shape 4"]:
    """Return the p4 of massless particles."""
    xp = _namespace(energy)
    transverse = energy / xp.cosh(eta)
    columns = [
        transverse * xp.cos(phi),
        transverse * xp.sin(phi),
        transverse * xp.sinh(eta),
        energy,
    ]
    p4: Array = xp.stack(columns, -1)
    return p4


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
