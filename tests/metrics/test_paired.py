"""Differences of two taggers on the same jets: their errors on toys, and known answers."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.logits import class_jets
from parttag import metrics
from parttag.metrics.paired import correlations, disagreements, influences

TOP_AND_QCD = ("top", "QCD")
OPTIONS = metrics.EvaluationOptions(background="QCD", working_points=[0.5])


def two_taggers(correlation: float, number: int, seed: int):
    """Return logits of two equally good taggers whose scores have a correlation, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], number // 2)
    common = rng.normal(size=number)
    logits = []
    for _ in range(2):
        noise = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * rng.normal(
            size=number
        )
        logits.append(np.stack([noise + 2.0 * (labels == 0), np.ones(number)], axis=1))
    return *logits, labels


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_paired_errors_are_the_true_spread_of_the_differences(correlation):
    names = ["accuracy", "auc", ("top", 0.5)]
    values, errors, in_quadrature = [], [], []
    for seed in range(150):
        first, second, labels = two_taggers(correlation, 2000, seed)
        ours, theirs = (influences(x, labels, TOP_AND_QCD, None, OPTIONS) for x in (first, second))
        pairs = [(ours[n], theirs[n]) for n in names[:2]]
        pairs.append(tuple(of[names[2]].as_log_rejection() for of in (ours, theirs)))
        found = [one.minus(other) for one, other in pairs]
        values.append([f.value for f in found])
        errors.append([f.error for f in found])
        in_quadrature.append([math.hypot(one.error, other.error) for one, other in pairs])
    true = np.std(values, axis=0, ddof=1)
    # The true spread of 150 toys is known to 6 %.
    np.testing.assert_allclose(np.mean(errors, axis=0) / true, 1, atol=0.18)
    naive = np.mean(in_quadrature, axis=0) / true
    assert (naive[1:] > (0.85 if correlation == 0 else 1.3)).all()


def test_the_error_of_an_auc_is_that_of_the_bootstrap():
    first, _, labels = two_taggers(0.0, 2000, 0)
    weights = np.random.default_rng(1).uniform(0.5, 2, 2000)
    found = influences(first, labels, TOP_AND_QCD, weights, OPTIONS)
    expected = metrics.bootstrap_errors(first, labels, weights)
    np.testing.assert_allclose([found[n].error for n in ("accuracy", "auc")], expected, rtol=0.2)
    area = roc_auc_score(labels == 0, first[:, 0], sample_weight=weights)
    assert found["auc"].value == pytest.approx(area)
    logits, labels = class_jets(2000, 3)
    several = influences(logits, labels, ("a", "b", "c"))
    assert several["auc"].error == pytest.approx(
        metrics.bootstrap_errors(logits, labels)[1], rel=0.2
    )


def test_the_error_of_a_rejection_is_that_of_its_interval():
    first, _, labels = two_taggers(0.0, 4000, 3)
    one = influences(first, labels, TOP_AND_QCD, None, OPTIONS)[("top", 0.5)].as_log_rejection()
    estimate = metrics.rejection_interval(first[:, 0], labels == 0, 0.5)
    assert math.exp(one.value) == pytest.approx(estimate.value)
    assert one.error == pytest.approx(math.log(estimate.high / estimate.value), rel=0.03)


def test_at_fixed_cuts_the_variance_is_that_of_the_jets_that_one_cut_alone_passes():
    # The background of n10 jets that only the first passes, n01 only the second: the published
    # [n10 + n01 − (n10 − n01)²/N]/N², signal apart from it by so much that it fixes the cut.
    background = np.zeros((1000, 2))
    background[:40, 0], background[30:90, 1] = 5.0, 5.0
    signal = np.linspace(4, 6, 100_000)
    labels = np.repeat([0, 1], [100_000, 1000])
    logits = [
        np.stack([np.concatenate([signal, background[:, i]]), np.zeros(101_000)], axis=1)
        for i in range(2)
    ]
    options = metrics.EvaluationOptions(background="QCD", working_points=[0.6])
    first, second = (influences(x, labels, TOP_AND_QCD, None, options) for x in logits)
    found = first[("top", 0.6)].minus(second[("top", 0.6)])
    n10, n01 = 30, 50
    assert found.value == pytest.approx((n10 - n01) / 1000, abs=1e-4)
    variance = (n10 + n01 - (n10 - n01) ** 2 / 1000) / 1000**2
    assert found.error == pytest.approx(math.sqrt(variance), rel=0.01)


def test_equal_taggers_do_not_differ_and_agree_about_every_jet():
    first, second, labels = two_taggers(0.9, 600, 5)
    ours = influences(first, labels, TOP_AND_QCD, None, OPTIONS)
    for one in ours.values():
        assert (one.minus(one).value, one.minus(one).error) == (0, 0)
    parts = {"top": labels == 0, "none": np.zeros(600, dtype=bool)}
    same, _ = disagreements(first, first, labels, None, parts)
    assert (same.num_jets, same.share) == (300, 0)
    found, none = disagreements(first, second, labels, None, parts)
    differ = first.argmax(axis=1) != second.argmax(axis=1)
    assert found.share == pytest.approx(differ[:300].mean())
    assert found.share == pytest.approx(found.first_right + found.second_right)
    assert math.isnan(none.share)
    rank = correlations(first, second, labels, TOP_AND_QCD, OPTIONS)
    assert 0.85 < rank["top"] < 0.93
    assert correlations(first, first, labels, TOP_AND_QCD, OPTIONS)["QCD"] == pytest.approx(1)


def test_a_rejection_that_no_jet_survives_has_no_ratio():
    labels = np.repeat([0, 1], 100)
    logits = np.stack([(labels == 0) * 1.0, np.zeros(200)], axis=1)
    one = influences(logits, labels, TOP_AND_QCD, None, OPTIONS)[("top", 0.5)]
    assert one.value == 0
    assert math.isnan(one.as_log_rejection().value)
