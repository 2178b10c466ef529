import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from helpers.logits import class_jets, gaussian_jets, normal_cdf, softmax
from parttag import metrics


def test_errors_cover_the_truth_as_often_as_they_should():
    pulls = []
    for seed in range(80):
        logits, labels = gaussian_jets(600, distance=2.0, seed=seed)
        errors = metrics.bootstrap_errors(logits, labels, resamples=60, seed=1000 + seed)
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
    classes = tuple("0123456789")
    options = metrics.EvaluationOptions(background="0")
    order = np.argsort(metrics.discriminants(classes, options)["3"](logits))
    np.testing.assert_array_equal(order, np.argsort(share))


def test_resamples_that_lose_a_class_do_not_spoil_the_error():
    logits, labels = gaussian_jets(4, 1.0)
    labels[:] = 0, 0, 1, 1
    assert math.isfinite(metrics.bootstrap_errors(logits, labels)[1])
