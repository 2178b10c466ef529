import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from parttag import metrics
from parttag.errors import InputError

TEN = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def gaussian_jets(num_jets: int, distance: float, seed: int = 0):
    """Return logits and labels of two classes whose logit differences are unit Gaussians."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, num_jets)
    score = rng.normal(size=num_jets) + distance * (0.5 - labels)
    return np.stack([score / 2, -score / 2], axis=1), labels


def class_jets(num_jets: int, num_classes: int, pull: float = 1.5, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_jets)
    logits = rng.normal(size=(num_jets, num_classes))
    logits[np.arange(num_jets), labels] += pull
    return logits, labels


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


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


def test_gaussian_jets_give_the_known_accuracy_auc_and_rejection():
    logits, labels = gaussian_jets(200_000, distance=2.0)
    found = metrics.measure(logits, labels, ("top", "QCD"))
    half = found.rejection["top"][0.5]
    assert abs(found.accuracy.value - normal_cdf(1.0)) < 4 * found.accuracy.error
    assert abs(found.auc.value - normal_cdf(math.sqrt(2))) < 4 * found.auc.error
    # At 50 % the cut is at the mean of the signal.
    assert abs(half.value - 1 / normal_cdf(-2.0)) < 4 * half.error
    assert found.threshold["top"][0.5] == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)
    # Binomial and Hanley-McNeil-like sizes of the errors, for 200,000 jets.
    assert found.accuracy.error == pytest.approx(math.sqrt(0.841 * 0.159 / 200_000), rel=0.2)
    assert 0.0005 < found.auc.error < 0.0009


def test_errors_cover_the_truth_as_often_as_they_should():
    pulls = []
    for seed in range(80):
        logits, labels = gaussian_jets(600, distance=2.0, seed=seed)
        errors = metrics.bootstrap_errors(logits, labels, resamples=60, seed=seed)
        half = metrics.class_rocs(logits, labels, ("top", "QCD"))["top"].rejection(0.8)
        pulls.append(
            [
                (metrics.accuracy(logits, labels) - normal_cdf(1.0)) / errors[0],
                (metrics.auc(logits, labels) - normal_cdf(math.sqrt(2))) / errors[1],
                # In ε_B, whose distribution is far nearer to a Gaussian than that of 1/ε_B.
                (1 / half.value - normal_cdf(0.8416 - 2.0)) / (half.error / half.value**2),
            ]
        )
    within = (np.abs(pulls) < 1).mean(axis=0)
    assert (within[:2] > 0.55).all()
    assert (within[:2] < 0.82).all()
    # The error of the rejection leaves out that of the cut, so it covers a little less.
    assert 0.45 < within[2] < 0.82


@pytest.mark.parametrize("num_classes", [2, 3])
def test_bootstrap_errors_are_those_of_a_plain_bootstrap(num_classes):
    logits, labels = class_jets(500, num_classes)
    rng = np.random.default_rng(1)
    plain = []
    for _ in range(60):
        rows = rng.integers(0, 500, 500)
        plain.append(
            (
                metrics.accuracy(logits[rows], labels[rows]),
                metrics.auc(logits[rows], labels[rows]),
            )
        )
    errors = metrics.bootstrap_errors(logits, labels, resamples=300)
    np.testing.assert_allclose(errors, np.std(plain, axis=0), rtol=0.35)


def test_bootstrap_errors_repeat_with_the_seed_and_differ_without():
    logits, labels = class_jets(300, 2)
    first = metrics.bootstrap_errors(logits, labels, seed=1)
    assert first == metrics.bootstrap_errors(logits, labels, seed=1)
    assert first != metrics.bootstrap_errors(logits, labels, seed=2)


def test_unequal_weights_make_the_errors_larger():
    logits, labels = class_jets(2000, 2)
    equal = metrics.bootstrap_errors(logits, labels)
    weights = np.where(np.arange(2000) % 10 == 0, 10.0, 0.1)
    unequal = metrics.bootstrap_errors(logits, labels, weights)
    # One jet in ten carries the weight: about √10 on the errors.
    np.testing.assert_allclose(np.divide(unequal, equal), math.sqrt(8.4), rtol=0.3)


def test_auc_of_several_classes_is_scikit_learns_macro_one_vs_one():
    logits, labels = class_jets(400, 5)
    expected = roc_auc_score(labels, softmax(logits), multi_class="ovo", average="macro")
    assert metrics.auc(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_auc_of_two_classes_is_scikit_learns_with_weights():
    logits, labels = class_jets(400, 2)
    jet_weights = np.random.default_rng(0).uniform(0, 3, 400)
    expected = roc_auc_score(labels == 0, logits[:, 0] - logits[:, 1], sample_weight=jet_weights)
    assert metrics.auc(logits, labels, jet_weights) == pytest.approx(expected)


def test_auc_ranks_jets_that_the_softmax_of_float32_ties():
    logits = np.array([[30, -30], [25, -25], [20, -20], [15, -15]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1])
    assert (softmax(logits)[:, 0] == 1).all()
    assert metrics.auc(logits, labels) == 1.0


def test_equal_scores_count_one_half_in_the_auc():
    assert metrics.auc(np.zeros((6, 2)), np.array([0, 1, 0, 1, 1, 1])) == 0.5


def test_classes_without_jets_are_left_out_of_the_auc():
    logits, labels = class_jets(300, 4)
    present = labels != 2
    # Without its jets the class still takes probability, as it does in use.
    pairs = [(0, 1), (0, 3), (1, 0), (1, 3), (3, 0), (3, 1)]
    areas = []
    for signal, background in pairs:
        rows = (labels == signal) | (labels == background)
        areas.append(roc_auc_score(labels[rows] == signal, softmax(logits)[rows, signal]))
    assert metrics.auc(logits[present], labels[present]) == pytest.approx(np.mean(areas))


def test_cross_entropy_is_scikit_learns_and_survives_large_logits():
    logits, labels = class_jets(200, 3)
    jet_weights = np.random.default_rng(0).uniform(0, 3, 200)
    expected = log_loss(labels, softmax(logits), sample_weight=jet_weights)
    assert metrics.cross_entropy(logits, labels, jet_weights) == pytest.approx(expected)
    huge = np.array([[1000.0, -1000.0]])
    assert metrics.cross_entropy(huge, np.array([1])) == pytest.approx(2000)


def test_accuracy_is_the_weighted_share_at_argmax():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    labels = np.array([0, 1, 1])
    assert metrics.accuracy(logits, labels) == pytest.approx(2 / 3)
    assert metrics.accuracy(logits, labels, np.array([1.0, 1.0, 2.0])) == pytest.approx(0.5)


def test_the_score_of_a_class_against_qcd_orders_jets_as_its_share_of_the_two():
    logits, _ = class_jets(100, 10)
    scores = softmax(logits)
    share = scores[:, 3] / (scores[:, 3] + scores[:, 0])
    order = np.argsort(metrics.discriminant(logits, 3, 0))
    np.testing.assert_array_equal(order, np.argsort(share))


def test_metrics_of_two_classes_have_the_layout_of_the_file():
    logits, labels = gaussian_jets(400, 2.0)
    found = json.loads(
        json.dumps(metrics.measure(logits, labels, ("top", "QCD")).to_json(), allow_nan=False)
    )
    assert list(found) == ["accuracy", "auc", "rejection", "threshold", "num_jets", "loss"]
    assert set(found["accuracy"]) == set(found["auc"]) == {"value", "error"}
    assert set(found["rejection"]) == set(found["threshold"]) == {"0.5", "0.3"}
    assert set(found["rejection"]["0.5"]) == {"value", "error"}
    assert found["num_jets"] == {"top": int((labels == 0).sum()), "QCD": int(labels.sum())}


def test_metrics_of_ten_classes_give_each_its_rejection_at_the_papers_efficiency():
    logits, labels = class_jets(2000, 10)
    found = metrics.measure(logits, labels, TEN).to_json()
    assert set(found["rejection"]) == set(TEN) - {"QCD"}
    efficiencies = {name: list(points) for name, points in found["rejection"].items()}
    assert efficiencies.pop("Hqql") == ["0.99"]
    assert efficiencies.pop("Tbl") == ["0.995"]
    assert all(points == ["0.5"] for points in efficiencies.values())
    rows = (labels == 0) | (labels == 8)
    curve = metrics.roc(logits[rows, 8] - logits[rows, 0], labels[rows] == 8)
    assert found["rejection"]["Tbqq"]["0.5"]["value"] == curve.rejection(0.5).value


def test_thresholds_apply_to_the_signal_score():
    logits, labels = gaussian_jets(1000, 1.0)
    found = metrics.measure(logits, labels, ("top", "QCD"))
    scores = softmax(logits)[labels == 0, 0]
    for eps_s, threshold in found.threshold["top"].items():
        assert (scores >= threshold - 1e-9).mean() == pytest.approx(eps_s, abs=0.003)


def test_the_background_is_qcd_wherever_it_stands_else_the_second_of_two():
    assert metrics.background_class(("QCD", "top")) == "QCD"
    assert metrics.background_class(("quark", "gluon")) == "gluon"
    assert metrics.background_class(("a", "b", "c")) is None
    assert metrics.working_points(("QCD", "top")) == {"top": (0.5, 0.3)}


def test_several_classes_without_qcd_have_no_rejection():
    logits, labels = class_jets(100, 3)
    found = metrics.measure(logits, labels, ("a", "b", "c")).to_json()
    assert found["rejection"] == found["threshold"] == {}
    assert found["auc"]["value"] > 0.5


def test_jets_of_one_class_have_an_accuracy_and_nothing_to_compare_with():
    logits, labels = gaussian_jets(200, 2.0)
    signal = labels == 0
    found = metrics.measure(logits[signal], labels[signal], ("top", "QCD")).to_json()
    assert 0.5 < found["accuracy"]["value"] <= 1
    assert found["auc"] == {"value": None, "error": None}
    assert found["rejection"]["0.3"] == {"value": None, "error": None}
    assert found["threshold"]["0.3"] is None


def test_no_jets_at_all_give_nulls():
    found = metrics.measure(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), ("top", "QCD")).to_json()
    assert found["accuracy"] == {"value": None, "error": None}
    assert found["loss"] is None
    assert found["num_jets"] == {"top": 0, "QCD": 0}


def test_resamples_that_lose_a_class_do_not_spoil_the_error():
    logits, labels = gaussian_jets(4, 1.0)
    labels[:] = 0, 0, 1, 1
    assert math.isfinite(metrics.bootstrap_errors(logits, labels)[1])


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_a_weight_that_is_no_weight_is_refused(bad):
    logits, labels = gaussian_jets(10, 1.0)
    jet_weights = np.ones(10)
    jet_weights[3] = bad
    with pytest.raises(InputError, match="1 of 10 are negative or not finite"):
        metrics.measure(logits, labels, ("top", "QCD"), jet_weights)
