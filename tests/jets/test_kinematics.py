"""Kinematics against hand numbers, the vector package, and the laws of relativity."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import vector

from helpers.momenta import massive_particles
from parttag.jets import kinematics
from parttag.jets.pair_features import pair_features
from parttag.testing.tolerances import FLOAT64

DOUBLE = {"dtype": torch.float64}
# Two photons of 45 GeV, back to back in the transverse plane: a Z boson at rest.
PHOTONS = torch.tensor([[45.0, 0, 0, 45], [-45.0, 0, 0, 45]], **DOUBLE)


def all_pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.tril_indices(count, count)
    return first, second


def as_numpy(values: torch.Tensor) -> np.ndarray:
    return values.numpy()


def as_torch(values: torch.Tensor) -> torch.Tensor:
    return values


both_backends = pytest.mark.parametrize("given", [as_numpy, as_torch], ids=["numpy", "torch"])


def vectors(p4: torch.Tensor):
    return vector.arr(dict(zip(("px", "py", "pz", "E"), p4.numpy().T, strict=True)))


@both_backends
@pytest.mark.parametrize("name", ["pt", "eta", "rapidity", "phi", "mass"])
def test_quantities_agree_with_the_vector_package(given, name):
    p4 = massive_particles()
    values = getattr(kinematics, name)(given(p4))
    assert type(values) is type(given(p4))
    np.testing.assert_allclose(values, getattr(vectors(p4), name), rtol=1e-10, atol=1e-10)


@both_backends
def test_differences_agree_with_the_vector_package(given):
    first, second = massive_particles(seed=1), massive_particles(seed=2)
    delta_eta = kinematics.eta(given(first)) - kinematics.eta(given(second))
    delta_phi = kinematics.delta_phi(kinematics.phi(given(first)), kinematics.phi(given(second)))
    one, other = vectors(first), vectors(second)
    np.testing.assert_allclose(delta_phi, one.deltaphi(other), rtol=1e-10, atol=1e-10)
    distance = kinematics.delta_r(delta_eta, delta_phi)
    np.testing.assert_allclose(distance, one.deltaR(other), rtol=1e-10)


@both_backends
def test_massless_particles_agree_with_the_vector_package(given):
    energy, eta, phi = (torch.linspace(*ends, 20, **DOUBLE) for ends in ((1, 9), (-3, 3), (-4, 4)))
    p4 = kinematics.massless(given(energy), given(eta), given(phi))
    expected = vector.arr(
        {"pt": energy.numpy() / np.cosh(eta.numpy()), "eta": eta.numpy(), "phi": phi.numpy()}
    )
    for column, component in enumerate(("x", "y", "z")):
        np.testing.assert_allclose(p4[:, column], getattr(expected, component), atol=1e-12)
    np.testing.assert_allclose(p4[:, 3], energy)


@pytest.mark.parametrize("longitudinal", ["pz", "eta", "rapidity"])
@pytest.mark.parametrize("temporal", ["energy", "mass"])
def test_momenta_come_back_from_whatever_coordinates(longitudinal, temporal):
    p4 = massive_particles().numpy()
    known = vectors(massive_particles())
    px, py = kinematics.transverse(known.pt, known.phi)
    coordinates = {name: getattr(known, name) for name in (longitudinal, temporal)}
    np.testing.assert_allclose(kinematics.four_momenta(px, py, **coordinates), p4, rtol=1e-9)


@both_backends
def test_single_precision_stays_single(given):
    p4 = massive_particles().float()
    for name in ("pt", "eta", "rapidity", "phi", "mass"):
        assert str(getattr(kinematics, name)(given(p4)).dtype).endswith("float32")


def test_torch_is_not_imported_for_numpy():
    code = (
        "import sys; import numpy as np; from parttag.jets import kinematics as k;"
        "p4 = np.ones((3, 4)); k.pt_eta_phi(p4); k.mass(p4); k.rapidity(p4); k.wrap(p4);"
        "print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_back_to_back_photons_have_the_mass_of_a_z():
    log_kt, log_z, log_delta, log_m2 = pair_features(PHOTONS, torch.tensor([1]), torch.tensor([0]))[
        0
    ]
    assert log_m2.item() == pytest.approx(math.log(90.0**2))
    assert log_z.item() == pytest.approx(math.log(0.5))
    assert log_delta.item() == pytest.approx(math.log(math.pi))
    assert log_kt.item() == pytest.approx(math.log(45 * math.pi))


def test_a_particle_with_itself_has_no_distance_and_four_times_its_mass_squared():
    particle = torch.tensor([[30.0, 0, 0, 50]], **DOUBLE)
    features = pair_features(particle, torch.tensor([0]), torch.tensor([0]))[0]
    expected = [math.log(1e-8), math.log(0.5), math.log(1e-8), math.log(4 * 40.0**2)]
    torch.testing.assert_close(features, torch.tensor(expected, **DOUBLE))


def test_a_null_pair_gives_four_times_the_floor():
    features = pair_features(torch.zeros(1, 4), torch.tensor([0]), torch.tensor([0]))
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
    assert torch.equal(pair_features(p4, i, j), torch.stack(columns, dim=1))


def test_float32_pair_features_are_the_float64_ones_where_well_conditioned():
    p4 = massive_particles(60, seed=2).float()
    first, second = all_pairs(len(p4))
    wide = pair_features(p4.double(), first, second)
    narrow = pair_features(p4, first, second).double()
    total = p4.double()[first] + p4.double()[second]
    # m² and Δ of nearly collinear pairs are differences of nearly equal numbers.
    well = (kinematics.mass(total) ** 2 > 1e-3 * total[:, 3] ** 2) & (wide[:, 2] > math.log(1e-2))
    assert well.float().mean() > 0.8
    torch.testing.assert_close(narrow[well], wide[well], rtol=1e-4, atol=1e-4)


def test_pair_features_are_symmetric():
    p4 = massive_particles()
    first, second = all_pairs(len(p4))
    torch.testing.assert_close(
        pair_features(p4, first, second),
        pair_features(p4, second, first),
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
    before = pair_features(p4, first, second)
    after = pair_features(transformed, first, second)
    torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-7)


@both_backends
def test_differences_of_azimuth_wrap(given):
    just_below = given(torch.tensor([math.pi - 0.1]))
    just_above = given(torch.tensor([-math.pi + 0.1]))
    assert kinematics.delta_phi(just_below, just_above).item() == pytest.approx(-0.2, abs=1e-6)
    assert kinematics.delta_phi(just_above, just_below).item() == pytest.approx(0.2, abs=1e-6)


@both_backends
@pytest.mark.parametrize("mass", [0.0, 0.1396, 0.938])
def test_rapidity_is_as_good_backward_as_forward_in_single_precision(given, mass):
    pt, eta = torch.meshgrid(
        torch.linspace(0.5, 500, 50, **DOUBLE), torch.linspace(-8, 8, 401, **DOUBLE), indexing="ij"
    )
    pz = pt * eta.sinh()
    p4 = torch.stack([pt, 0 * pt, pz, (pt**2 + pz**2 + mass**2).sqrt()], -1).float()
    values = np.asarray(kinematics.rapidity(given(p4)), np.float64)
    # Of the momentum as it is rounded: arctanh(pz/E), without the subtraction of float32.
    pz, energy = p4[..., 2].double(), p4[..., 3].double()
    known = (energy > pz.abs()).numpy()  # else rounding has made the mass imaginary
    exact = torch.atanh(pz / energy).numpy()
    assert known.mean() > 0.9
    np.testing.assert_allclose(values[known], exact[known], atol=3e-5)


def test_rapidity_keeps_the_bits_that_published_weights_were_trained_with():
    p4 = massive_particles(seed=3).float()
    p4 = p4[kinematics.rapidity(p4.double()) > -2.99]
    pz, energy = p4[:, 2], p4[:, 3]
    weavers = 0.5 * torch.log((1 + (2 * pz) / (energy - pz).clamp(min=1e-20)).clamp(min=1e-20))
    assert (pz < 0).any()
    assert torch.equal(kinematics.rapidity(p4), weavers)


@both_backends
def test_a_particle_along_the_beam_has_finite_angles(given):
    p4 = given(torch.tensor([[0.0, 0, 10, 10], [0.0, 0, -10, 10], [0.0, 0, 0, 0]]))
    for quantity in (kinematics.eta, kinematics.rapidity, kinematics.phi, kinematics.mass):
        assert np.isfinite(np.asarray(quantity(p4))).all()
    assert kinematics.eta(p4)[0] > 20
    assert kinematics.eta(p4)[1] < -20
    assert kinematics.eta(p4)[2] == 0
