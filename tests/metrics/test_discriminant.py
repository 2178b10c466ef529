"""Scores against several backgrounds, and which class is told apart from which."""

import numpy as np
import pytest

from helpers.logits import class_jets, softmax
from parttag import metrics
from parttag.errors import InputError
from parttag.metrics import EvaluationOptions, discriminants
from parttag.options import read_options

CLASSES = ("QCD", "Hbb", "Hcc", "light")


def test_the_score_is_the_ratio_of_probabilities_with_the_fractions_of_the_options():
    logits, _ = class_jets(500, 4)
    options = EvaluationOptions(background="QCD", discriminant={"Hbb": {"QCD": 0.9, "Hcc": 0.1}})
    p = softmax(logits)
    found = discriminants(CLASSES, options)
    expected = np.log(p[:, 1] / (0.9 * p[:, 0] + 0.1 * p[:, 2]))
    np.testing.assert_allclose(found["Hbb"](logits), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["Hcc"](logits), np.log(p[:, 2] / p[:, 0]), atol=1e-9)
    assert found["Hbb"].formula == "ln [ p(Hbb) / (0.9 p(QCD) + 0.1 p(Hcc)) ]"
    assert found["Hcc"].formula == "ln [ p(Hcc) / p(QCD) ]"


def test_scores_of_float32_logits_have_no_ties_where_the_softmax_has():
    logits = np.array([[0, 200], [0, 201]], dtype=np.float32)
    score = discriminants(("QCD", "top"), EvaluationOptions(background="QCD"))["top"](logits)
    assert score.dtype == np.float64
    assert score.tolist() == [200, 201]


def test_several_backgrounds_count_as_one_in_proportion_to_their_jets():
    logits, labels = class_jets(4000, 4)
    weights = np.random.default_rng(3).uniform(0.5, 2, 4000)
    options = EvaluationOptions(background=["QCD", "light"])
    p = softmax(logits)
    score = np.log(p[:, 1] / (p[:, 0] + p[:, 3]))
    signal = labels == 1
    found = metrics.measure(logits, labels, CLASSES, weights, options)
    assert list(found.rejection) == ["Hbb", "Hcc"]
    assert found.background == ("QCD", "light")
    # Restated: the cut that keeps half of the signal's weight.
    order = np.argsort(-score[signal])
    kept = np.cumsum(weights[signal][order]) / weights[signal].sum()
    cut = score[signal][order][np.searchsorted(kept, 0.5)]
    rest = (labels == 0) | (labels == 3)
    eps_b = weights[rest & (score >= cut)].sum() / weights[rest].sum()
    assert found.rejection["Hbb"][0.5].value == pytest.approx(1 / eps_b, rel=0.01)
    threshold = 1 / (1 + np.exp(-cut))
    assert found.threshold["Hbb"][0.5] == pytest.approx(threshold, rel=1e-9)


def test_without_a_choice_the_second_of_two_classes_is_the_background():
    found = discriminants(("quark", "gluon"), EvaluationOptions())
    assert list(found) == ["quark"]
    assert found["quark"].background == ("gluon",)
    assert found["quark"].working_points == (0.5, 0.3)
    assert discriminants(("a", "b", "c"), EvaluationOptions()) == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"background": "QDC"}, "evaluation.background: 'QDC' is none .* the nearest is QCD"),
        ({"background": list(CLASSES)}, "evaluation.background: name one class or several"),
        ({"background": []}, "evaluation.background: name one class or several"),
        (
            {"background": "QCD", "working_points": {"Hbbb": [0.5]}},
            "evaluation.working_points: 'Hbbb' is none .* the nearest is Hbb",
        ),
        (
            {"background": "QCD", "working_points": {"QCD": [0.5]}},
            "evaluation.working_points: 'QCD' is none of the classes Hbb, Hcc, light",
        ),
        ({"working_points": {"Hbb": [0.5]}}, "evaluation.working_points: there is no background"),
        (
            {"background": "QCD", "discriminant": {"Hbb": {"Hbb": 1}}},
            "evaluation.discriminant.Hbb: 'Hbb' is none of the classes QCD, Hcc, light",
        ),
        ({"metrics": ["accuracies"]}, "no metric 'accuracies'; the nearest known one is accuracy"),
    ],
)
def test_options_that_do_not_fit_the_classes_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        metrics.check_options(CLASSES, EvaluationOptions(**options))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"working_points": [1.5]}, r"working_points: \[1.5\] are no signal efficiencies"),
        ({"working_points": []}, r"working_points: \[\] are no signal efficiencies"),
        ({"working_points": {"a": ["x"]}}, r"working_points: a: \['x'\] are no signal"),
        ({"working_points": [0.5, 0.5]}, "has a signal efficiency twice"),
        ({"working_points": True}, "working_points: True are no signal efficiencies"),
        ({"discriminant": {"a": {"b": -1}}}, "discriminant.a.b is -1, but must be greater than 0"),
        (
            {"backgroundd": "a"},
            "backgroundd: there is no such key; the nearest known one is background",
        ),
    ],
)
def test_values_out_of_range_are_named_by_their_key(options, sentence):
    with pytest.raises(InputError, match=sentence):
        read_options(EvaluationOptions, options)


def test_a_working_point_may_be_one_number_and_is_a_key_that_reads_back():
    assert EvaluationOptions(working_points=0.4).working_points == (0.4,)
    assert EvaluationOptions(working_points={"a": 0.4}).points_of("a") == (0.4,)
    assert metrics.point_key(0.5) == "0.5"
    for eps_s in (0.3, 0.995, 1 / 3, 0.9999999):
        assert float(metrics.point_key(eps_s)) == eps_s
