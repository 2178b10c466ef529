"""Jets of negative weight: sums of weights stand for jets, whatever the signs."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.logits import class_jets, gaussian_jets
from parttag import metrics
from parttag.metrics.calibration import reliability_curve
from parttag.metrics.estimate import efficiency
from parttag.metrics.paired import influences
from parttag.metrics.sculpting import jensen_shannon
from parttag.metrics.working_points import measure_working_points

SCRIPT = Path(__file__).parents[2] / "scripts" / "signed_weights.py"
CLASSES = ("top", "QCD")


def load_script():
    spec = importlib.util.spec_from_file_location("signed_weights_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look their module up
    spec.loader.exec_module(module)
    return module


def signs(number, seed=0, share=0.2):
    return np.where(np.random.default_rng(seed).random(number) < share, -1.0, 1.0)


def test_a_fifth_of_negative_weights_measures_what_jets_of_weight_one_do():
    """25 toys; the script runs 200 of them."""
    for name, found in load_script().run(toys=25, number=600).items():
        assert np.abs(found.bias).max() < 3.5, name
        # The spread of 25 toys is known to 14 %.
        assert all(0.6 < ratio < 1.7 for ratio in found.error_ratios), name
        assert abs(found.pulls.mean()) < 3.5 / math.sqrt(25), name
        assert 0.5 < found.pulls.std(ddof=1) < 1.5, name


def area_by_pairs(scores, is_signal, weights):
    signal, background = scores[is_signal], scores[~is_signal]
    pairs = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    of_signal, of_background = weights[is_signal], weights[~is_signal]
    return of_signal @ pairs @ of_background / (of_signal.sum() * of_background.sum())


def test_the_area_is_the_sum_over_all_pairs_of_jets_with_ties_as_halves():
    logits, labels = gaussian_jets(300, 1.0)
    logits = np.round(logits, 1)
    weights = signs(300) * np.random.default_rng(1).uniform(0.5, 2, 300)
    expected = area_by_pairs(logits[:, 0] - logits[:, 1], labels == 0, weights)
    assert metrics.auc(logits, labels, weights) == pytest.approx(expected, rel=1e-12)
    positive = np.abs(weights)
    ours = roc_auc_score(labels == 0, logits[:, 0] - logits[:, 1], sample_weight=positive)
    assert metrics.auc(logits, labels, positive) == ours


def test_pairs_that_cancel_leave_every_number_as_it_was():
    """Jets that are there twice more, with weights 1 and −1, are not there at all."""
    logits, labels = class_jets(400, 3)
    more = slice(50, 150)
    both = np.concatenate([logits, logits[more], logits[more]])
    all_labels = np.concatenate([labels, labels[more], labels[more]])
    weights = np.repeat([1.0, 1.0, -1.0], [400, 100, 100])
    for number in (metrics.accuracy, metrics.auc, metrics.cross_entropy):
        assert number(both, all_labels, weights) == pytest.approx(number(logits, labels), rel=1e-9)


def test_errors_are_of_the_sum_of_squares():
    passing = np.array([True] * 60 + [False] * 40)
    weights = np.concatenate([signs(60, 3), signs(40, 4)])
    found, total = efficiency(passing, weights), weights.sum()
    share = weights[:60].sum() / total
    variance = ((1 - share) ** 2 * 60 + share**2 * 40) / total**2  # every w² is 1
    assert found.value == pytest.approx(share)
    assert found.error == pytest.approx(math.sqrt(variance))
    logits, labels = gaussian_jets(2000, 1.0)
    weights = signs(2000)
    accuracy = influences(logits, labels, CLASSES, weights)["accuracy"]
    right = logits.argmax(axis=1) == labels
    expected = math.sqrt(((right - accuracy.value) ** 2).sum()) / weights.sum()
    assert accuracy.error == pytest.approx(expected)
    bootstrap = metrics.measure(logits, labels, CLASSES, weights).accuracy.error
    assert bootstrap == pytest.approx(expected, rel=0.2)


HAND_SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
HAND_SIGNAL = np.array([True, True, False, True, False, True, True, False])
HAND_WEIGHTS = np.array([1.0, 1.0, 1.0, -1.0, -0.5, 1.0, 1.0, 1.5])
"""ε_S · 3 is 1, 2, 2, 1, 1, 2, 3, 3 from cut to cut, ε_B · 2 is 0, 0, 1, 1, ½, ½, ½, 2."""


@pytest.mark.parametrize(
    ("eps_s", "cut", "eps_b"),
    [(0.3, 0.9, 0.0), (0.5, 0.8, 0.0), (2 / 3, 0.8, 0.0), (0.7, 0.3, 0.25), (1.0, 0.3, 0.25)],
)
def test_a_curve_that_turns_back_has_the_tightest_cut_that_reaches_it(eps_s, cut, eps_b):
    curve = metrics.roc(HAND_SCORES, HAND_SIGNAL, HAND_WEIGHTS)
    np.testing.assert_allclose(curve.eps_s * 3, [0, 1, 2, 2, 1, 1, 2, 3, 3])
    np.testing.assert_allclose(curve.eps_b * 2, [0, 0, 0, 1, 1, 0.5, 0.5, 0.5, 2])
    assert not curve.is_monotonic
    assert curve.threshold(eps_s) == cut
    assert curve.kept(eps_s) >= eps_s - 1e-12
    found, _ = curve.background_efficiency(np.array([eps_s]))
    assert found[0] == pytest.approx(eps_b)


def test_what_sums_up_to_nothing_has_a_reason():
    scores, is_signal = np.linspace(1, 0, 200), np.arange(200) % 2 == 0
    weights = np.ones(200)
    weights[~is_signal] = -1
    assert "background jets sum up to 0 or less" in (
        metrics.roc(scores, is_signal, weights).rejection(0.5).reason
    )
    weights[~is_signal] = np.where(scores[~is_signal] > 0.4, -1, 3)
    passing = metrics.roc(scores, is_signal, weights).rejection(0.5)
    assert math.isnan(passing.value)
    assert "that pass sum up to 0 or less" in passing.reason
    logits = np.stack([scores, 0 * scores], axis=1)
    labels = np.where(is_signal, 0, 1)
    weights[~is_signal] = -1
    assert math.isnan(metrics.auc(logits, labels, weights))
    assert math.isnan(metrics.accuracy(logits, labels, -np.ones(200)))


def test_a_limit_counts_negative_jets_below_the_cut_as_large_as_they_are():
    scores = np.concatenate([np.linspace(1, 2, 100), np.linspace(-1, 0, 100)])
    weights = np.ones(200)
    weights[-10:] = -4  # next to the cut
    weights[100:190] = 2
    limit = metrics.roc(scores, np.arange(200) < 100, weights).rejection(0.5)
    assert limit.is_limit
    assert limit.value <= 1 / (1 - 0.05 ** (4 / 140)) * 1.0001  # of Σw = 140, in units of 4


def test_every_metric_has_numbers_where_weights_are_signed():
    logits, labels = gaussian_jets(4000, 1.5)
    rng = np.random.default_rng(0)
    mass = rng.normal(80, 10, 4000) + 15 * (logits[:, 0] - logits[:, 1])
    report = metrics.measure(
        logits,
        labels,
        CLASSES,
        signs(4000),
        jet_pt=rng.uniform(500, 700, 4000),
        jet_mass=mass,
    )
    content = report.to_json()
    assert content["num_effective"]["top"] == pytest.approx(0.36 * 2000, rel=0.15)
    assert all(math.isfinite(e.value) for e in report.rejection["top"].values())
    assert all(math.isfinite(e.value) for e in report.rejection_by_pt.rejection["top"][0.5])
    sculpting = report.mass_sculpting["top"]
    assert sculpting.jensen_shannon > sculpting.by_chance.value + 5 * sculpting.by_chance.error
    assert sculpting.after.mean.value > sculpting.before.mean.value


def test_a_cut_that_does_not_sculpt_is_at_the_level_of_chance_with_signed_weights():
    logits, labels = gaussian_jets(6000, 1.5)
    mass = np.random.default_rng(1).normal(80, 10, 6000)
    sculpting = metrics.measure(logits, labels, CLASSES, signs(6000), jet_mass=mass).mass_sculpting[
        "top"
    ]
    chance = sculpting.by_chance
    assert abs(sculpting.jensen_shannon - chance.value) < 4 * chance.error


def test_bins_below_zero_are_empty_ones():
    with_negative, without = np.array([[3.0, -1.0, 2.0]]), np.array([[3.0, 0.0, 2.0]])
    reference = np.array([1.0, 1.0, 1.0])
    assert jensen_shannon(with_negative, reference) == jensen_shannon(without, reference)


def test_reliability_counts_jets_with_their_signs():
    """Pairs that cancel are not there, where bins are one; bins of a negative sum are left out."""
    rng = np.random.default_rng(2)
    scores = rng.uniform(0, 1, 30)
    is_right = rng.random(30) < scores
    found = reliability_curve(scores, is_right, np.ones(30))
    both = np.concatenate([np.arange(30), [3, 3, 8, 8]])
    weights = np.repeat([1.0, 1.0, -1.0, 1.0, -1.0], [30, 1, 1, 1, 1])
    again = reliability_curve(scores[both], is_right[both], weights)
    assert len(found.share) == 1
    np.testing.assert_allclose(again.share, found.share)
    np.testing.assert_allclose(again.score, found.score)
    many = rng.uniform(0, 1, 4000)
    curve = reliability_curve(many, many > 0.5, np.where(many < 0.1, -1.0, 1.0))
    assert np.isfinite(curve.share).all()
    assert curve.score.min() > 0.09


def test_working_points_of_signed_weights_keep_what_they_say():
    logits, labels = gaussian_jets(4000, 1.5)
    weights = signs(4000)
    momenta = {"jet_pt": np.ones(4000), "jet_eta": np.zeros(4000)}
    table = measure_working_points(logits, labels, CLASSES, weights, metrics.DEFAULTS, **momenta)
    name, point = next(iter(table.points.items()))
    score = logits[:, 0] - logits[:, 1]
    passing = (score >= float(point.thresholds)) & (labels == 0)
    assert name == "eff50"
    assert weights[passing].sum() / weights[labels == 0].sum() == pytest.approx(0.5, abs=2e-3)
