"""Charts of what a network says besides the classes: targets, origins and vertices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parttag.evaluation.report.charts import (
    Cell,
    Chart,
    binned_layers,
    data,
    matrix,
    number,
    panels,
    quantitative,
    tip,
)
from parttag.metrics.estimate import Estimate
from parttag.metrics.particle_tasks import OriginReport, VertexReport
from parttag.metrics.regression import PREDICTION, RegressionReport
from parttag.metrics.tasks import TaskReport

Row = dict[str, Cell]

_MEASURES = ("resolution", "bias")


def task_charts(tasks: Mapping[str, TaskReport]) -> list[Chart]:
    """Return a chart of each task that has one."""
    found = []
    for name, report in tasks.items():
        if isinstance(report, RegressionReport):
            found.append(_regression_chart(name, report))
        elif isinstance(report, OriginReport):
            found.append(_origin_chart(name, report))
        elif isinstance(report, VertexReport):
            found.append(_vertex_chart(name, report))
    return found


def _regression_chart(name: str, report: RegressionReport) -> Chart:
    binned, rows = report.by_target, list[Row]()
    for which, found in binned.by.items():
        series = name if which == PREDICTION else which
        for measure in _MEASURES:
            estimates = [getattr(own, measure) for own in found]
            rows += _bins(series, measure, binned.edges, estimates)
    return _binned_chart(
        f"Resolution and bias of {name}",
        "Half of the width of the central 68 %, and the median, of the "
        + ("prediction over the truth, less 1" if report.response == "ratio" else "difference")
        + ", in bins of the truth, with errors.",
        rows,
        _MEASURES,
        f"true {name}",
    )


def _vertex_chart(name: str, report: VertexReport) -> Chart:
    rows = [
        *_bins("efficiency of true vertices", name, report.pt_edges, report.efficiency_by_pt),
        *_bins("purity of found vertices", name, report.pt_edges, report.purity_by_pt),
    ]
    return _binned_chart(
        "Vertices",
        "Share of the true vertices that are found, and of the found ones that are true, in bins "
        "of the jet's pT, with errors.",
        rows,
        (name,),
        "jet pT [GeV]",
    )


def _origin_chart(name: str, report: OriginReport) -> Chart:
    return Chart(
        f"Confusion of {name}",
        "Of the particles of each class, a row, the share that is given each class.",
        matrix(report.confusion, report.classes, "class given", "true class"),
        ["class", *(f"called {own}" for own in report.classes)],
        [
            [own, *(number(float(share)) for share in row)]
            for own, row in zip(report.classes, report.confusion, strict=True)
        ],
    )


def _bins(series: str, panel: str, edges: Sequence[float], found: Sequence[Estimate]) -> list[Row]:
    return [
        {
            "series": series,
            "signal": panel,
            "at": (low + high) / 2,
            "from": low,
            "to": high,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
        }
        for low, high, estimate in zip(edges[:-1], edges[1:], found, strict=True)
    ]


def _binned_chart(
    title: str, text: str, rows: Sequence[Row], names: Sequence[str], axis: str
) -> Chart:
    """Return numbers with errors in bins, a panel for each of some names."""
    series = list(dict.fromkeys(str(row["series"]) for row in rows))
    x, y = quantitative("at", axis), quantitative("value", "")
    tips = [
        tip("series", "of"),
        tip("signal", "what"),
        tip("from", "from", "~g"),
        tip("to", "to", "~g"),
        tip("value", "value", ".4~g"),
        tip("low", "interval from", ".4~g"),
        tip("high", "to", ".4~g"),
    ]
    layers = binned_layers(x, y, series, tips)
    numbers = ["at", "from", "to", "value", "low", "high"]
    spec = panels(layers, names, data(rows, numbers))
    if len(names) > 1:
        spec = {**spec, "resolve": {"scale": {"y": "independent"}}}
    lines = [
        [
            str(row["series"]),
            str(row["signal"]),
            f"{row['from']:.4g} to {row['to']:.4g}",
            number(float(str(row["value"])), 4),
        ]
        for row in rows
    ]
    return Chart(title, text, spec, ["of", "what", axis, "value"], lines)
