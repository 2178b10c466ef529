from itertools import pairwise

import numpy as np
import pytest

from parttag.benchmarks.options import RowOptions
from parttag.benchmarks.plan import Row
from parttag.benchmarks.plots import efficiency_figure, rejection_figure, rocs_figure
from parttag.benchmarks.results import Quantity, RowResult
from parttag.metrics import roc
from parttag.metrics.published import TOP_TAGGING

POINT = ("top", 0.5)


class Result(RowResult):
    """A row of given cost."""

    parameters = 1000
    multiply_adds = 2e6
    jets_seen = 1e5

    @property
    def auc(self):
        return Quantity(0.9 + 1e-6 * self.labels, 0.01, None)


def result(name, rejection, published=None, num_labels=None):
    row = Row(name, RowOptions(recipe="a.yaml"), {}, num_labels)
    return Result(row, {}, {}, published, {POINT: rejection})


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_row_has_a_roc_in_every_panel_that_none_shares_its_look_with():
    rng = np.random.default_rng(0)
    curve = roc(rng.normal(size=200), np.arange(200) % 2 == 0)
    rocs = {f"row {i} at $5": {"Hbb": curve, "Tbl": curve} for i in range(13)}
    figure = rocs_figure(rocs, "QCD")
    assert len(figure.axes) == 2
    assert labels(figure) == [rf"row {i} at \$5" for i in range(13)]
    for axes in figure.axes:
        looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
        assert len(looks) == 13


def test_rejection_stands_at_the_cost_of_its_row_and_the_published_beside():
    published = next(line for line in TOP_TAGGING if line.name == "PFN")
    rows = [
        result("PFN", Quantity(200.0, 500.0, 1.0), published),
        result("limit", Quantity(300.0, None, None, is_limit=True)),
        result("unknown", Quantity(None, None, None)),
    ]
    parameters = rejection_figure(rows, "parameters", published=True)
    cost = rejection_figure(rows, "training cost", published=False)
    note = "open: published, trained\non the full set"
    assert sorted(labels(parameters)) == ["PFN", "limit", note]
    assert labels(cost) == ["PFN", "limit"]
    places = {
        container.get_label(): tuple(container[0].get_xydata()[0])
        for figure in (parameters, cost)
        for container in figure.axes[0].containers
    }
    assert places["_PFN, published"] == (82e3, 247)
    assert places["PFN"] == (2e11, 200)
    assert parameters.axes[0].get_ylim()[0] >= 0.9


@pytest.mark.parametrize("last", [3e6, 5e7, 4e8])
def test_numbers_along_the_cost_do_not_run_into_one_another(last):
    rows = [result("first", Quantity(50.0, 5.0, None)), result("last", Quantity(60.0, 5.0, None))]
    rows[1].multiply_adds = last
    figure = rejection_figure(rows, "training cost", published=False)
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    texts = [t for t in axis.get_ticklabels(which="both") if t.get_text() and t.get_visible()]
    low, high = figure.axes[0].bbox.x0, figure.axes[0].bbox.x1
    boxes = sorted((t.get_window_extent() for t in texts), key=lambda box: box.x0)
    shown = [box for box in boxes if low <= (box.x0 + box.x1) / 2 <= high]
    assert shown
    assert all(one.x1 < other.x0 for one, other in pairwise(shown))


def test_each_row_is_a_line_over_its_numbers_of_labels():
    rows = [
        result("scratch", Quantity(80.0, 5.0, None), num_labels=10_000),
        result("scratch", Quantity(20.0, 3.0, None), num_labels=1_000),
        result("tuned", Quantity(90.0, None, None, is_limit=True), num_labels=1_000),
        result("tuned", Quantity(None, None, None), num_labels=10_000),
    ]
    figure = efficiency_figure(rows)
    assert labels(figure) == ["scratch", "tuned"]
    auc, rejection = (
        {container.get_label(): container[0].get_xydata() for container in axes.containers}
        for axes in figure.axes
    )
    scratch = np.array([[1_000, 0.901], [10_000, 0.91]])
    np.testing.assert_allclose(auc["scratch"], scratch, rtol=0.05)
    np.testing.assert_allclose(auc["scratch"][:, 1], scratch[:, 1])
    np.testing.assert_allclose(rejection["scratch"][:, 1], [20, 80])
    np.testing.assert_allclose(rejection["tuned"][:, 1], [90])
    # The bars are the spreads.
    (bars,) = (c[2][0] for c in figure.axes[0].containers if c.get_label() == "scratch")
    np.testing.assert_allclose([s[1, 1] - s[0, 1] for s in bars.get_segments()], [0.02, 0.02])
