"""Secondary vertices: found where they were planted, from the tracks' numbers alone."""

import numpy as np
import pytest

from helpers.particles import jets, p4
from parttag.samples.simulation.detectors.tracking import MeasuredTracks
from parttag.samples.simulation.vertexing import find_vertices

D0_ERROR, DZ_ERROR = 0.02, 0.04  # mm


def tracks(*groups, seed=0, event=0, smear=1.0):
    """Return tracks of (vertex, pT, η, φ), by the definitions of d0 and dz."""
    rng = np.random.default_rng(seed)
    rows = [(*vertex, *one) for vertex, *lists in groups for one in zip(*lists, strict=True)]
    x, y, z, pt, eta, phi = np.array(rows).T
    px, py, pz, _ = p4(pt, eta, phi).T
    d0 = (x * py - y * px) / pt
    dz = z - (x * px + y * py) * pz / pt**2
    return MeasuredTracks(
        event=np.full(len(rows), event),
        momentum=np.stack([px, py, pz], axis=1),
        d0=d0 + smear * rng.normal(0, D0_ERROR, len(rows)),
        d0_error=np.full(len(rows), D0_ERROR),
        dz=dz + smear * rng.normal(0, DZ_ERROR, len(rows)),
        dz_error=np.full(len(rows), DZ_ERROR),
    )


JET = jets(p4([300.0, 250.0], [0.3, 0.3], [1.0, 1.1]))
# 12 mm away in the direction of the jet: η = 0.3, φ = 1.05.
PLACE = 12.0 * np.array([np.cos(1.05), np.sin(1.05), np.sinh(0.3)])
THREE = (PLACE, [20.0, 8.0, 5.0], [0.32, 0.25, 0.35], [1.12, 0.95, 1.0])
PROMPT = ((0.0, 0.0, 0.0), [50.0, 30.0, 9.0, 2.0], [0.3, 0.2, 0.4, 0.1], [1.05, 1.0, 0.9, 1.2])


def test_a_planted_vertex_is_found_with_its_tracks_and_its_place():
    found = find_vertices(tracks(PROMPT, THREE), JET, 0.8)
    assert found.lists.lengths.tolist() == [1]
    assert sorted(found.tracks[1].tolist()) == [4, 5, 6]
    columns = {name: column[0] for name, column in found.lists.columns.items()}
    assert columns["num_tracks"] == 3
    place = np.array([columns[axis] for axis in "xyz"])
    assert place == pytest.approx(PLACE, abs=1.0)
    assert columns["flight"] == pytest.approx(np.linalg.norm(place))
    assert columns["flight_xy"] == pytest.approx(np.hypot(*place[:2]))
    assert columns["pointing"] > 0.99
    total = p4(*THREE[1:], 0.13957).sum(axis=0)
    for name, value in zip(("px", "py", "pz", "energy"), total, strict=True):
        assert columns[name] == pytest.approx(value)


def test_the_fit_is_least_squares_and_its_errors_are_right():
    pulls, chi2 = [], []
    for seed in range(60):
        found = find_vertices(tracks(THREE, seed=seed), JET, 0.8).lists.columns
        if len(found["x"]) == 1 and found["num_tracks"][0] == 3:
            error = found["flight"][0] / found["flight_sig"][0]
            pulls.append((found["flight"][0] - np.linalg.norm(PLACE)) / error)
            chi2.append(found["chi2"][0])
    assert len(pulls) > 50
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.5)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.35)


def test_chi2_is_that_of_the_residuals():
    own = tracks(THREE, seed=3)
    found = {n: c[0] for n, c in find_vertices(own, JET, 0.8).lists.columns.items()}
    px, py, pz = own.momentum.T
    pt = np.hypot(px, py)
    d0 = (found["x"] * py - found["y"] * px) / pt
    dz = found["z"] - (found["x"] * px + found["y"] * py) * pz / pt**2
    residuals = np.concatenate([(own.d0 - d0) / D0_ERROR, (own.dz - dz) / DZ_ERROR])
    assert found["chi2"] == pytest.approx((residuals**2).sum() / (2 * 3 - 3), rel=1e-5)


def test_prompt_tracks_and_tracks_of_many_places_make_no_vertex():
    lonely = [((0.0, y, 0.0), [5.0], [0.3], [phi]) for y, phi in ((2.0, 1.0), (-3.0, 1.1))]
    for own in (tracks(PROMPT, seed=1), tracks(PROMPT, *lonely, smear=0.0)):
        assert find_vertices(own, JET, 0.8).lists.lengths.tolist() == [0]


def test_a_vertex_behind_the_collision_or_too_far_away_is_none():
    for place in (-PLACE, 12 * PLACE):
        own = tracks((place, *THREE[1:]), smear=0.0)
        assert find_vertices(own, JET, 0.8).lists.lengths.tolist() == [0]


def test_two_vertices_of_a_jet_stay_apart_and_come_by_falling_pt():
    second = (2.5 * PLACE, [40.0, 30.0], [0.38, 0.22], [0.95, 1.15])
    found = find_vertices(tracks(THREE, second), JET, 0.8)
    assert found.lists.columns["num_tracks"].tolist() == [2, 3]
    assert sorted(found.tracks[1][found.tracks[0] == 0].tolist()) == [3, 4]


def test_vertices_belong_to_the_jet_of_their_event_that_is_near():
    away = p4([300.0], [0.3], [-2.0])
    three = jets(away, JET.particles, JET.particles, event=[4, 4, 7])
    found = find_vertices(tracks(THREE, event=4), three, 0.8)
    assert found.lists.lengths.tolist() == [0, 1, 0]
    assert found.lists.take(np.array([1, 0])).columns["num_tracks"].tolist() == [3]


def test_jets_without_tracks_have_no_vertices():
    none = find_vertices(tracks(PROMPT).take(np.arange(0)), JET, 0.8)
    assert none.lists.lengths.tolist() == [0]
    assert set(none.lists.columns) == set(find_vertices(tracks(THREE), JET, 0.8).lists.columns)
