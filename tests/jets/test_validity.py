"""One rule says which jets are bad."""

from dataclasses import replace

import numpy as np
import pytest

from parttag.jets.arrays import JetArrays, make_index
from parttag.jets.validity import FAULTS, jet_faults, jet_name, valid_jets
from parttag.testing import toy_jets


def jets_with(particle: list[float]) -> JetArrays:
    """Return three jets, the second of which begins with this particle."""
    toys = toy_jets(3, lengths=[4, 4, 4])
    p4 = toys.p4.copy()
    p4[4] = particle
    return replace(toys, p4=p4)


def fault_of_second(jets: JetArrays) -> str | None:
    faults = jet_faults(jets)
    assert faults[[0, 2]].tolist() == [-1, -1]  # the neighbors stay good
    assert valid_jets(jets).tolist() == [True, faults[1] < 0, True]
    return FAULTS[faults[1]] if faults[1] >= 0 else None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("component", range(4))
def test_a_momentum_that_is_not_finite_is_bad(value, component):
    particle = [0.0, 0.0, 0.0, 1e19]
    particle[component] = value
    assert fault_of_second(jets_with(particle)) == "non-finite momentum"


def test_negative_energy_is_bad():
    assert fault_of_second(jets_with([0, 0, 0, -1e-3])) == "negative energy"


@pytest.mark.parametrize(
    ("energy", "fault"),
    [(10.0, None), (9.9991, None), (9.9989, "momentum above energy"), (20.0, None)],
)
def test_momentum_may_exceed_energy_by_a_ten_thousandth(energy, fault):
    assert fault_of_second(jets_with([6, 0, 8, energy])) == fault


def test_momentum_without_energy_is_bad_and_a_null_particle_is_not():
    assert fault_of_second(jets_with([1e-3, 0, 0, 0])) == "momentum above energy"
    assert fault_of_second(jets_with([0, 0, 0, 0])) is None


def test_a_jet_without_particles_is_bad():
    toys = toy_jets(3, lengths=[3, 1, 3])
    empty = replace(
        toys, p4=np.delete(toys.p4, 3, axis=0), extra=toys.extra[:6], offsets=np.array([0, 3, 3, 6])
    )
    assert fault_of_second(empty) == "no particles"


def test_the_last_jet_may_be_empty():
    toys = toy_jets(2, lengths=[3, 0])
    assert jet_faults(replace(toys, jet_p4=np.ones((2, 4), np.float32))).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("jet_p4", "fault"),
    [
        ([np.nan, 0, 0, 1], "non-finite momentum"),
        ([1, 0, 0, -1], "negative energy"),
        ([0, 0, 5, 5], "no transverse momentum"),
        ([1, 1, 0, 0], "no transverse momentum"),
    ],
)
def test_the_jets_own_momentum_must_be_usable(jet_p4, fault):
    toys = toy_jets(3)
    momenta = toys.jet_p4.copy()
    momenta[1] = jet_p4
    assert fault_of_second(replace(toys, jet_p4=momenta)) == fault


def test_an_axis_that_is_not_finite_is_bad():
    toys = toy_jets(3)
    axes = toys.jet_axis.copy()
    axes[1, 0] = np.inf
    assert fault_of_second(replace(toys, jet_axis=axes)) == "non-finite momentum"


def test_the_first_fault_that_fits_is_counted():
    particles = jets_with([np.nan, 0, 0, -1])
    assert fault_of_second(particles) == "non-finite momentum"


def test_a_jet_is_named_by_file_and_row():
    index = make_index(1, np.array([41, 42, 43]))
    jets = replace(toy_jets(3), sources=("a.root", "b.root"), index=index)
    assert jet_name(jets, 1) == "b.root, jet 42"
