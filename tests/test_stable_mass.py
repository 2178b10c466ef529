"""The mass of a pair without cancellation: collinear pairs, and those of the published formula."""

import math

import pytest
import torch

from helpers.momenta import massive_particles
from helpers.tolerances import FLOAT64_NETWORK
from parttag.kinematics import PairMass, pair_features, pt, stable_mass2


def massless(pt_value, eta, phi):
    columns = [torch.cos(phi), torch.sin(phi), torch.sinh(eta), torch.cosh(eta)]
    return pt_value[:, None] * torch.stack(columns, dim=1)


def log_mass2(p4: torch.Tensor, first, second, mass: PairMass) -> torch.Tensor:
    return pair_features(p4, first, second, mass=mass)[:, 3].double()


def neighbours(count=200):
    """Return massless particles in float64, number i and i + count a little apart, and ln m²."""
    torch.manual_seed(0)
    first, second = torch.arange(count), torch.arange(count) + count
    momenta = 10 ** (3 * torch.rand(2 * count, dtype=torch.float64) - 0.5)
    eta = 4 * torch.rand(count, dtype=torch.float64) - 2
    phi = 2 * math.pi * torch.rand(count, dtype=torch.float64) - math.pi
    distance = 10 ** torch.linspace(-4, -1, count, dtype=torch.float64)
    angle = 2 * math.pi * torch.rand(count, dtype=torch.float64)
    d_eta, d_phi = distance * angle.cos(), distance * angle.sin()
    p4 = massless(momenta, torch.cat([eta, eta + d_eta]), torch.cat([phi, phi + d_phi]))
    opening = (d_eta / 2).sinh().square() + (d_phi / 2).sin().square()
    expected = (4 * momenta[:count] * momenta[count:] * opening).clamp(min=1e-8).log()
    return p4, first, second, expected


def test_float32_knows_the_mass_of_collinear_pairs():
    p4, first, second, expected = neighbours()
    near = (log_mass2(p4.float(), first, second, "stable") - expected).abs()
    # Directions are rounded to 1e-7, which is a thousandth of the smallest distance.
    assert near.max() < 1e-2
    far = (log_mass2(p4.float(), first, second, "published") - expected).abs()
    assert (far > 1).float().mean() > 0.1


def test_float64_is_exact():
    p4, first, second, expected = neighbours()
    torch.testing.assert_close(
        log_mass2(p4, first, second, "stable"), expected, rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_well_conditioned_masses_are_the_published_ones(dtype):
    p4 = massive_particles(80, seed=3).to(dtype)
    first, second = torch.tril_indices(len(p4), len(p4))
    published = log_mass2(p4.double(), first, second, "published")
    energy2 = (p4[first, 3] + p4[second, 3]).double().square()
    well = published.exp() > 1e-5 * energy2
    assert well.float().mean() > 0.8
    difference = (log_mass2(p4, first, second, "stable") - published)[well].abs()
    assert difference.max() < (1e-8 if dtype == torch.float64 else 1e-2)


def test_a_particle_has_four_times_its_own_mass2_with_itself():
    p4 = massive_particles(20)
    row = torch.arange(len(p4))
    expected = 4 * (p4[:, 3].square() - p4[:, :3].square().sum(dim=1))
    torch.testing.assert_close(stable_mass2(p4, row, row), expected, **FLOAT64_NETWORK)


def test_rounding_is_no_mass():
    p4 = neighbours()[0].float()
    row = torch.arange(len(p4))
    assert not stable_mass2(p4, row, row).any()


def test_other_features_stay_and_all_are_symmetric():
    p4 = massive_particles(30).float()
    first, second = torch.tril_indices(len(p4), len(p4))
    features = pair_features(p4, first, second, mass="stable")
    assert features[:, :3].equal(pair_features(p4, first, second)[:, :3])
    torch.testing.assert_close(features, pair_features(p4, second, first, mass="stable"))


def test_particles_along_the_beam_and_null_ones_give_finite_numbers():
    p4 = torch.tensor([[0.0, 0, 5, 5], [0, 0, -5, 5], [0, 0, 0, 0], [3, 4, 0, 5]])
    first, second = torch.tril_indices(4, 4)
    assert pt(p4)[0] == 0
    assert pair_features(p4, first, second, mass="stable").isfinite().all()
