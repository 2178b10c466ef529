import json
import math

import numpy as np
import pytest

from helpers.logits import class_jets, gaussian_jets, normal_cdf, softmax
from parttag import metrics
from parttag.errors import InputError

OF_JETCLASS = metrics.EvaluationOptions(
    background="QCD",
    working_points={"Hqql": [0.99], "Tbl": [0.995]}
    | {name: [0.5] for name in ("Hbb", "Hcc", "Hgg", "H4q", "Zqq", "Wqq", "Tbqq")},
)
TEN = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")


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


def test_metrics_of_two_classes_have_the_layout_of_the_file():
    logits, labels = gaussian_jets(400, 2.0)
    found = json.loads(
        json.dumps(metrics.measure(logits, labels, ("top", "QCD")).to_json(), allow_nan=False)
    )
    names = ["accuracy", "auc", "rejection", "threshold", "kept", "num_jets", "num_effective"]
    assert list(found)[:8] == ["schema_version", *names]
    assert found["schema_version"] == 3
    assert found["background"] == ["QCD"]
    interval = {"value", "error", "low", "high", "scale"}
    assert set(found["accuracy"]) == {"value", "error"}
    assert set(found["auc"]) == interval
    assert list(found["rejection"]) == list(found["threshold"]) == ["top"]
    assert list(found["rejection"]["top"]) == list(found["threshold"]["top"]) == ["0.5", "0.3"]
    assert set(found["rejection"]["top"]["0.5"]) == {*interval, "num_passing"}
    assert found["num_jets"] == {"top": int((labels == 0).sum()), "QCD": int(labels.sum())}


def test_metrics_of_ten_classes_give_each_its_rejection_at_the_papers_efficiency():
    logits, labels = class_jets(2000, 10)
    found = metrics.measure(logits, labels, TEN, options=OF_JETCLASS).to_json()
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


def test_several_classes_without_a_background_have_no_rejection():
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
    no_background = {"value": None, "error": None, "reason": "there are no background jets"}
    assert found["rejection"]["top"]["0.3"] == no_background
    assert found["threshold"]["top"]["0.3"] is None


def test_no_jets_at_all_give_nulls():
    found = metrics.measure(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), ("top", "QCD")).to_json()
    assert found["accuracy"] == {"value": None, "error": None}
    assert found["loss"] is None
    assert found["num_jets"] == {"top": 0, "QCD": 0}


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_weight_that_is_no_weight_is_refused(bad):
    logits, labels = gaussian_jets(10, 1.0)
    jet_weights = np.ones(10)
    jet_weights[3] = bad
    with pytest.raises(InputError, match="1 of 10 are not finite"):
        metrics.measure(logits, labels, ("top", "QCD"), jet_weights)
