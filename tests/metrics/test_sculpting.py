import json
import math

import numpy as np
import pytest
from scipy.spatial import distance

from helpers.logits import class_jets, gaussian_jets
from parttag import metrics
from parttag.metrics.sculpting import jensen_shannon

TOP_AND_QCD = ("top", "QCD")


def measured(mass, passed, jet_weights=None):
    """Return what a cut makes of background jets."""
    labels = np.ones(len(mass), dtype=np.int64)
    return metrics.measure_sculpting(mass, labels, TOP_AND_QCD, {"top": passed}, jet_weights)["top"]


def falling_mass(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(60.0, number)


def test_the_distance_is_that_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.poisson(3, (6, 12)).astype(float), rng.poisson(5, 12).astype(float)
    expected = [distance.jensenshannon(row, second, base=2) for row in first]
    np.testing.assert_allclose(jensen_shannon(first, second), expected, atol=1e-7)


def test_equal_shapes_are_at_0_and_disjoint_ones_at_1():
    counts = np.array([1.0, 2.0, 0.0, 0.0])
    found = jensen_shannon(np.stack([7 * counts, counts[::-1], np.zeros(4)]), counts)
    np.testing.assert_allclose(found, [0, 1, np.nan], atol=1e-7)


def test_a_random_cut_is_no_further_than_chance():
    mass = falling_mass(20_000)
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(40):
        found = measured(mass, rng.uniform(size=20_000) < 0.01)
        pulls.append((found.jensen_shannon - found.by_chance.value) / found.by_chance.error)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(40)
    assert 0.6 < np.std(pulls) < 1.5


def test_few_survivors_are_far_by_chance_alone():
    mass = falling_mass(5000)
    few, many = (measured(mass, np.arange(5000) < number).by_chance for number in (20, 2000))
    assert few.value > 0.3
    assert many.value < 0.1


def test_a_cut_on_the_mass_is_far_beyond_chance():
    mass = falling_mass(5000)
    found = measured(mass, (mass > 140) & (mass < 200))
    assert found.jensen_shannon > found.by_chance.value + 10 * found.by_chance.error
    assert 0.7 < found.excess < found.jensen_shannon
    assert 0 < found.spread < 0.1
    assert found.num_bins == 20
    assert found.before.median.value == pytest.approx(60 * math.log(2), rel=0.05)
    assert 140 < found.after.median.value < 200


def test_means_and_medians_have_the_errors_of_their_jets():
    truth = np.array([60.0, 60 * math.log(2)])
    pulls = []
    for seed in range(200):
        shape = measured(falling_mass(400, seed), np.ones(400, dtype=bool)).after
        values = np.array([shape.mean.value, shape.median.value])
        pulls.append((values - truth) / [shape.mean.error, shape.median.error])
    spread = np.std(pulls, axis=0)
    np.testing.assert_allclose(spread, 1, atol=0.2)


def test_mean_and_median_of_a_few_jets_are_those_worked_out_by_hand():
    mass = np.array([10.0, 20.0, 30.0, 80.0, 500.0])
    passed = np.array([True, True, True, True, False])
    found = measured(mass, passed, np.array([1.0, 1.0, 1.0, 3.0, 1.0]))
    assert found.after.num_jets == 4
    assert found.after.mean.value == pytest.approx((10 + 20 + 30 + 240) / 6)
    # Half of the weight is between 30, whose middle is at 2.5/6, and 80, whose middle is at 4.5/6.
    assert found.after.median.value == pytest.approx(30 + 50 * 0.5 / 2)


def test_integer_weights_act_as_repeated_jets():
    mass = falling_mass(500)
    passed = mass > 40
    repeats = np.random.default_rng(2).integers(1, 4, 500)
    weighted = measured(mass, passed, repeats.astype(float))
    repeated = measured(np.repeat(mass, repeats), np.repeat(passed, repeats))
    for when in ("before", "after"):
        ours, theirs = getattr(weighted, when), getattr(repeated, when)
        assert ours.mean.value == pytest.approx(theirs.mean.value)
        assert ours.median.value == pytest.approx(theirs.median.value, rel=0.01)
        # Jets that count twice are not two jets.
        assert ours.mean.error > theirs.mean.error


@pytest.mark.parametrize("number", [0, 1, 15])
def test_too_few_jets_give_nulls(number):
    found = measured(falling_mass(number), np.zeros(number, dtype=bool))
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["after"] == {
        "num_jets": 0,
        "mean": {"value": None, "error": None},
        "median": {"value": None, "error": None},
    }
    assert content["by_chance"] == {"value": None, "error": None}
    nothing = [content[key] for key in ("jensen_shannon", "spread", "excess", "num_bins")]
    assert nothing == [None, None, None, 0]
    one = measured(falling_mass(40), np.arange(40) == 3)
    assert math.isnan(one.after.median.error)
    assert math.isnan(one.after.mean.error)


def test_the_cut_keeps_half_of_the_signal_and_only_the_background_is_looked_at():
    logits, labels = gaussian_jets(4000, 2.0)
    rocs = metrics.class_rocs(logits, labels, TOP_AND_QCD)
    passing = metrics.passing_jets(logits, TOP_AND_QCD, rocs)
    assert passing["top"][labels == 0].mean() == pytest.approx(0.5, abs=0.001)
    mass = np.where(labels == 0, 1e6, falling_mass(4000))
    found = metrics.measure_sculpting(mass, labels, TOP_AND_QCD, passing)["top"]
    assert found.before.num_jets == (labels == 1).sum()
    assert found.after.num_jets == (passing["top"] & (labels == 1)).sum()
    assert found.before.mean.value < 100


def test_every_signal_class_has_its_cut():
    logits, labels = class_jets(2000, 3)
    mass = falling_mass(2000)
    classes = ("QCD", "Hbb", "Hqql")
    options = metrics.EvaluationOptions(background="QCD", sculpting_eps_s=0.6)
    rocs = metrics.class_rocs(logits, labels, classes, options=options)
    passing = metrics.passing_jets(logits, classes, rocs, options)
    assert passing["Hqql"][labels == 2].mean() == pytest.approx(0.6, abs=0.002)
    found = metrics.measure_sculpting(mass, labels, classes, passing, options=options)
    assert list(found) == ["Hbb", "Hqql"]
    layout = found["Hbb"].to_json()
    distances = ["jensen_shannon", "spread", "by_chance", "excess", "num_bins"]
    assert list(layout) == ["eps_s", "before", "after", *distances]
    assert layout["eps_s"] == 0.6
    assert metrics.measure_sculpting(mass, labels, ("a", "b", "c"), {}) == {}
