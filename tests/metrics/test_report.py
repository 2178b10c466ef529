"""Reports: their file, files of schema 1, and how they are read on a screen."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from helpers.logits import class_jets, gaussian_jets
from parttag.errors import InputError
from parttag.metrics import (
    Estimate,
    EvaluationOptions,
    MassShape,
    ProbeFit,
    Report,
    Sculpting,
    measure,
)

# Files of schema 1, as the last version that wrote them made them of 60 and of 90 jets.
TWO_CLASSES = """
{"accuracy": {"value": 0.9667, "error": 0.024}, "auc": {"value": 0.9966, "error": 0.004197},
 "rejection": {"0.5": {"value": 11.86, "error": null, "lower_limit": true},
               "0.3": {"value": 9.5, "error": 2.5}},
 "threshold": {"0.5": 0.9135, "0.3": null}, "num_jets": {"top": 26, "QCD": 34}, "loss": 0.1936,
 "rejection_by_pt": {"pt_edges": [500.0, 600.0], "num_jets": {"top": [26], "QCD": [34]},
   "rejection": {"0.5": [{"value": 11.86, "error": null, "lower_limit": true}]},
   "one_cut": {"eps_s": {"0.5": [{"value": 0.5, "error": 0.09806}]},
               "rejection": {"0.5": [{"value": 12.0, "error": 3.0}]}}},
 "mass_sculpting": {"eps_s": 0.5,
   "before": {"num_jets": 34, "mean": {"value": 52.72, "error": 11.39},
              "median": {"value": 31.81, "error": 9.04}},
   "after": {"num_jets": 0, "mean": {"value": null, "error": null},
             "median": {"value": null, "error": null}},
   "jensen_shannon": {"value": null, "error": null}, "by_chance": {"value": null, "error": null}},
 "num_left_out": {"bad": 1, "no_class": 2}, "data": ["test.h5"],
 "probe": {"of": "linear", "num_jets": 30, "data": ["train.h5"], "width": 8, "C": 0.1}}
"""
THREE_CLASSES = """
{"accuracy": {"value": 0.7333, "error": 0.0422}, "auc": {"value": 0.8877, "error": 0.02717},
 "rejection": {"Hbb": {"0.5": {"value": 24.0, "error": 23.49}},
               "Hqql": {"0.99": {"value": 1.043, "error": 0.04441}}},
 "threshold": {"Hbb": {"0.5": 0.8527}, "Hqql": {"0.99": 0.02705}},
 "num_jets": {"QCD": 24, "Hbb": 34, "Hqql": 32}, "loss": 0.6411, "rejection_by_pt": {},
 "mass_sculpting": {"eps_s": 0.5,
   "Hbb": {"before": {"num_jets": 24, "mean": {"value": 65.16, "error": 12.97},
                      "median": {"value": 38.71, "error": 13.02}},
           "after": {"num_jets": 1, "mean": {"value": 36.25, "error": null},
                     "median": {"value": 36.25, "error": null}},
           "jensen_shannon": {"value": 0.5579, "error": 0.01},
           "by_chance": {"value": 0.5579, "error": 0.02}}},
 "num_left_out": {"bad": 0, "no_class": 0}, "data": []}
"""


def report() -> Report:
    """Return a report in which everything is filled."""
    logits, labels = gaussian_jets(2000, 2.0)
    rng = np.random.default_rng(1)
    found = measure(
        logits,
        labels,
        ("top", "QCD"),
        jet_pt=rng.uniform(500, 600, 2000),
        jet_mass=rng.exponential(60, 2000),
    )
    return replace(
        found,
        extra={"mine": Estimate(3.0)},
        num_left_out={"bad": 2, "outside_cuts": 1000},
        data=("a.h5",),
        probe=ProbeFit("raw", 10, ("b.h5",), 140, 0.1),
    )


def test_a_report_comes_back_from_its_file(tmp_path):
    content = report().to_json()
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(content, allow_nan=False))
    assert content["schema_version"] == 3
    for source in (path, str(path), content):
        again = Report.from_json(source)
        assert again.to_json() == content
        assert again.rejection == report().rejection
        assert again.rejection["top"][0.5].value > 1


def test_two_classes_of_schema_1_get_the_name_of_their_signal(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(TWO_CLASSES)
    found = Report.from_json(path)
    assert found.background == ("QCD",)
    limit = found.rejection["top"][0.5]
    assert (limit.value, limit.is_limit) == (11.86, True)
    assert found.rejection["top"][0.3] == Estimate(9.5, 2.5, scale="log")
    assert found.errors_of_counts
    assert any("an older parttag" in sentence for sentence in found.sentences())
    assert found.threshold["top"][0.5] == 0.9135
    assert math.isnan(found.threshold["top"][0.3])
    assert found.rejection_by_pt.one_cut_rejection == {
        "top": {0.5: (Estimate(12.0, 3.0, scale="log"),)}
    }
    assert found.mass_sculpting["top"].eps_s == 0.5
    assert found.mass_sculpting["top"].before.mean == Estimate(52.72, 11.39)
    assert found.probe == ProbeFit("linear", 30, ("train.h5",), 8, 0.1)
    assert math.isnan(found.mass_sculpting["top"].excess)
    assert found.to_json()["schema_version"] == 3
    # QCD is the background wherever it stands.
    swapped = json.loads(TWO_CLASSES) | {"num_jets": {"QCD": 34, "W": 26}}
    assert list(Report.from_json(swapped).rejection) == ["W"]
    quarks = json.loads(TWO_CLASSES) | {"num_jets": {"quark": 34, "gluon": 26}}
    assert list(Report.from_json(quarks).rejection) == ["quark"]


def test_several_classes_of_schema_1_keep_their_signals():
    found = Report.from_json(json.loads(THREE_CLASSES))
    assert found.background == ("QCD",)
    assert found.rejection["Hqql"] == {0.99: Estimate(1.043, 0.04441, scale="log")}
    assert list(found.mass_sculpting) == ["Hbb"]
    sculpting = found.mass_sculpting["Hbb"]
    assert sculpting.eps_s == 0.5
    assert (sculpting.jensen_shannon, sculpting.spread, sculpting.excess) == (0.5579, 0.01, 0)
    assert found.rejection_by_pt is None
    nothing = {"num_jets": {"a": 1, "b": 2, "c": 3}, "rejection": {}, "threshold": {}}
    found = Report.from_json(json.loads(THREE_CLASSES) | nothing | {"mass_sculpting": {}})
    assert (found.background, found.rejection) == ((), {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '{"schema_version": 4}',
            "was made by a newer parttag: it is a report of schema_version 4",
        ),
        ("{", "is damaged or cut short"),
        ("[]", "is damaged or cut short"),
        ('{"schema_version": 2}', "is damaged or cut short"),
        (TWO_CLASSES.replace('"value": 0.9667', '"value": "x"'), "is damaged or cut short"),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"metrics\.json {sentence}"):
        Report.from_json(path)
    with pytest.raises(InputError, match=r"other\.json: there is no such file"):
        Report.from_json(tmp_path / "other.json")


def test_a_report_is_read_as_a_table():
    text = repr(report())
    lines = text.splitlines()
    assert lines[0] == "against QCD"
    assert lines[1].split() == ["value", "error"]
    found = report()
    half = found.rejection["top"][0.5]
    (line,) = (line for line in lines if line.startswith("top: 1/ε_B at ε_S = 0.5"))
    above, below = half.high - half.value, half.value - half.low
    assert line.split()[-3:] == [f"{half.value:.1f}", f"+{above:.1f}", f"−{below:.1f}"]
    assert next(line for line in lines if line.startswith("mine")).split() == ["mine", "3", "–"]
    assert f"jets: {found.num_jets['top']:,} top" in text
    assert "left out: 2 bad, 1,000 outside the cuts" in text
    assert len({line.rfind(".") for line in lines if line.startswith(("accuracy", "loss"))}) == 2


def test_html_has_the_same_numbers_and_no_markup_of_a_name():
    logits, labels = gaussian_jets(200, 2.0)
    found = measure(logits, labels, ("<b>top", "QCD"))
    html = found._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;top: 1/ε_B at ε_S = 0.5" in html
    assert f">{found.auc.value:.4f}<" in html


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(241.04, 52.02), "Estimate(241.0 ± 52.0)"),
        (Estimate(0.92934, 0.00124), "Estimate(0.9293 ± 0.0012)"),
        (Estimate(1335.7, is_limit=True), "Estimate(> 1336 at 95 % CL)"),
        (Estimate(0.25), "Estimate(0.25)"),
        (Estimate(2.0, 0.0), "Estimate(2.0 ± 0.0)"),
        (Estimate(723.0, 273.0, scale="log"), "Estimate(723 +332 −227)"),
        (Estimate(0.9801, 0.0011, scale="logit"), "Estimate(0.9801 ± 0.0011)"),
        (Estimate(0.995, 0.004, scale="logit"), "Estimate(0.9950 +0.0028 −0.0061)"),
        (Estimate(math.nan), "Estimate(nan)"),
    ],
)
def test_an_estimate_shows_its_error_or_that_it_is_a_limit(estimate, text):
    assert repr(estimate) == text


def test_only_what_is_asked_for_is_measured():
    logits, labels = class_jets(300, 3)
    options = EvaluationOptions(background="a", working_points={"b": [0.5]}, metrics=["rejection"])
    found = measure(logits, labels, ("a", "b", "c"), options=options)
    assert list(found.rejection) == ["b"]
    assert math.isnan(found.accuracy.value)
    assert math.isnan(found.loss)


def test_sculpting_is_one_sentence_for_each_signal_class():
    before = MassShape(10, Estimate(80.0, 1.0), Estimate(71.6, 1.0))
    after = MassShape(10, Estimate(80.0, 1.0), Estimate(151.2, 9.0))
    chance = Estimate(0.111, 0.02)
    known = Sculpting(0.5, before, after, 0.434, 0.05, chance, 0.419, 20)
    unknown = replace(known, jensen_shannon=math.nan)
    found = Report(num_jets={"Hbb": 1}, mass_sculpting={"Hbb": known, "Tbl": unknown})
    assert found.sentences() == [
        "jets: 1 Hbb",
        "Hbb: median background mass 72 GeV, after the cut at ε_S = 0.5 151 GeV; Jensen–Shannon "
        "distance 0.43, by chance 0.11 ± 0.02, beyond it 0.42 (in 20 bins)",
        "Tbl: too few background jets pass the cut at ε_S = 0.5 to see their mass",
    ]
