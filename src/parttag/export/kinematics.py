"""Four-momenta in a graph, number for number as ``jets/kinematics.py`` has them in torch.

Trained networks have learned the rounding of float32. What torch rounds correctly but for the last
bit, logarithms and angles, is computed in float64 here and rounded once.
"""

from __future__ import annotations

import math

from parttag.export.graph import Value
from parttag.jets.kinematics import TINY

_BACKWARD = math.exp(-6)  # as in ``jets/kinematics.py``


def log(value: Value) -> Value:
    """Return the logarithm, rounded from float64."""
    return value.cast("float64").apply("Log").cast(value.dtype)


def pt(px: Value, py: Value) -> Value:
    """Return the transverse momentum."""
    return (px * px + py * py).apply("Sqrt")


def mass(px: Value, py: Value, pz: Value, energy: Value) -> Value:
    """Return the invariant mass; 0 where rounding makes m² negative."""
    return (energy * energy - (px * px + py * py + pz * pz)).clip(0.0).apply("Sqrt")


def eta(px: Value, py: Value, pz: Value) -> Value:
    """Return the pseudorapidity; 0 for a null momentum."""
    transverse = pt(px, py)
    size = pz.apply("Abs")
    momentum = (transverse * transverse + pz * pz).apply("Sqrt")
    ratio = (momentum + size) / transverse.clip(TINY)
    return log(ratio.clip(1.0)) * pz.apply("Sign")


def rapidity(pz: Value, energy: Value) -> Value:
    """Return the rapidity, by another formula far backward, where the first one cancels."""
    graph = pz.graph
    difference = (energy - pz).clip(TINY)
    ratio = (pz * 2.0) / difference + 1.0
    ratio = graph.op("Where", ratio < _BACKWARD, (energy + pz) / difference, ratio, dtype="float32")
    return log(ratio.clip(TINY)) * 0.5


def phi(px: Value, py: Value) -> Value:
    """Return the azimuth, for which ONNX has no operator.

    An approximate angle of the right quadrant is turned, in float64, by the small angle that is
    left.
    """
    graph = px.graph
    x, y = px.cast("float64"), py.cast("float64")
    # By half angles: φ = 2 atan(y / (r + x)) to the right, and the angle from −x to the left.
    length = pt(px, py)
    size = px.apply("Abs")
    half = (py / (length + size).clip(TINY)).apply("Atan") * 2.0
    left = sign_of(py) * math.pi - half
    near = graph.op("Where", px < 0.0, left, half, dtype="float32").cast("float64")
    cosine, sine = near.apply("Cos"), near.apply("Sin")
    along, across = x * cosine + y * sine, y * cosine - x * sine
    exact = near + across / graph.op("Max", along, TINY)
    return exact.cast("float32")


def sign_of(value: Value) -> Value:
    """Return −1 below 0 and +1 elsewhere."""
    negative = (value < 0.0).cast(value.dtype)
    return 1.0 - negative * 2.0


def wrap(angle: Value) -> Value:
    """Return an angle of less than 3π in [−π, π)."""
    turned = angle + math.pi
    turns = (turned * (0.5 / math.pi)).apply("Floor")
    return turned - turns * (2 * math.pi) - math.pi


def delta_r(delta_eta: Value, delta_phi: Value) -> Value:
    """Return √(Δη² + Δφ²)."""
    return pt(delta_eta, delta_phi)
