import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_curve

from parttag import metrics

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


def test_rejection_has_the_binomial_error_of_the_background_count():
    estimate = metrics.roc(HAND_SCORES, HAND_SIGNAL).rejection(1.0)  # 2 of 4 jets survive
    assert estimate.value == pytest.approx(2.0)
    assert estimate.error == pytest.approx(math.sqrt(0.5 * 0.5 / 4) / 0.5**2)


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
    assert estimate.is_lower_limit
    # The efficiency at which all 100 jets fail with 5 % probability.
    assert (1 - 1 / estimate.value) ** 100 == pytest.approx(0.05)
    assert estimate.to_json() == {"value": estimate.value, "error": None, "lower_limit": True}


def test_limit_of_weighted_background_counts_effective_jets():
    scores = np.concatenate([np.ones(50), np.zeros(100)])
    weights = np.concatenate([np.ones(50), np.full(50, 2.0), np.full(50, 1.0)])
    estimate = metrics.roc(scores, scores == 1, weights).rejection(0.5)
    assert (1 - 1 / estimate.value) ** (150**2 / 250) == pytest.approx(0.05)


def test_integer_weights_act_as_repeated_jets_on_the_curve():
    repeats = np.array([1, 2, 3, 1, 2, 1, 2])
    weighted = metrics.roc(HAND_SCORES, HAND_SIGNAL, repeats.astype(float))
    repeated = metrics.roc(np.repeat(HAND_SCORES, repeats), np.repeat(HAND_SIGNAL, repeats))
    np.testing.assert_allclose(weighted.eps_s, repeated.eps_s)
    np.testing.assert_allclose(weighted.eps_b, repeated.eps_b)


def test_a_common_factor_of_the_weights_changes_nothing():
    ones = metrics.roc(HAND_SCORES, HAND_SIGNAL, np.ones(7))
    sevens = metrics.roc(HAND_SCORES, HAND_SIGNAL, np.full(7, 7.0))
    assert sevens.rejection(0.9).error == pytest.approx(ones.rejection(0.9).error)
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
        assert not curve.rejection(0.5).is_lower_limit
        assert math.isnan(curve.threshold(0.5))
