"""Cuts that keep what they are asked to, in bins, and the files that say them."""

import json

import correctionlib
import numpy as np
import pytest
from correctionlib import schemav2

from parttag.errors import InputError
from parttag.metrics import EvaluationOptions, check_options
from parttag.metrics.fraction_scan import FRACTIONS, scan_fractions
from parttag.metrics.working_point_tables import (
    NO_JET_PASSES,
    from_content,
    to_content,
    to_correctionlib,
)
from parttag.metrics.working_points import measure_working_points, short_decimal

CLASSES = ("b", "c", "light")
PT, ETA = (20.0, 60.0, 200.0), (0.0, 1.0, 2.5)


class Jets:
    """Jets of three classes whose scores depend on pT, so that one cut does not do for all."""

    def __init__(self, number, seed=0):
        random = np.random.default_rng(seed)
        self.labels = random.integers(0, 3, number)
        self.pt = random.uniform(20, 200, number)
        self.eta = random.uniform(-2.5, 2.5, number)
        self.weights = random.uniform(0.5, 1.5, number)
        own = np.eye(3)[self.labels] * (1 + self.pt / 100)[:, None]
        self.logits = (own + random.normal(size=(number, 3))).astype(np.float32)

    def take(self, rows):
        found = object.__new__(Jets)
        for name, values in vars(self).items():
            setattr(found, name, values[rows])
        return found


def options(**tables):
    return EvaluationOptions.model_validate(
        {
            "background": ["c", "light"],
            "discriminant": {"b": {"c": 0.1, "light": 0.9}},
            "working_points": [0.5, 0.3],
            "tables": tables,
        }
    )


POINTS = {
    "loose": {"efficiency": 0.8},
    "tight": {"mistag": 0.02, "of": "light"},
    "both": {"mistag": 0.05},
}


def measured(jets, asked, weighted=True, **more):
    return measure_working_points(
        jets.logits,
        jets.labels,
        CLASSES,
        jets.weights if weighted else None,
        asked,
        jet_pt=jets.pt,
        jet_eta=jets.eta,
        **more,
    )


def shares(jets, passed, label, rows=slice(None)):
    own = jets.labels[rows] == label
    return np.average(passed[rows][own], weights=jets.weights[rows][own])


def test_cuts_keep_what_is_asked_in_every_bin():
    jets = Jets(6000)
    tables = measured(jets, options(points=POINTS, pt=PT, abs_eta=ETA))
    passed = tables.passing(jets.logits, jets.pt, jets.eta)
    for pt in range(2):
        for eta in range(2):
            rows = (PT[pt] <= jets.pt) & (jets.pt < PT[pt + 1])
            rows &= (ETA[eta] <= abs(jets.eta)) & (abs(jets.eta) < ETA[eta + 1])
            assert 0.8 <= shares(jets, passed["loose"], 0, rows) < 0.81
            assert 0.015 < shares(jets, passed["tight"], 2, rows) <= 0.02
            others = np.isin(jets.labels, [1, 2]) & rows
            share = np.average(passed["both"][others], weights=jets.weights[others])
            assert 0.045 < share <= 0.05
            number = 2 * pt + eta
            efficiency = tables.points["tight"].efficiencies["light"][number]
            assert efficiency.value == pytest.approx(shares(jets, passed["tight"], 2, rows))
    assert len(np.unique(tables.points["loose"].thresholds)) == 4


def test_a_jet_passes_by_its_discriminant():
    """p_b/(0.1 p_c + 0.9 p_light), from scores, without parttag."""
    jets = Jets(2000)
    tables = measured(jets, options(points={"half": {"efficiency": 0.5}}), weighted=False)
    scores = np.exp(jets.logits.astype(float))
    ratio = np.log(scores[:, 0] / (0.1 * scores[:, 1] + 0.9 * scores[:, 2]))
    own = np.sort(ratio[jets.labels == 0])[::-1]
    needed = -(-len(own) // 2)
    cut = float(tables.points["half"].thresholds)
    assert own[needed] < cut < own[needed - 1]
    passed = tables.passing(jets.logits, jets.pt, jets.eta)["half"]
    assert (passed == (ratio >= cut)).all()


def test_jets_outside_of_the_bins_and_without_scores_pass_nothing():
    jets = Jets(3000)
    tables = measured(jets, options(points=POINTS, pt=PT))
    best = np.array([[20.0, 0, 0]] * 5, dtype=np.float32)
    best[4] = np.nan
    passed = tables.passing(best, np.array([19.9, 20, 200, np.nan, 50]), np.zeros(5))
    assert passed["loose"].tolist() == [False, True, False, False, False]


def test_efficiencies_hold_on_other_jets_within_their_errors():
    """200 bootstrap toys: the cuts of each, on jets that they were not made with."""
    jets, others = Jets(1200, seed=1), Jets(2400, seed=2)
    asked = options(points={"half": {"efficiency": 0.5}, "few": {"mistag": 0.1, "of": "light"}})
    random = np.random.default_rng(3)
    pulls: dict[str, list[float]] = {"half": [], "few": []}
    for _ in range(200):
        sample = jets.take(random.integers(0, len(jets.pt), len(jets.pt)))
        tables = measured(sample, asked, weighted=False)
        again = others.take(random.integers(0, 2400, 2400))
        passed = tables.passing(again.logits, again.pt, again.eta)
        for name, label, share in (("half", 0, 0.5), ("few", 2, 0.1)):
            found = passed[name][again.labels == label]
            numbers = len(found), (sample.labels == label).sum()
            error = np.sqrt(share * (1 - share) * sum(1 / n for n in numbers))
            pulls[name].append((found.mean() - share) / error)
    for values in pulls.values():
        # All toys share the two samples that they are drawn from, whose own difference adds.
        assert abs(np.mean(values)) < 2.5
        assert 0.8 < np.std(values) < 1.2


def test_correctionlib_reads_all_of_it_bit_for_bit(tmp_path):
    jets = Jets(4000)
    asked = options(points=POINTS, pt=PT, abs_eta=ETA)
    tables = measured(jets, asked, calibration="T = 1.5")
    content = to_correctionlib(tables, {})
    schemav2.CorrectionSet.model_validate(content)
    path = tmp_path / "working_points.json"
    path.write_text(json.dumps(content))
    read = correctionlib.CorrectionSet.from_file(str(path))
    assert "T = 1.5" in read["threshold"].description
    for name, point in tables.points.items():
        for place in np.ndindex(2, 2):
            pt, eta = PT[place[0]], ETA[place[1]]
            number = 2 * place[0] + place[1]
            assert read["threshold"].evaluate(name, pt, eta) == point.thresholds[place]
            for kind in CLASSES:
                estimate = point.efficiencies[kind][number]
                assert read["efficiency"].evaluate(name, kind, pt, eta) == estimate.value
                assert read["efficiency_error"].evaluate(name, kind, pt, eta) == estimate.error
        assert read["threshold"].evaluate(name, 200.0, 0.5) == NO_JET_PASSES
    scores = np.exp(jets.logits.astype(float))
    scores /= scores.sum(axis=1, keepdims=True)
    found = read["discriminant_b"].evaluate(*scores.T)
    assert found == pytest.approx(tables.points["loose"].score(jets.logits), abs=1e-12)
    cuts = read["threshold"].evaluate("loose", jets.pt, abs(jets.eta))
    passed = tables.passing(jets.logits, jets.pt, jets.eta)["loose"]
    assert ((found >= cuts) == passed).all()


def test_numbers_of_any_size_are_read_as_they_are_written():
    random = np.random.default_rng(0)
    values = random.normal(size=2000) * 10.0 ** random.integers(-12, 9, 2000)
    numbers = [short_decimal(value) for value in values]
    assert numbers == pytest.approx(values, rel=1e-9)
    read = schemav2.Correction.model_validate(
        {
            "name": "all",
            "version": 1,
            "inputs": [{"name": "pt", "type": "real"}],
            "output": {"name": "value", "type": "real"},
            "data": {
                "nodetype": "binning",
                "input": "pt",
                "edges": list(range(2001)),
                "content": numbers,
                "flow": "error",
            },
        }
    ).to_evaluator()
    assert (read.evaluate(np.arange(2000) + 0.5) == numbers).all()


def test_yaml_content_keeps_all_of_it():
    jets = Jets(3000)
    tables = measured(jets, options(points=POINTS, pt=PT), calibration="T = 1.5")
    content = json.loads(json.dumps(to_content(tables, {}, ["a.h5"])))
    back = from_content(content)
    assert to_content(back, {}, ["a.h5"]) == content
    for name, passed in tables.passing(jets.logits, jets.pt, jets.eta).items():
        assert (back.passing(jets.logits, jets.pt, jets.eta)[name] == passed).all()


def test_points_of_the_section_by_default():
    tables = measured(Jets(500), options())
    assert {
        n: float(p.efficiencies["b"][0].value) >= s
        for (n, p), s in zip(tables.points.items(), (0.5, 0.3), strict=True)
    } == {"eff50": True, "eff30": True}
    few = measured(Jets(5), options(pt=[20, 30, 1000]))
    assert not few.points
    assert "there are" in few.left_out["eff50"]


@pytest.mark.parametrize(
    ("tables", "number", "sentence"),
    [
        (
            {"points": {"x": {"mistag": 0.001, "of": "c"}}},
            300,
            r"no jet of c decides .* 1000 or more",
        ),
        (
            {"points": {"x": {"efficiency": 0.5}}, "pt": [300, 400]},
            300,
            "pt 300 to 400: there are no",
        ),
        ({"points": {"x": {"efficiency": 0.5, "signal": "lite"}}}, 300, "the nearest is b"),
        ({"points": {"x": {"mistag": 0.5, "of": "lite"}}}, 300, "the nearest is light"),
    ],
)
def test_what_the_jets_do_not_determine(tables, number, sentence):
    with pytest.raises(InputError, match=sentence):
        measured(Jets(number), options(**tables))


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"points": {"x": {}}}, "one of efficiency and mistag"),
        ({"points": {"x": {"efficiency": 0.5, "of": "c"}}}, "of says what a mistag rate is of"),
        ({"points": {"x-y": {"efficiency": 0.5}}}, "letters, digits and _ only"),
        ({"pt": [3, 2]}, "do not rise"),
        ({"pt": 3}, "are no edges of bins"),
        ({"eta": [0, 1], "abs_eta": [0, 1]}, "one of eta and abs_eta"),
    ],
)
def test_options_that_are_wrong(tables, sentence):
    with pytest.raises(ValueError, match=sentence):
        options(**tables)


def test_a_scan_says_the_rejection_at_every_fraction(tmp_path):
    jets = Jets(1500)
    asked = options().model_copy(
        update={"fraction_scan": {"b": ("c", "light"), "c": ("b", "light")}}
    )
    check_options(CLASSES, asked)
    scans = scan_fractions(jets.logits, jets.labels, CLASSES, None, asked)
    scores = np.exp(jets.logits.astype(float))
    for number in (0, 10, len(FRACTIONS) - 1):
        f = FRACTIONS[number]
        ratio = scores[:, 1] / (f * scores[:, 0] + (1 - f) * scores[:, 2])
        cut = np.quantile(ratio[jets.labels == 1], 0.5)
        for name, label in (("b", 0), ("light", 2)):
            expected = 1 / (ratio[jets.labels == label] >= cut).mean()
            assert scans["c"].rejection[name][0.5][number].value == pytest.approx(expected, rel=0.1)
    best = scans["b"].best(0.5)
    products = [
        a.value * b.value
        for a, b in zip(*(points[0.5] for points in scans["b"].rejection.values()), strict=True)
    ]
    assert products[list(FRACTIONS).index(best)] == max(products)
    path = tmp_path / "scan.json"
    content = to_correctionlib(measured(jets, asked), scans)
    schemav2.CorrectionSet.model_validate(content)
    path.write_text(json.dumps(content))
    read = correctionlib.CorrectionSet.from_file(str(path))["fraction_scan_b"]
    for number, f in enumerate(FRACTIONS):
        expected = scans["b"].rejection["light"][0.3][number].value
        found = read.evaluate("light", "0.3", float(f))
        assert found == float(f"{expected:.15g}")


@pytest.mark.parametrize(
    ("scan", "sentence"),
    [
        ({"b": ("c", "lite")}, "the nearest is light"),
        ({"b": ("c", "b")}, "must be two classes besides b"),
    ],
)
def test_scans_that_do_not_fit(scan, sentence):
    with pytest.raises(InputError, match=sentence):
        check_options(CLASSES, options().model_copy(update={"fraction_scan": scan}))
