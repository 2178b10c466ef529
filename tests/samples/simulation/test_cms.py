"""The numbers of JetClass's card, looked up by hand in the published one."""

import math

import numpy as np
import pytest

from parttag.samples.simulation.detectors.cms import CMS_JETCLASS as CARD

ECAL, HCAL = CARD.electromagnetic, CARD.hadronic


def array(*values):
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("tracker", "eta", "pt", "expected"),
    [
        (CARD.hadron, 0.5, 100.0, math.hypot(0.06, 0.13)),
        (CARD.electron, -1.0, 100.0, math.hypot(0.05, 0.17)),
        (CARD.muon, 2.0, 100.0, math.hypot(0.025, 0.035)),
        (CARD.muon, 2.6, 100.0, 0.0),
    ],
)
def test_track_resolutions_are_those_of_the_card(tracker, eta, pt, expected):
    assert tracker.resolution(array(eta), array(pt)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("layer", "eta", "energy", "expected"),
    [
        (ECAL, 0.0, 100.0, math.sqrt(0.64 + 1.21 + 0.16)),
        (ECAL, -1.0, 100.0, 1.64 * math.sqrt(0.64 + 1.21 + 0.16)),
        (ECAL, 2.0, 100.0, 2.16 * math.sqrt(0.64 + 1.21 + 0.16)),
        (ECAL, -2.5, 100.0, 3.56 * math.sqrt(0.64 + 1.21 + 0.16)),
        (ECAL, 2.8, 100.0, math.hypot(10.7, 20.8)),
        (HCAL, 3.0, 100.0, math.hypot(5.0, 15.0)),
        (HCAL, -4.0, 100.0, math.hypot(13.0, 27.0)),
    ],
)
def test_energy_resolutions_are_those_of_the_card(layer, eta, energy, expected):
    found = layer.compartment.resolution(array(eta), array(energy))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("layer", "eta", "width", "degrees"),
    [
        (ECAL, 0.01, 0.0174, 1),
        (ECAL, -1.49, 0.0174, 1),
        (ECAL, 2.95, 0.0174, 1),
        (ECAL, -3.0, 0.167, 10),
        (HCAL, 0.05, 0.087, 5),
        (HCAL, -1.6, 0.087, 5),
        (HCAL, 1.7, 0.087, 10),
        (HCAL, -2.4, 0.178, 10),
        (HCAL, 4.6, 0.175, 20),
    ],
)
def test_towers_are_as_fine_as_in_the_card(layer, eta, width, degrees):
    cells, inside = layer.grid.cells(array(eta), array(0.1))
    eta_edges, phi_edges = layer.grid.edges(cells)
    assert inside.all()
    assert eta_edges[0, 0] <= eta <= eta_edges[0, 1]
    assert np.ptp(eta_edges) == pytest.approx(width, abs=1e-9)
    assert np.ptp(phi_edges) == pytest.approx(np.radians(degrees))


@pytest.mark.parametrize("layer", [ECAL, HCAL])
def test_the_towers_of_both_ends_mirror_each_other(layer):
    edges = np.array(layer.grid.eta_edges)
    assert edges == pytest.approx(-edges[::-1])
    assert (np.diff(edges) > 0).all()
    assert layer.grid.phi_bins == layer.grid.phi_bins[::-1]


@pytest.mark.parametrize(
    ("pt", "d0", "dz"), [(1.0, 0.075, 0.11), (10.0, 0.020, 0.04), (100.0, 0.011, 0.03)]
)
def test_central_impact_parameters_are_measured_as_by_cms(pt, d0, dz):
    # As read off figure 15 of arXiv:1405.6569, to its digits.
    assert CARD.d0(array(0.3), array(pt))[0] == pytest.approx(d0, abs=6e-4)
    assert CARD.dz(array(0.3), array(pt))[0] == pytest.approx(dz, abs=1.5e-3)


def test_between_two_points_the_logarithm_is_straight_and_outside_constant():
    first, middle, last = CARD.d0(np.full(3, -1.0), array(1.0, math.sqrt(2.2), 2.2))
    assert middle == pytest.approx(math.sqrt(first * last))
    below, lowest, highest, above = CARD.d0(np.full(4, -1.0), array(0.01, 0.2, 100.0, 900.0))
    assert below == lowest > highest == above


def test_there_is_no_impact_parameter_where_there_are_no_tracks():
    assert CARD.dz(array(2.51), array(5.0)).tolist() == [0.0]
