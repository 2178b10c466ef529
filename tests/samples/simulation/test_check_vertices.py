"""scripts/check_vertices.py: what counts as a decay, and what as found."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.particles import particles, together
from parttag.jets.clustered import Lists
from parttag.samples.simulation.ancestry import Origin
from parttag.samples.simulation.vertexing import Vertices

SCRIPT = Path(__file__).parents[3] / "scripts" / "check_vertices.py"


def load_script():
    spec = importlib.util.spec_from_file_location("check_vertices", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look their module up
    spec.loader.exec_module(module)
    return module


script = load_script()


def tracks():
    """Return three tracks of a b hadron, two of a K⁰_S of another one, and two prompt ones."""
    pt = [5.0, 6.0, 7.0]
    b = replace(particles(211, pt, vertex=(5, 0, 0), origin=Origin.B), ancestor=np.array([9, 9, 9]))
    kaon = particles(211, pt[:2], vertex=(40, 0, 0), origin=Origin.B)
    kaon = replace(kaon, mother_id=np.array([310, 310]), ancestor=np.array([8, 8]))
    return together(b, kaon, particles(211, pt[:2]))


def counted(*vertices):
    """Return the tally of one jet with vertices of these tracks, and their kinds."""
    tally, true = script.Tally(jets=1), tracks()
    pairs = np.array([(v, t) for v, own in enumerate(vertices) for t in own]).reshape(-1, 2).T
    found = Vertices(Lists(np.array([0, len(vertices)]), {}), pairs)
    jet_and_track = (np.zeros(7, int), np.arange(7))
    displaced = np.array([True, True, False, True, False, False, False])
    kinds = script.count(tally, true, jet_and_track, displaced, found)
    return tally, list(kinds)


def test_a_vertex_is_of_the_decay_that_most_of_its_tracks_are_of():
    tally, kinds = counted([0, 1], [3, 4], [2, 5], [5, 6], [0, 1, 3, 4], [0, 1, 6])
    assert kinds == ["b hadron", "K⁰_S", "fake", "fake", "fake", "b hadron"]
    assert tally.decays == {"b hadron": 1, "K⁰_S": 1}
    assert tally.found == {"b hadron": 1, "K⁰_S": 1}


def test_decays_that_are_not_found_count_and_so_do_those_with_two_displaced_tracks():
    tally, kinds = counted([3, 4])
    assert kinds == ["K⁰_S"]
    assert tally.found == {"b hadron": 0, "K⁰_S": 1}
    assert tally.displaced == {"b hadron": 1}
    assert tally.efficiency("b hadron").value == 0
    assert tally.efficiency("b hadron").error == pytest.approx(0.5)


def test_jets_of_b_quarks_have_both_of_their_decays_found_more_often_than_not():
    sample = script.JetClass(script.JetClassOptions(num_jets=100, batch_size=25))
    tally = script.measure(sample, "HToBB", 15, seed=5)
    assert 1 < tally.decays["b hadron"] / tally.jets < 3
    assert tally.efficiency("b hadron").value > 0.5
    assert tally.vertices["fake"] < 0.3 * tally.vertices.total()
    assert "| H → bb | b hadron |" in script.table({"H → bb": tally})
