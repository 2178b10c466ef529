"""Kinematics against hand numbers, the vector package, and the laws of relativity."""

import math

import numpy as np
import pytest
import torch
import vector

from helpers.momenta import massive_particles
from parttag.jets import kinematics
from parttag.testing.tolerances import FLOAT64

DOUBLE = {"dtype": torch.float64}
# Two photons of 45 GeV, back to back in the transverse plane: a Z boson at rest.
PHOTONS = torch.tensor([[45.0, 0, 0, 45], [-45.0, 0, 0, 45]], **DOUBLE)


def all_pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.tril_indices(count, count)
    return first, second


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (kinematics.pt, "pt"),
        (kinematics.eta, "eta"),
        (kinematics.rapidity, "rapidity"),
        (kinematics.phi, "phi"),
        (kinematics.mass, "mass"),
    ],
)
def test_quantities_agree_with_the_vector_package(ours, theirs):
    p4 = massive_particles()
    columns = dict(zip(("px", "py", "pz", "E"), p4.numpy().T, strict=True))
    expected = getattr(vector.arr(columns), theirs)
    np.testing.assert_allclose(ours(p4).numpy(), expected, rtol=1e-10, atol=1e-10)


def test_back_to_back_photons_have_the_mass_of_a_z():
    log_kt, log_z, log_delta, log_m2 = kinematics.pair_features(
        PHOTONS, torch.tensor([1]), torch.tensor([0])
    )[0]
    assert log_m2.item() == pytest.approx(math.log(90.0**2))
    assert log_z.item() == pytest.approx(math.log(0.5))
    assert log_delta.item() == pytest.approx(math.log(math.pi))
    assert log_kt.item() == pytest.approx(math.log(45 * math.pi))


def test_a_particle_with_itself_has_no_distance_and_four_times_its_mass_squared():
    particle = torch.tensor([[30.0, 0, 0, 50]], **DOUBLE)
    features = kinematics.pair_features(particle, torch.tensor([0]), torch.tensor([0]))[0]
    expected = [math.log(1e-8), math.log(0.5), math.log(1e-8), math.log(4 * 40.0**2)]
    torch.testing.assert_close(features, torch.tensor(expected, **DOUBLE))


def test_a_null_pair_gives_four_times_the_floor():
    features = kinematics.pair_features(torch.zeros(1, 4), torch.tensor([0]), torch.tensor([0]))
    torch.testing.assert_close(features, torch.full((1, 4), math.log(1e-8)))


def test_pair_features_are_those_of_a_float32_restatement_bit_for_bit():
    p4 = massive_particles(60, seed=1).float()
    first, second = all_pairs(len(p4))
    px, py, pz, energy = p4.unbind(1)
    pt = torch.sqrt(px * px + py * py)
    y = 0.5 * torch.log(1 + 2 * pz / torch.clamp(energy - pz, min=1e-20))
    phi = torch.atan2(py, px)
    i, j = first, second
    dphi = (phi[i] - phi[j] + math.pi) % (2 * math.pi) - math.pi
    delta = torch.sqrt((y[i] - y[j]) ** 2 + dphi**2)
    low = torch.minimum(pt[i], pt[j])
    sums = [(c[i] + c[j]) for c in (px, py, pz, energy)]
    m2 = sums[3] ** 2 - ((sums[0] ** 2 + sums[1] ** 2) + sums[2] ** 2)
    z = low / torch.clamp(pt[i] + pt[j], min=1e-8)
    columns = [torch.log(torch.clamp(c, min=1e-8)) for c in (low * delta, z, delta, m2)]
    assert torch.equal(kinematics.pair_features(p4, i, j), torch.stack(columns, dim=1))


def test_float32_pair_features_are_the_float64_ones_where_well_conditioned():
    p4 = massive_particles(60, seed=2).float()
    first, second = all_pairs(len(p4))
    wide = kinematics.pair_features(p4.double(), first, second)
    narrow = kinematics.pair_features(p4, first, second).double()
    total = p4.double()[first] + p4.double()[second]
    # m² and Δ of nearly collinear pairs are differences of nearly equal numbers.
    well = (kinematics.mass(total) ** 2 > 1e-3 * total[:, 3] ** 2) & (wide[:, 2] > math.log(1e-2))
    assert well.float().mean() > 0.8
    torch.testing.assert_close(narrow[well], wide[well], rtol=1e-4, atol=1e-4)


def test_pair_features_are_symmetric():
    p4 = massive_particles()
    first, second = all_pairs(len(p4))
    torch.testing.assert_close(
        kinematics.pair_features(p4, first, second),
        kinematics.pair_features(p4, second, first),
        **FLOAT64,
    )


@pytest.mark.parametrize("angle", [0.3, 2.0, -3.0])
def test_pair_features_do_not_change_under_rotation_about_the_beam(angle):
    p4 = massive_particles()
    px, py = p4[:, 0].clone(), p4[:, 1].clone()
    rotated = p4.clone()
    rotated[:, 0] = math.cos(angle) * px - math.sin(angle) * py
    rotated[:, 1] = math.sin(angle) * px + math.cos(angle) * py
    _check_same_pair_features(p4, rotated)


@pytest.mark.parametrize("boost", [-1.0, 0.5])
def test_pair_features_do_not_change_under_a_boost_along_the_beam(boost):
    p4 = massive_particles()
    pz, energy = p4[:, 2].clone(), p4[:, 3].clone()
    boosted = p4.clone()
    boosted[:, 2] = math.cosh(boost) * pz + math.sinh(boost) * energy
    boosted[:, 3] = math.sinh(boost) * pz + math.cosh(boost) * energy
    _check_same_pair_features(p4, boosted)


def _check_same_pair_features(p4: torch.Tensor, transformed: torch.Tensor) -> None:
    first, second = torch.tril_indices(len(p4), len(p4), offset=-1)
    before = kinematics.pair_features(p4, first, second)
    after = kinematics.pair_features(transformed, first, second)
    torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-7)


def test_differences_of_azimuth_wrap():
    just_below, just_above = torch.tensor(math.pi - 0.1), torch.tensor(-math.pi + 0.1)
    assert kinematics.delta_phi(just_below, just_above).item() == pytest.approx(-0.2, abs=1e-6)
    assert kinematics.delta_phi(just_above, just_below).item() == pytest.approx(0.2, abs=1e-6)


def test_a_particle_along_the_beam_has_finite_angles():
    p4 = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, -10, 10], [0.0, 0, 0, 0]])
    for quantity in (kinematics.eta, kinematics.rapidity, kinematics.phi, kinematics.mass):
        assert quantity(p4).isfinite().all()
