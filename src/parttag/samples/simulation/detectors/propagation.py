"""Propagation to the calorimeter: straight lines and helices in a solenoid.

In a field B along z, a charge q turns a track of transverse momentum pT by the curvature
κ = −0.3 q B / pT in radians a meter of transverse path; a neutral particle goes straight.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from parttag.samples.simulation.detectors.card import Card
from parttag.samples.simulation.generator import Particles

_GEV_PER_TESLA_METER = 0.299792458
_METER_PER_MM = 1e-3
_MIN_PT = 1e-5  # GeV; softer particles move along the beam


def reach_calorimeter(
    particles: Particles, card: Card
) -> tuple[Particles, Float64[np.ndarray, " reached"], Float64[np.ndarray, " reached"]]:
    """Return the particles that leave the tracking volume, with η and φ of where they do.

    η and φ are those of the point seen from the origin. Particles made outside the volume or
    moving along the beam are left out.
    """
    start = particles.vertex * _METER_PER_MM
    pt = np.hypot(particles.p4[:, 0], particles.p4[:, 1])
    inside = np.hypot(start[:, 0], start[:, 1]) < card.radius
    inside &= (np.abs(start[:, 2]) < card.half_length) & (pt > _MIN_PT)
    particles, start, pt = particles.take(inside), start[inside], pt[inside]

    angle = np.arctan2(particles.p4[:, 1], particles.p4[:, 0])
    slope = particles.p4[:, 2] / pt
    curvature = -_GEV_PER_TESLA_METER * card.magnetic_field * particles.charge / pt
    with np.errstate(divide="ignore"):  # a particle without slope never reaches an end
        to_end = (np.copysign(card.half_length, slope) - start[:, 2]) / slope
    path = np.minimum(to_end, _path_to_side(start[:, :2], angle, curvature, card.radius))
    # The chord of an arc of turn κs is s·sinc(κs/2) long and points along its middle.
    half_turn = curvature * path / 2
    chord = path * np.sinc(half_turn / np.pi)
    x = start[:, 0] + chord * np.cos(angle + half_turn)
    y = start[:, 1] + chord * np.sin(angle + half_turn)
    z = start[:, 2] + slope * path
    return particles, np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x)


def _path_to_side(
    start: Float64[np.ndarray, "particles 2"],
    angle: Float64[np.ndarray, " particles"],
    curvature: Float64[np.ndarray, " particles"],
    radius: float,
) -> Float64[np.ndarray, " particles"]:
    """Return the transverse path in m to the cylinder's side; infinite for tracks that curl up."""
    path = np.empty_like(angle)
    straight = curvature == 0
    path[straight] = _straight_path(start[straight], angle[straight], radius)
    curved = ~straight
    path[curved] = _curved_path(start[curved], angle[curved], curvature[curved], radius)
    return path


def _straight_path(
    start: Float64[np.ndarray, "particles 2"],
    angle: Float64[np.ndarray, " particles"],
    radius: float,
) -> Float64[np.ndarray, " particles"]:
    along = start[:, 0] * np.cos(angle) + start[:, 1] * np.sin(angle)
    path: Float64[np.ndarray, " particles"]
    path = np.sqrt(along**2 + radius**2 - (start**2).sum(axis=1)) - along
    return path


def _curved_path(
    start: Float64[np.ndarray, "particles 2"],
    angle: Float64[np.ndarray, " particles"],
    curvature: Float64[np.ndarray, " particles"],
    radius: float,
) -> Float64[np.ndarray, " particles"]:
    # With the circle's center at distance d in direction α, a track of direction ψ is at
    # r² = d² + 1/κ² + 2 (d/κ) sin(ψ − α): solve r = radius for ψ.
    center_x = start[:, 0] - np.sin(angle) / curvature
    center_y = start[:, 1] + np.cos(angle) / curvature
    distance = np.hypot(center_x, center_y)
    sine = curvature * (radius**2 - distance**2 - curvature**-2) / (2 * distance)
    crosses = np.abs(sine) <= 1
    first = np.arctan2(center_y, center_x) + np.arcsin(np.where(crosses, sine, 0.0))
    second = 2 * np.arctan2(center_y, center_x) + np.pi - first
    turns = ((solution - angle) * np.sign(curvature) % (2 * np.pi) for solution in (first, second))
    return np.where(crosses, np.minimum(*turns) / np.abs(curvature), np.inf)
