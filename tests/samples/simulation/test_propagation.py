import numpy as np
import pytest

from helpers.particles import particles, together
from parttag.samples.simulation.detectors.atlas import ATLAS_3_3_2 as CARD
from parttag.samples.simulation.detectors.propagation import reach_calorimeter


def followed(one, steps=20_000):
    """Return η and φ of the exit of one particle, by small straight steps in the field (oracle)."""
    position, momentum = one.vertex[0] * 1e-3, one.p4[0, :3].copy()
    step = 1e-3
    for _ in range(steps):
        if np.hypot(*position[:2]) >= CARD.radius or abs(position[2]) >= CARD.half_length:
            break
        middle = momentum + _bend(momentum, one.charge[0], step / 2)
        position = position + step * middle / np.linalg.norm(middle)
        momentum = momentum + _bend(middle, one.charge[0], step)
    x, y, z = position
    return np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x)


def _bend(momentum, charge, length):
    force = 0.299792458 * charge * np.cross(momentum, [0, 0, CARD.magnetic_field])
    return length * force / np.linalg.norm(momentum)


def test_a_neutral_particle_from_the_origin_keeps_its_direction():
    photons = particles(22, [1.0, 50.0], [-2.3, 0.7], [3.0, -1.2])
    _, eta, phi = reach_calorimeter(photons, CARD)
    assert eta == pytest.approx([-2.3, 0.7])
    assert phi == pytest.approx([3.0, -1.2])


def test_a_displaced_neutral_particle_is_seen_where_it_hits():
    # 300 mm along x, then straight along y: leaves at x = 0.3 m, y = √(1.15² − 0.3²) m.
    _, eta, phi = reach_calorimeter(particles(22, 5.0, 0.0, np.pi / 2, (300.0, 0, 0)), CARD)
    assert phi == pytest.approx(np.arccos(0.3 / 1.15))
    assert eta == pytest.approx(0.0, abs=1e-12)


def test_a_charged_particle_turns_by_the_angle_of_its_circle():
    # sin Δφ = 0.3 B R / (2 pT), clockwise for positive charges.
    expected = np.arcsin(0.299792458 * 2.0 * 1.15 / (2 * 1.0))
    _, _, phi = reach_calorimeter(together(particles(211, 1.0), particles(-211, 1.0)), CARD)
    assert phi == pytest.approx([-expected, expected])


def test_a_soft_charged_particle_curls_to_the_end_of_the_solenoid():
    # 0.2 GeV: circles of 0.67 m diameter never touch the side at 1.15 m.
    _, eta, _ = reach_calorimeter(particles(211, 0.2, 0.5), CARD)
    assert eta[0] > np.arcsinh(CARD.half_length / 0.68)


@pytest.mark.parametrize(
    "one",
    [
        particles(211, 0.6, 0.3, 2.0, (20.0, -35.0, 50.0)),
        particles(-211, 0.45, -0.4, -1.0, (0.0, 80.0, -10.0)),
        particles(2212, 1.5, 1.6, 0.5, (-100.0, 20.0, 0.0)),
        particles(-13, 3.0, -1.0, 3.1),
        particles(211, 0.25, 1.5, 1.0, (1.0, 2.0, 3.0)),
        particles(22, 2.0, 2.2, -2.0, (40.0, 10.0, -500.0)),
    ],
)
def test_exits_agree_with_small_steps_in_the_field(one):
    _, eta, phi = reach_calorimeter(one, CARD)
    expected_eta, expected_phi = followed(one)
    assert eta[0] == pytest.approx(expected_eta, abs=5e-3)
    assert np.angle(np.exp(1j * (phi[0] - expected_phi))) == pytest.approx(0, abs=5e-3)


def test_a_stiff_track_is_nearly_straight():
    _, eta, phi = reach_calorimeter(particles(211, 1e5, 1.1, 0.4), CARD)
    assert eta == pytest.approx([1.1], abs=1e-5)
    assert phi == pytest.approx([0.4], abs=1e-5)


def test_particles_made_outside_or_moving_along_the_beam_never_arrive():
    outside = particles(22, 5.0, vertex=(1200.0, 0, 0))
    behind = particles(22, 5.0, vertex=(0, 0, -3600.0))
    along = particles(22, 1e-7, 15.0)
    reached, eta, _ = reach_calorimeter(together(outside, particles(22, 7.0), behind, along), CARD)
    assert reached.p4[:, 3].tolist() == [7.0]
    assert len(eta) == 1
