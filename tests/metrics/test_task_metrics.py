"""Metrics of regression, origins and vertices: against samples of known truth, and by hand."""

import json
import math

import numpy as np
import pytest

from parttag.metrics.multi_label import measure_multi_label
from parttag.metrics.particle_tasks import measure_origins, measure_vertices, ratio_of_sums
from parttag.metrics.regression import (
    PREDICTION,
    equal_bins,
    measure_regression,
    measure_resolution,
)
from parttag.metrics.tasks import read_task

SHIFT, WIDTH = 0.03, 0.1


def regressed(number, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(50, 150, number)
    off = rng.normal(SHIFT, WIDTH, number)
    predictions = {PREDICTION: truth * (1 + off), "jet_mass": truth * (1 + 2 * off)}
    return truth, predictions, rng


def test_bias_resolution_and_tails_of_a_gaussian_within_their_errors():
    pulls = []
    for seed in range(40):
        off = np.random.default_rng(seed).normal(SHIFT, WIDTH, 1500)
        found = measure_resolution(off, np.ones(1500))
        pulls.append(
            [
                (found.bias.value - SHIFT) / found.bias.error,
                (found.resolution.value - WIDTH) / found.resolution.error,
                (found.tails.value - math.erfc(3 / math.sqrt(2))) / found.tails.error
                if found.tails.value
                else 0.0,
            ]
        )
    # Pulls have the mean 0 ± 0.16 and the spread 1 ± 0.11.
    mean, spread = np.mean(pulls, axis=0), np.std(pulls, axis=0)
    assert (np.abs(mean[:2]) < 0.6).all(), mean
    assert ((spread[:2] > 0.65) & (spread[:2] < 1.4)).all(), spread


def test_weighted_jets_count_as_often_as_their_weight():
    rng = np.random.default_rng(0)
    off, weights = rng.normal(size=3000), rng.integers(1, 4, 3000)
    one = measure_resolution(off, weights.astype(float))
    other = measure_resolution(np.repeat(off, weights), np.ones(weights.sum()))
    for name in ("bias", "resolution", "tails"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value, abs=2e-3)
    # The copies of a jet tell nothing new.
    assert one.bias.error > other.bias.error
    few = measure_resolution(off[:3], np.ones(3))
    assert math.isnan(few.bias.value)
    assert few.num_jets == 3


def test_a_regression_by_bins_and_classes_with_coverage():
    truth, predictions, rng = regressed(4000)
    truth[::10] = np.nan
    labels = rng.integers(0, 2, 4000)
    pt = rng.uniform(500, 1000, 4000)
    sides = {"q16": -0.994458, "q50": 0.0, "q84": 0.994458}
    limits = {name: predictions[PREDICTION] / (1 + SHIFT + s * WIDTH) for name, s in sides.items()}
    report = measure_regression(
        truth,
        predictions,
        jet_pt=pt,
        labels=labels,
        classes=("top", "QCD"),
        jet_weights=np.ones(4000),
        # Where the response is high, the truth is low: the quantiles change sides.
        limits={"q84": limits["q16"], "q50": limits["q50"], "q16": limits["q84"]},
        bins=(50.0, 100.0, 150.0),
    )
    assert (report.response, report.num_missing) == ("ratio", 400)
    assert report.overall[PREDICTION].num_jets == 3600
    assert report.overall["jet_mass"].resolution.value == pytest.approx(
        2 * report.overall[PREDICTION].resolution.value
    )
    assert report.by_target.edges == (50.0, 100.0, 150.0)
    for found in (
        report.by_target.by[PREDICTION],
        report.by_pt.by[PREDICTION],
        [own[PREDICTION] for own in report.by_class.values()],
    ):
        assert sum(own.num_jets for own in found) == 3600
        for own in found:
            assert abs(own.bias.value - SHIFT) < 5 * own.bias.error
            assert abs(own.resolution.value - WIDTH) < 5 * own.resolution.error
    for name, share in (("q16", 0.16), ("q50", 0.5), ("q84", 0.84)):
        found = report.coverage[name]
        assert abs(found.value - share) < 4 * found.error
        assert found.error == pytest.approx(math.sqrt(share * (1 - share) / 3600), rel=0.05)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read_task(content).to_json() == report.to_json()


def test_a_target_that_may_be_negative_is_measured_by_differences():
    truth = np.linspace(-1, 1, 50)
    report = measure_regression(
        truth,
        {PREDICTION: truth + 0.5},
        jet_pt=np.full(50, 500.0),
        labels=np.zeros(50, dtype=int),
        classes=(),
        jet_weights=np.ones(50),
    )
    assert report.response == "difference"
    assert report.overall[PREDICTION].bias.value == pytest.approx(0.5)
    assert report.by_pt.edges == (500.0, 501.0)
    assert len(equal_bins(truth)) == 6


def test_origins_by_hand():
    truth = np.array([0, 0, 0, 1, 1, -1, 1])
    found = np.array([0, 1, 0, 1, 0, 1, -1])
    jet = np.array([0, 0, 1, 1, 1, 1, 2])
    weights = np.array([1.0, 2.0, 1.0])
    report = measure_origins(truth, found, jet, weights, ("b", "light", "none"))
    # Weights of the particles that are counted: 1, 1, 2, 2, 2; right are 1, 2 and 2.
    assert report.accuracy.value == pytest.approx(5 / 8)
    assert report.num_particles == {"b": 3, "light": 2, "none": 0}
    assert report.efficiency["b"].value == pytest.approx(3 / 4)
    assert report.purity["b"].value == pytest.approx(3 / 5)
    np.testing.assert_allclose(report.confusion[:2], [[3 / 4, 1 / 4, 0], [1 / 2, 1 / 2, 0]])
    assert np.isnan(report.confusion[2]).all()
    assert math.isnan(report.efficiency["none"].value)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read_task(content).to_json() == report.to_json()


def test_the_error_of_a_share_is_that_of_jets_not_of_particles():
    # Ten particles a jet that are all right or all wrong: one jet is one trial.
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(400) < 0.3, 10)
    jet = np.repeat(np.arange(400), 10)
    found = ratio_of_sums(right, np.ones(4000, dtype=bool), jet, np.ones(400))
    share = found.value
    assert found.error == pytest.approx(math.sqrt(share * (1 - share) / 400))


def test_vertices_by_hand():
    #                 jet 0: found whole; split; alone   jet 1: merged        unknown
    truth = np.array([0, 0, 0, 3, 3, 3, 3, 7, 0, 0, 2, 2, -1, 0])
    found = np.array([0, 0, 0, 3, 3, 5, 5, 7, 0, 0, 0, 0, 0, -1])
    jet = np.array([0] * 8 + [1] * 4 + [2] * 2)
    pt = np.array([500.0, 600.0, 700.0])
    report = measure_vertices(truth, found, jet, np.ones(3), pt)
    # True ones of two and more: 0 and 3 of jet 0, both of jet 1; none of two particles is matched
    # by a half of another. Found ones: three of jet 0, one of jet 1.
    assert (report.num_true, report.num_found) == (4, 4)
    assert report.efficiency.value == pytest.approx(1 / 4)
    assert report.purity.value == pytest.approx(1 / 4)
    assert report.efficiency_by_pt[0].value == pytest.approx(1 / 2)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read_task(content).to_json() == report.to_json()
    nothing = measure_vertices(truth[:0], found[:0], jet[:0], np.ones(3), pt)
    assert nothing.num_true == 0
    assert math.isnan(nothing.purity.value)


def test_classes_on_their_own_by_hand():
    logits = np.array([[2.0, -1.0], [-3.0, 0.5], [1.0, 1.0], [-1.0, -2.0]])
    carried = np.array([[True, False], [False, True], [False, True], [True, False]])
    report = measure_multi_label(logits, carried, np.ones(4), ("a", "b"))
    assert report.accuracy["a"].value == 0.5
    assert report.accuracy["b"].value == 1.0
    # Pairs of a jet of the class and another in the right order: 2 > -3, 2 > 1, -1 > -3.
    assert report.auc["a"].value == pytest.approx(3 / 4)
    p = 1 / (1 + np.exp(-logits))
    assert report.loss == pytest.approx(-np.log(np.where(carried, p, 1 - p)).mean())
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read_task(content).to_json() == report.to_json()
