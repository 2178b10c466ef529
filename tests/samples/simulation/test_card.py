"""The card's numbers, looked up by hand in the published card."""

import math

import numpy as np
import pytest

from parttag.samples.simulation.detectors.atlas import ATLAS_3_3_2 as CARD


def array(*values):
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("tracker", "eta", "pt", "expected"),
    [
        (CARD.hadron, 0.2, 0.1, 0.0),
        (CARD.hadron, 0.2, 0.5, 0.70),
        (CARD.hadron, -1.5, 5.0, 0.95),
        (CARD.hadron, 2.0, 1.0, 0.60),
        (CARD.hadron, -2.5, 1.01, 0.85),
        (CARD.hadron, 2.51, 50.0, 0.0),
        (CARD.electron, 1.0, 101.0, 0.99),
        (CARD.electron, 1.0, 100.0, 0.95),
        (CARD.muon, -2.0, 0.5, 0.70),
        (CARD.muon, 1.0, 40.0, 0.99),
    ],
)
def test_efficiencies_are_those_of_the_card(tracker, eta, pt, expected):
    assert tracker.efficiency(array(eta), array(pt)) == expected


@pytest.mark.parametrize(
    ("tracker", "eta", "pt", "expected"),
    [
        (CARD.hadron, 0.5, 100.0, math.hypot(0.06, 0.13)),
        (CARD.hadron, -1.0, 10.0, math.hypot(0.10, 0.017)),
        (CARD.electron, 2.5, 1.0, math.hypot(0.25, 0.0031)),
        (CARD.muon, 0.1, 100.0, math.hypot(0.02, 0.02)),
        (CARD.muon, 2.6, 100.0, 0.0),
    ],
)
def test_track_resolutions_are_those_of_the_card(tracker, eta, pt, expected):
    assert tracker.resolution(array(eta), array(pt)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("compartment", "eta", "energy", "expected"),
    [
        (CARD.electromagnetic, 1.0, 100.0, math.hypot(0.17, 1.01)),
        (CARD.electromagnetic, -4.0, 4.0, math.hypot(0.14, 0.57)),
        (CARD.hadronic, 1.7, 100.0, math.hypot(3.02, 5.205, 1.59)),
        (CARD.hadronic, -2.0, 100.0, math.hypot(5.0, 7.06)),
        (CARD.hadronic, 4.0, 100.0, math.hypot(9.42, 10.0)),
    ],
)
def test_energy_resolutions_are_those_of_the_card(compartment, eta, energy, expected):
    assert compartment.resolution(array(eta), array(energy)) == pytest.approx(expected)


def test_energies_below_threshold_or_significance_do_not_count():
    eta = array(0.0, 0.0, 0.0, 2.0)
    # 1.59 GeV of noise hide what the threshold of 1 GeV lets pass, but only up to |η| = 1.7.
    energy = array(0.9, 1.2, 3.0, 1.2)
    assert CARD.hadronic.significant(eta, energy).tolist() == [0.0, 0.0, 3.0, 1.2]
    assert CARD.electromagnetic.significant(eta, array(0.49, 0.5, 0, 0)).tolist() == [0, 0.5, 0, 0]


def test_towers_are_a_tenth_by_ten_degrees_in_the_middle_and_coarser_ahead():
    cells, inside = CARD.grid.cells(array(0.05, -2.45, 4.0), array(0.1, -3.1, 3.1))
    eta, phi = CARD.grid.edges(cells)
    assert inside.all()
    assert np.diff(eta)[:, 0] == pytest.approx([0.1, 0.1, 0.2])
    assert np.diff(phi)[:, 0] == pytest.approx(np.radians([10, 10, 20]))


def test_a_direction_lies_within_the_edges_of_its_cell():
    rng = np.random.default_rng(0)
    eta, phi = rng.uniform(-4.9, 4.9, 5000), rng.uniform(-np.pi, np.pi, 5000)
    cells, inside = CARD.grid.cells(eta, phi)
    eta_edges, phi_edges = CARD.grid.edges(cells)
    assert inside.all()
    assert (cells >= 0).all()
    assert (cells < CARD.grid.num_cells).all()
    assert ((eta_edges[:, 0] <= eta) & (eta <= eta_edges[:, 1])).all()
    assert ((phi_edges[:, 0] <= phi) & (phi <= phi_edges[:, 1])).all()


def test_the_last_azimuth_belongs_to_a_cell_of_its_ring():
    cells, _ = CARD.grid.cells(array(0.05, 0.05), array(-np.pi, np.pi))
    assert cells[0] // 36 == cells[1] // 36


def test_beyond_the_last_ring_there_is_no_cell():
    _, inside = CARD.grid.cells(array(4.95, -4.95, 0.0), array(0.0, 0.0, 0.0))
    assert inside.tolist() == [False, False, True]
