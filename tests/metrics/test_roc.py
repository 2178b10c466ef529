import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_curve

from parttag import metrics
from parttag.errors import InputError

HAND_SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4])
HAND_SIGNAL = np.array([True, False, True, True, False, False, False])
"""Of three signal jets one passes at 0.9, two at 0.7, all at 0.6, where a background jet ties."""


def test_roc_of_seven_jets_is_the_one_drawn_by_hand():
    curve = metrics.roc(HAND_SCORES, HAND_SIGNAL)
    np.testing.assert_array_equal(curve.thresholds, [np.inf, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    np.testing.assert_allclose(curve.eps_s, np.array([0, 1, 1, 2, 3, 3, 3]) / 3)
    np.testing.assert_allclose(curve.eps_b, np.array([0, 0, 1, 1, 2, 3, 4]) / 4)


@pytest.mark.parametrize(
    ("eps_s", "eps_b"),
    [
        (1 / 6, 0.0),
        (1 / 3, 0.0),  # the curve is vertical here: the tightest cut that reaches it
        (1 / 2, 1 / 4),
        (2 / 3, 1 / 4),
        (5 / 6, 3 / 8),  # half way through the tie
        (1.0, 1 / 2),
    ],
)
def test_background_efficiency_is_linear_between_the_points(eps_s, eps_b):
    found, _ = metrics.roc(HAND_SCORES, HAND_SIGNAL).background_efficiency(np.array([eps_s]))
    assert found[0] == pytest.approx(eps_b)


def test_at_the_end_of_the_curve_the_error_is_that_of_the_background_count():
    _, error = metrics.roc(HAND_SCORES, HAND_SIGNAL).background_efficiency(np.array([1.0]))
    assert error[0] == pytest.approx(math.sqrt(0.5 * 0.5 / 4))  # 2 of 4 jets survive


def test_threshold_is_the_tightest_cut_that_keeps_the_signal():
    curve = metrics.roc(HAND_SCORES, HAND_SIGNAL)
    assert [curve.threshold(eps_s) for eps_s in (0.3, 0.5, 2 / 3, 0.7, 1.0)] == [
        0.9,
        0.7,
        0.7,
        0.6,
        0.6,
    ]


def test_rejection_without_surviving_background_is_a_lower_limit_and_says_so():
    scores = np.concatenate([np.ones(50), np.zeros(100)])
    estimate = metrics.roc(scores, scores == 1).rejection(0.5)
    assert estimate.is_limit
    # The efficiency at which all 100 jets fail with 5 % probability.
    assert (1 - 1 / estimate.value) ** 100 == pytest.approx(0.05)
    assert estimate.to_json() == {"value": estimate.value, "error": None, "lower_limit": True}


def test_limit_of_weighted_background_goes_by_the_heaviest_jet_near_the_cut():
    scores = np.concatenate([np.ones(50), np.linspace(-1, 0, 100)])
    weights = np.ones(150)
    weights[[-20, -21]] = 2.0, 5.0  # the twentieth below the cut, and one beyond it
    estimate = metrics.roc(scores, scores == 1, weights).rejection(0.5)
    assert estimate.is_limit
    assert (1 - 1 / estimate.value) ** (105 / 2) == pytest.approx(0.05)


def test_a_part_of_one_tied_jet_is_a_limit_and_no_rejection():
    # One background jet has the best score, as a hundred signal jets have, of which 1 % is asked.
    scores = np.concatenate([np.full(100, 2.0), np.linspace(0, 1, 3900), [2.0], np.zeros(999)])
    is_signal = np.arange(5000) < 4000
    curve = metrics.roc(scores, is_signal)
    eps_b, _ = curve.background_efficiency(np.array([0.01]))
    assert 0 < eps_b[0] < 0.001
    estimate = curve.rejection(0.01)
    assert estimate.is_limit
    assert estimate.value == pytest.approx(1000 / 3, rel=0.01)


def test_a_threshold_of_tied_scores_says_what_it_keeps():
    scores = np.round(np.random.default_rng(0).normal(size=2000))
    curve = metrics.roc(scores, np.arange(2000) < 1000)
    threshold = curve.threshold(0.5)
    assert curve.kept(0.5) == (scores[:1000] >= threshold).mean() > 0.55


def test_few_signal_jets_near_the_end_give_a_reason_and_no_rejection():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(2, 1, 500), rng.normal(0, 1, 500)])
    estimate = metrics.rejection_interval(scores, np.arange(1000) < 500, 0.99)
    assert math.isnan(estimate.value)
    assert "5 effective signal jets below the cut" in estimate.reason
    assert metrics.rejection_interval(scores, np.arange(1000) < 500, 0.97).value > 1


def test_the_error_has_the_count_of_background_and_the_cut_by_the_signal():
    # Uniform scores: a cut keeps a share of the signal, and as large a one of a background whose
    # scores are as uniform, so the slope of the curve is 1.
    scores = np.concatenate([np.linspace(0, 1, 40_000), np.linspace(0, 1, 100_000)])
    estimate = metrics.rejection_interval(scores, np.arange(140_000) < 40_000, 0.2)
    assert estimate.value == pytest.approx(5, rel=0.001)
    relative = math.sqrt(0.2 * 0.8 / 100_000 + 0.2 * 0.8 / 40_000) / 0.2
    assert math.log(estimate.high / estimate.value) == pytest.approx(relative, rel=0.02)
    assert math.log(estimate.value / estimate.low) == pytest.approx(relative, rel=0.02)
    low, high = estimate.interval(0.95)
    assert math.log(high / low) == pytest.approx(2 * 1.96 * relative, rel=0.02)
    assert estimate.num_passing == pytest.approx(20_000, abs=10)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"eps_s": 1.0}, "no signal efficiency"),
        ({"scores": np.full(4, np.nan)}, "not finite"),
        ({"weights": np.array([1.0, 1.0, 1.0, np.inf])}, "1 of 4 are not finite"),
    ],
)
def test_what_is_no_score_or_weight_is_refused(change, sentence):
    given = {"scores": np.arange(4.0), "is_signal": np.arange(4) > 1, "eps_s": 0.5}
    with pytest.raises(InputError, match=sentence):
        metrics.rejection_interval(**(given | change))


def test_integer_weights_act_as_repeated_jets_on_the_curve():
    repeats = np.array([1, 2, 3, 1, 2, 1, 2])
    weighted = metrics.roc(HAND_SCORES, HAND_SIGNAL, repeats.astype(float))
    repeated = metrics.roc(np.repeat(HAND_SCORES, repeats), np.repeat(HAND_SIGNAL, repeats))
    np.testing.assert_allclose(weighted.eps_s, repeated.eps_s)
    np.testing.assert_allclose(weighted.eps_b, repeated.eps_b)


def test_a_common_factor_of_the_weights_changes_nothing():
    ones = metrics.roc(HAND_SCORES, HAND_SIGNAL, np.ones(7))
    sevens = metrics.roc(HAND_SCORES, HAND_SIGNAL, np.full(7, 7.0))
    errors = [curve.background_efficiency(np.array([0.9]))[1][0] for curve in (ones, sevens)]
    assert errors[0] == pytest.approx(errors[1])
    assert sevens.num_background == pytest.approx(4)


@settings(max_examples=50, deadline=None)
@given(
    scores=arrays(np.int64, 30, elements=st.integers(0, 9)),
    is_signal=arrays(np.bool_, 30),
    jet_weights=arrays(np.float64, 30, elements=st.floats(0.5, 4)),
)
def test_roc_with_ties_and_weights_is_that_of_scikit_learn(scores, is_signal, jet_weights):
    is_signal[:2] = True, False  # at least one of each
    curve = metrics.roc(scores.astype(float), is_signal, jet_weights)
    eps_b, eps_s, thresholds = roc_curve(
        is_signal, scores, sample_weight=jet_weights, drop_intermediate=False
    )
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.eps_s, eps_s, atol=1e-12)
    np.testing.assert_allclose(curve.eps_b, eps_b, atol=1e-12)


def test_roc_without_background_or_without_jets_has_no_rejection():
    for num_jets in (0, 3):
        curve = metrics.roc(np.arange(float(num_jets)), np.ones(num_jets, dtype=bool))
        assert math.isnan(curve.rejection(0.5).value)
        assert not curve.rejection(0.5).is_limit
        assert math.isnan(curve.threshold(0.5))
