"""What pictures show as histograms of the package hist."""

import sys

import hist
import numpy as np
import pytest

from parttag import plotting as plots
from parttag.errors import InputError

RNG = np.random.default_rng(0)
SCORES = plots.SignalScores(
    {"top": RNG.normal(2, 1, 900), "QCD": RNG.normal(-2, 1, 700)},
    {"top": np.full(900, 2.0), "QCD": np.ones(700)},
    "ln [ p(top) / p(QCD) ]",
)


def test_histograms_of_scores_hold_every_jet_and_are_what_is_drawn():
    found = plots.score_histograms(SCORES)
    assert list(found) == ["top", "QCD"]
    axes = plots.scores(SCORES)
    outlines = [patch.get_data() for patch in axes.patches if not patch.get_fill()]
    for (name, histogram), outline in zip(found.items(), outlines, strict=True):
        assert isinstance(histogram, hist.Hist)
        weights = SCORES.jet_weights[name]
        total = histogram.sum(flow=True)
        assert total.value == pytest.approx(weights.sum())
        assert total.variance == pytest.approx((weights**2).sum())
        np.testing.assert_array_equal(histogram.axes[0].edges, outline.edges)
        np.testing.assert_allclose(histogram.values() / weights.sum(), outline.values)
        assert histogram.axes[0].label == SCORES.name


def test_histograms_of_a_variable_are_by_sample_and_class():
    values = {"top": RNG.normal(170, 10, 500), "QCD": RNG.exponential(80, 400)}
    weights = {name: np.ones(len(own)) for name, own in values.items()}
    samples = [plots.Sample("mine", values, weights), plots.Sample("theirs", values, weights)]
    found = plots.distribution_histograms(samples, "Jet mass", "GeV")
    assert list(found) == [(s, c) for s in ("mine", "theirs") for c in ("top", "QCD")]
    assert found["mine", "QCD"].sum(flow=True).value == 400
    assert found["mine", "QCD"].axes[0].label == "Jet mass [GeV]"
    np.testing.assert_array_equal(
        found["mine", "top"].values(),
        np.histogram(values["top"], found["mine", "top"].axes[0].edges)[0],
    )


def test_without_the_package_pictures_are_drawn_and_histograms_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hist", None)
    assert plots.scores(SCORES).has_data()
    with pytest.raises(InputError, match=r"install the extra, pip install 'parttag\[plot\]'"):
        plots.score_histograms(SCORES)
