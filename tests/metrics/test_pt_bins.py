import json
import math

import numpy as np
import pytest

from helpers.logits import class_jets, gaussian_jets, normal_cdf
from parttag import metrics
from parttag.metrics.pt_bins import pt_edges

TOP_AND_QCD = ("top", "QCD")


def jets_in(low: float, high: float, number: int, seed: int = 0) -> np.ndarray:
    """Return pT in a range, falling as pT⁻⁵ as that of QCD jets does."""
    share = np.random.default_rng(seed).uniform(size=number)
    return (low**-4 + share * (high**-4 - low**-4)) ** -0.25


@pytest.mark.parametrize(
    ("window", "expected"),
    [((550, 650), [550, 570, 590, 620, 650]), ((500, 1000), [500, 520, 560, 600, 700, 1000])],
)
def test_edges_are_round_and_share_out_the_background(window, expected):
    pt = jets_in(*window, 5000)
    edges = pt_edges(pt, np.ones(5000, dtype=bool))
    assert edges[0] == window[0]
    assert edges[-1] == window[1]
    assert len(edges) == len(expected)
    np.testing.assert_allclose(edges, expected, rtol=0.06)
    np.testing.assert_array_equal(edges % 5, 0)
    assert (np.diff(edges) >= 0.03 * edges[1:]).all()
    shares = np.histogram(pt, edges)[0] / 5000
    np.testing.assert_allclose(shares, 1 / len(shares), atol=0.1)


def test_few_background_jets_have_few_bins():
    pt = jets_in(500, 1000, 1000)
    for number, bins in ((0, 1), (99, 1), (199, 1), (250, 2), (1000, 5)):
        assert len(pt_edges(pt, np.arange(1000) < number)) == bins + 1


def test_every_jet_is_in_a_bin_whatever_its_pt():
    background = jets_in(500, 600, 500)
    pt = np.concatenate([background, [3.2, 4000.0]])
    edges = pt_edges(pt, np.arange(502) < 500)
    assert edges[0] <= 3.2
    assert edges[-1] >= 4000
    same = pt_edges(np.full(300, 570.0), np.arange(300) < 200)
    assert len(same) == 2
    assert same[0] <= 570 <= same[-1]


def test_each_bin_is_the_sample_of_its_jets():
    logits, labels = gaussian_jets(4000, 2.0)
    pt = jets_in(500, 1000, 4000)
    weights = np.random.default_rng(1).uniform(0.5, 2, 4000)
    found = metrics.measure_by_pt(logits, labels, TOP_AND_QCD, pt, weights)
    cut = metrics.class_rocs(logits, labels, TOP_AND_QCD, weights)["top"].threshold(0.3)
    score = logits[:, 0] - logits[:, 1]
    for number, (low, high) in enumerate(zip(found.edges, found.edges[1:], strict=False)):
        rows = (pt >= low) & (pt < high)
        alone = metrics.class_rocs(logits[rows], labels[rows], TOP_AND_QCD, weights[rows])["top"]
        assert found.rejection["top"][0.3][number] == alone.rejection(0.3)
        top, qcd = rows & (labels == 0), rows & (labels == 1)
        kept = weights[top & (score >= cut)].sum() / weights[top].sum()
        assert found.one_cut_eps_s["top"][0.3][number].value == pytest.approx(kept)
        rejected = weights[qcd].sum() / weights[qcd & (score >= cut)].sum()
        assert found.one_cut_rejection["top"][0.3][number].value == pytest.approx(rejected)
        assert found.num_jets["top"][number] == top.sum()
        assert found.num_jets["QCD"][number] == qcd.sum()


def test_scores_that_grow_with_pt_spoil_the_one_cut_and_not_those_of_the_bins():
    logits, labels = gaussian_jets(200_000, 2.0)
    pt = np.random.default_rng(1).uniform(500, 1000, 200_000)
    logits[:, 0] += (pt - 750) / 250
    found = metrics.measure_by_pt(logits, labels, TOP_AND_QCD, pt)
    middle = (found.edges[:-1] + found.edges[1:]) / 2
    for number, place in enumerate(middle):
        own = found.rejection["top"][0.5][number]
        # Within a bin of 100 GeV the drift of ±0.2 is small against the width of 1.
        assert own.value == pytest.approx(1 / normal_cdf(-2.0), rel=0.12)
        cut = found.one_cut_eps_s["top"][0.5][number]
        drift = (place - 750) / 250
        assert cut.value == pytest.approx(normal_cdf(drift), abs=0.02)
        # Four fifths of the signal are in other bins: what is free of the sum that is given.
        binomial = cut.value * (1 - cut.value) / 20_000
        assert cut.error == pytest.approx(math.sqrt(0.8 * binomial), rel=0.1)
    tight = [estimate.value for estimate in found.one_cut_rejection["top"][0.5]]
    assert tight == sorted(tight, reverse=True)
    assert tight[0] > 5 * tight[-1]


def test_a_bin_that_no_background_survives_has_a_lower_limit():
    labels = np.repeat([0, 1], 400)
    logits = np.zeros((800, 2))
    logits[labels == 0, 0] = 1.0
    pt = np.tile(np.linspace(500, 1000, 400), 2)
    found = metrics.measure_by_pt(logits, labels, TOP_AND_QCD, pt)
    assert len(found.edges) == 5
    for estimates in (found.rejection, found.one_cut_rejection):
        for number, estimate in enumerate(estimates["top"][0.5]):
            assert estimate.is_limit
            num_qcd = found.num_jets["QCD"][number]
            assert (1 - 1 / estimate.value) ** num_qcd == pytest.approx(0.05)


def test_without_signal_jets_nothing_is_known_and_nothing_is_claimed():
    logits, labels = gaussian_jets(500, 2.0)
    rows = labels == 1
    found = metrics.measure_by_pt(
        logits[rows], labels[rows], TOP_AND_QCD, jets_in(500, 600, 500)[rows]
    )
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    for points in (content["rejection"], *content["one_cut"].values()):
        assert all(estimate["value"] is None for estimate in points["top"]["0.5"])
        assert all(estimate["error"] is None for estimate in points["top"]["0.5"])
    assert content["rejection"]["top"]["0.5"][0]["reason"] == "there are no signal jets"


def test_the_layout_has_a_number_for_each_bin_by_signal_class():
    logits, labels = gaussian_jets(2000, 2.0)
    pt = jets_in(500, 1000, 2000)
    found = metrics.measure_by_pt(logits, labels, TOP_AND_QCD, pt).to_json()
    assert list(found) == ["pt_edges", "num_jets", "rejection", "one_cut", "background"]
    num_bins = len(found["pt_edges"]) - 1
    assert num_bins == 5
    assert {name: sum(numbers) for name, numbers in found["num_jets"].items()} == {
        "top": (labels == 0).sum(),
        "QCD": (labels == 1).sum(),
    }
    assert [len(found["rejection"]["top"][eps_s]) for eps_s in ("0.5", "0.3")] == [num_bins] * 2
    logits, labels = class_jets(2000, 3)
    points = {"Hbb": [0.5], "Hqql": [0.99]}
    options = metrics.EvaluationOptions(background="QCD", working_points=points)
    classes = ("QCD", "Hbb", "Hqql")
    found = metrics.measure_by_pt(logits, labels, classes, pt, options=options).to_json()
    assert list(found["rejection"]) == ["Hbb", "Hqql"]
    assert list(found["one_cut"]["eps_s"]["Hqql"]) == ["0.99"]


def test_classes_without_a_background_have_no_bins():
    logits, labels = class_jets(50, 3)
    assert metrics.measure_by_pt(logits, labels, ("a", "b", "c"), np.full(50, 500.0)) is None
