"""The charts of a report: of all runs together, and of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from parttag.evaluation.report.charts import (
    WIDE,
    Cell,
    Chart,
    Spec,
    binned_layers,
    colored,
    dashed,
    data,
    matrix,
    number,
    panels,
    picked,
    quantitative,
    tip,
)
from parttag.evaluation.report.content import ReportedRun
from parttag.evaluation.report.task_pictures import task_charts
from parttag.metrics import Estimate, class_rocs, discriminants, passing_jets
from parttag.metrics.roc import FEWEST_SIGNAL, Roc
from parttag.plotting import signal_scores
from parttag.plotting.elements import bin_edges

# Jets of a histogram: fewer have no shape.
_FEWEST_OF_HISTOGRAM = 10
# Below it the curve of a ROC is not drawn: fewer background jets say nothing.
_LEAST_SURVIVORS = 2.0
_SHOWN_EFFICIENCIES = (0.3, 0.5, 0.7, 0.8, 0.9)
# Points of all curves of a chart together: a page is to stay small.
_MOST_POINTS = 6_000
_QUANTITIES = {"loss": "Loss", "accuracy": "Accuracy"}

Rows = list[dict[str, Cell]]


def rocs_of(run: ReportedRun) -> dict[str, Roc]:
    """Return the ROC of each signal class; none if the scores are not there."""
    if run.jets is None or not len(run.jets.labels):
        return {}
    jets = run.jets
    return class_rocs(jets.logits, jets.labels, jets.classes, jets.jet_weights, run.options)


def roc_chart(rocs: Mapping[str, Mapping[str, Roc]], backgrounds: str) -> Chart:
    """Return the rejection against the signal efficiency of every run, on top of each other.

    Parameters
    ----------
    rocs
        By run, then by signal class.
    backgrounds
        What is rejected.
    """
    signals = list(dict.fromkeys(signal for curves in rocs.values() for signal in curves))
    names = [name for name, curves in rocs.items() if curves]
    size = int(np.clip(_MOST_POINTS / max(len(names) * len(signals), 1), 25, 120))
    rows: Rows = []
    lines = []
    for name, curves in rocs.items():
        for signal, curve in curves.items():
            rows += [{"run": name, "signal": signal, **point} for point in _points(curve, size)]
            cells = [str(curve.rejection(eps)) for eps in _SHOWN_EFFICIENCIES]
            lines.append([name, signal, *("–" if c.startswith("nan") else c for c in cells)])
    params, opacity = picked("run")
    x = quantitative("eps_s", "Signal efficiency ε_S", domain=[0, 1])
    y = quantitative("rejection", f"Rejection of {backgrounds}, 1/ε_B", log=True)
    color = colored("run", None, names)
    near = {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}
    tips = [
        tip("run", "run"),
        tip("signal", "signal"),
        tip("eps_s", "ε_S", ".3f"),
        tip("rejection", "1/ε_B", ".4~g"),
        tip("low", "from", ".4~g"),
        tip("high", "to", ".4~g"),
    ]
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {
                "x": x,
                "y": {**y, "field": "low"},
                "y2": {"field": "high"},
                "color": color,
            },
        },
        {
            "params": params,
            "mark": {"type": "line", "strokeWidth": 2, "interpolate": "monotone"},
            "encoding": {
                "x": x,
                "y": y,
                "color": color,
                "strokeDash": dashed("run", names),
                "opacity": opacity,
            },
        },
        {
            "params": [{"name": "near", "select": near}],
            "mark": {"type": "point", "filled": True, "size": 70},
            "encoding": {
                "x": x,
                "y": y,
                "color": color,
                "opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0},
                "tooltip": tips,
            },
        },
    ]
    if not any("low" in row for row in rows):
        del layers[0]
    numbers = ["eps_s", "rejection", "low", "high"]
    return Chart(
        "ROC",
        f"Rejection of {backgrounds} against signal efficiency, with the 68 % interval; "
        f"{len(names)} run{'s' if len(names) > 1 else ''}. Hover for values; a click on a name in "
        "the legend picks it.",
        panels(layers, signals, data(rows, numbers)),
        ["run", "signal", *(f"1/ε_B at ε_S = {eps:g}" for eps in _SHOWN_EFFICIENCIES)],
        lines,
    )


def _points(curve: Roc, size: int) -> Rows:
    """Return points of a ROC as far as background jets survive; errors where they are known."""
    eps_s = np.linspace(0.01, 1, size)
    eps_b, error = curve.background_efficiency(eps_s)
    rows: Rows = []
    for s, b, e in zip(eps_s, eps_b, error, strict=True):
        if not b * curve.num_background >= _LEAST_SURVIVORS:
            continue
        row: dict[str, Cell] = {"eps_s": float(s), "rejection": float(1 / b)}
        if curve.num_signal * min(s, 1 - s) >= FEWEST_SIGNAL:
            factor = float(np.exp(e / b))
            row |= {"low": float(1 / b) / factor, "high": float(1 / b) * factor}
        rows.append(row)
    return rows


def by_pt_chart(runs: Sequence[ReportedRun]) -> Chart | None:
    """Return the rejection in bins of jet pT; of several runs at the first working point."""
    rows: Rows = []
    lines = []
    for run in runs:
        found = None if run.report is None else run.report.rejection_by_pt
        if found is None:
            continue
        kinds = {"a cut for each bin": found.rejection}
        if len(runs) == 1:
            kinds["one cut"] = found.one_cut_rejection
        for kind, by_signal in kinds.items():
            for signal, points in by_signal.items():
                chosen = list(points.items())[: None if len(runs) == 1 else 1]
                for eps_s, estimates in chosen:
                    series = (
                        f"ε_S = {eps_s:g}, {kind}"
                        if len(runs) == 1
                        else f"{run.name}, ε_S = {eps_s:g}"
                    )
                    bins = zip(found.edges[:-1], found.edges[1:], estimates, strict=True)
                    for low, high, estimate in bins:
                        rows.append(_bin(series, signal, float(low), float(high), estimate))
                        lines.append([series, signal, f"{low:g} to {high:g}", str(estimate)])
    if not any("rejection" in row for row in rows):
        return None
    names = list(dict.fromkeys(str(row["series"]) for row in rows))
    signals = list(dict.fromkeys(str(row["signal"]) for row in rows))
    color = colored("series", None, names)
    y = quantitative("rejection", "Rejection 1/ε_B", log=True)
    x = quantitative("pt", "Jet pT [GeV]")
    shape = {
        "field": "what",
        "type": "nominal",
        "title": None,
        "scale": {"domain": ["measured", "lower limit"], "range": ["circle", "triangle-up"]},
    }
    tips = [
        tip("series", "cut"),
        tip("what", "number"),
        tip("from", "pT from", "~g"),
        tip("to", "to", "~g"),
        tip("rejection", "1/ε_B", ".4~g"),
        tip("low", "interval from", ".4~g"),
        tip("high", "to", ".4~g"),
    ]
    layers: list[Spec] = [
        *binned_layers(x, y, names, tips),
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": tips},
        },
    ]
    if not any("low" in row for row in rows):
        del layers[1]
    return Chart(
        "Rejection by pT",
        "Background rejection in bins of jet pT, with the 68 % interval.",
        panels(layers, signals, data(rows, ["pt", "from", "to", "rejection", "low", "high"])),
        ["cut", "signal", "jet pT [GeV]", "1/ε_B"],
        lines,
    )


def _bin(series: str, signal: str, low: float, high: float, estimate: Estimate) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "series": series,
        "signal": signal,
        "from": low,
        "to": high,
        "pt": (low + high) / 2,
    }
    if estimate.value > 0:
        row |= {"rejection": estimate.value, "what": "measured"}
        if estimate.is_limit:
            row["what"] = "lower limit"
        if estimate.low > 0 and np.isfinite(estimate.high):
            row |= {"low": estimate.low, "high": estimate.high}
    return row


def training_charts(runs: Sequence[ReportedRun]) -> list[Chart]:
    """Return loss and accuracy by epoch of every run that was trained here."""
    charts = []
    for quantity, title in _QUANTITIES.items():
        rows: Rows = [
            {"run": run.name, "part": part, "epoch": line["epoch"], "value": line[key]}
            for run in runs
            for part, key in (("training", f"train_{quantity}"), ("validation", f"val_{quantity}"))
            for line in run.epochs
            if key in line and np.isfinite(line[key])
        ]
        if not rows:
            continue
        names = list(dict.fromkeys(str(row["run"]) for row in rows))
        alone = len(names) == 1
        field, order = ("part", ["training", "validation"]) if alone else ("run", names)
        params, opacity = picked(field)
        last = {(str(row["run"]), str(row["part"])): row for row in rows}
        charts.append(
            Chart(
                f"{title} by epoch",
                f"{title} of each epoch, of training jets and of validation jets (dashed).",
                {
                    "data": data(rows, ["epoch", "value"]),
                    "width": WIDE[0],
                    "height": 240,
                    "params": params,
                    "mark": {"type": "line", "point": {"size": 30}, "strokeWidth": 2},
                    "encoding": {
                        "x": {
                            **quantitative("epoch", "Epoch"),
                            "axis": {"tickMinStep": 1, "format": "d"},
                        },
                        "y": quantitative("value", title),
                        "color": colored(field, None, order),
                        "strokeDash": dashed(
                            "part", ["training", "validation"], beside_color=alone
                        ),
                        "opacity": opacity,
                        "tooltip": [
                            tip("run", "run"),
                            tip("part", "jets"),
                            tip("epoch", "epoch", "d"),
                            tip("value", quantity, ".5~g"),
                        ],
                    },
                },
                ["run", "jets", "last epoch", quantity],
                [
                    [name, part, f"{row['epoch']:.0f}", number(float(row["value"] or 0), 5)]
                    for (name, part), row in last.items()
                ],
            )
        )
    return charts


# --------------------------------------------------------------------------------- of one run


def run_charts(run: ReportedRun, rocs: Mapping[str, Roc]) -> list[Chart]:
    """Return the charts of one run: scores, mass, confusion, calibration."""
    charts = []
    if run.jets is not None and len(run.jets.labels):
        charts = [_scores_chart(run, rocs), *_sculpting_chart(run, rocs), _confusion_chart(run)]
    tasks = {} if run.report is None else run.report.tasks
    return [*charts, *_reliability_chart(run), *task_charts(tasks)]


def _scores_chart(run: ReportedRun, rocs: Mapping[str, Roc]) -> Chart:
    jets = run.jets
    assert jets is not None
    found = signal_scores(
        jets.logits, jets.labels, jets.jet_weights, jets.classes, rocs, run.options
    )
    rows: Rows = []
    for signal, given in found.items():
        for name, values in given.values.items():
            shown = "jets of the class" if name == signal and len(found) > 1 else name
            rows += [
                {"signal": signal, "class": shown, **bin_}
                for bin_ in _histogram(values, given.jet_weights[name], given.edges)
            ]
    names = list(dict.fromkeys(str(row["class"]) for row in rows))
    formula = next(iter(found.values())).name if len(found) == 1 else "ln of the odds of the class"
    return _histogram_chart(
        "Score distributions",
        "Distribution of the score of each signal class, for its jets and for the background's: "
        "shares of jets on a logarithmic axis.",
        rows,
        "class",
        names,
        list(found),
        formula,
        log=True,
    )


def _sculpting_chart(run: ReportedRun, rocs: Mapping[str, Roc]) -> list[Chart]:
    jets = run.jets
    assert jets is not None
    scores = discriminants(jets.classes, run.options)
    passing = passing_jets(jets.logits, jets.classes, rocs, run.options)
    rows: Rows = []
    after = f"after a cut at ε_S = {run.options.sculpting_eps_s:g}"
    for signal, passed in passing.items():
        background = scores[signal].is_background(jets.labels)
        edges = bin_edges([jets.jet_mass[background]])
        for name, chosen in (("before the cut", background), (after, background & passed)):
            if chosen.sum() < _FEWEST_OF_HISTOGRAM:
                continue
            rows += [
                {"signal": signal, "jets": name, **bin_}
                for bin_ in _histogram(jets.jet_mass[chosen], jets.jet_weights[chosen], edges)
            ]
    if not rows:
        return []
    few = "" if any(row["jets"] == after for row in rows) else " Too few pass it to be shown."
    return [
        _histogram_chart(
            "Mass of the background",
            f"Jet mass of the background before and after the cut on each signal class.{few}",
            rows,
            "jets",
            list(dict.fromkeys(str(row["jets"]) for row in rows)),
            list(dict.fromkeys(str(row["signal"]) for row in rows)),
            "Jet mass [GeV]",
            apart=True,
        )
    ]


def _histogram(
    values: Float[np.ndarray, " jets"],
    weights: Float64[np.ndarray, " jets"],
    edges: Float64[np.ndarray, " edges"],
) -> Rows:
    counts, _ = np.histogram(values, edges, weights=weights)
    total = weights.sum()
    share = counts / total if total > 0 else counts
    return [
        {"from": float(low), "to": float(high), "share": float(part)}
        for low, high, part in zip(edges[:-1], edges[1:], share, strict=True)
        if part > 0
    ]


def _histogram_chart(
    title: str,
    text: str,
    rows: Rows,
    field: str,
    order: Sequence[str],
    signals: Sequence[str],
    axis: str,
    *,
    log: bool = False,
    apart: bool = False,
) -> Chart:
    """Return histograms of some series, on a panel for each signal class.

    Parameters
    ----------
    apart
        Whether each panel has a vertical axis of its own.
    """
    least = min((float(row["share"] or 0) for row in rows), default=0.1)
    params, opacity = picked(field)
    y = quantitative("share", "Share of jets", log=log)
    if log:
        y["scale"]["domainMin"] = least / 2
    else:
        y["scale"]["zero"] = True
    layers: list[Spec] = [
        {
            "params": params,
            "mark": {"type": "bar", "binSpacing": 0, "fillOpacity": 0.35, "strokeWidth": 1},
            "encoding": {
                "x": {**quantitative("from", axis), "bin": {"binned": True}},
                "x2": {"field": "to"},
                "y": {**y, "stack": None},
                **({"y2": {"datum": least / 2}} if log else {}),
                "color": colored(field, None, order),
                "stroke": colored(field, None, order),
                "opacity": opacity,
                "tooltip": [
                    tip(field, field),
                    tip("from", "from", ".4~g"),
                    tip("to", "to", ".4~g"),
                    tip("share", "share of jets", ".3~g"),
                ],
            },
        }
    ]
    spec = panels(layers, signals, data(rows, ["from", "to", "share"]))
    if apart and len(signals) > 1:
        spec["resolve"] = {"scale": {"y": "independent"}}
    return Chart(title, text, spec)


def _confusion_chart(run: ReportedRun) -> Chart:
    jets = run.jets
    assert jets is not None
    share = confusion(jets.logits, jets.labels, jets.jet_weights)
    classes = list(run.classes)
    return Chart(
        "Confusion",
        "Of the jets of each class, a row, the share that gets each class as its highest score.",
        matrix(share, classes, "Class of the highest score", "Class of the jet"),
        ["class", *(f"called {name}" for name in classes)],
        [
            [name, *(number(float(x)) for x in row)]
            for name, row in zip(classes, share, strict=True)
        ],
    )


def confusion(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float64[np.ndarray, " jets"],
) -> Float64[np.ndarray, "classes called"]:
    """Return the share of the jets of each class that is called each; NaN without jets of one."""
    num = logits.shape[1]
    cell = labels * num + logits.argmax(axis=1)
    counts = np.bincount(cell, weights=jet_weights, minlength=num * num).reshape(num, num)
    total = counts.sum(axis=1, keepdims=True)
    share: Float64[np.ndarray, "classes called"]
    share = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    return share


def _reliability_chart(run: ReportedRun) -> list[Chart]:
    found = None if run.report is None else run.report.reliability
    if found is None:
        return []
    curves = {"highest score": found.highest, **found.by_class}
    rows: Rows = [
        {
            "curve": name,
            "score": float(score),
            "share": float(share),
            "low": max(float(share - error), 0.0),
            "high": min(float(share + error), 1.0),
        }
        for name, curve in curves.items()
        for score, share, error in zip(curve.score, curve.share, curve.share_error, strict=True)
        if np.isfinite(score) and np.isfinite(share) and np.isfinite(error)
    ]
    if not rows:
        return []
    params, opacity = picked("curve")
    x = quantitative("score", "Score", domain=[0, 1])
    y = quantitative("share", "Share of jets of the class", domain=[0, 1])
    color = colored("curve", None, list(curves))
    tips = [
        tip("curve", "score of"),
        tip("score", "score", ".3f"),
        tip("share", "share", ".3f"),
        tip("low", "from", ".3f"),
        tip("high", "to", ".3f"),
    ]
    diagonal = data([{"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}], ["a", "b"])
    layers: list[Spec] = [
        {
            "data": diagonal,
            "mark": {"type": "line", "color": "#777", "strokeDash": [4, 3], "strokeWidth": 1},
            "encoding": {
                "x": {"field": "a", "type": "quantitative"},
                "y": {"field": "b", "type": "quantitative"},
            },
        },
        {
            "mark": "rule",
            "encoding": {
                "x": x,
                "y": {**y, "field": "low"},
                "y2": {"field": "high"},
                "color": color,
            },
        },
        {
            "params": params,
            "mark": {"type": "line", "point": True, "strokeWidth": 1.5},
            "encoding": {"x": x, "y": y, "color": color, "opacity": opacity, "tooltip": tips},
        },
    ]
    return [
        Chart(
            "Calibration",
            "Share of jets of a class against their score of it; on the diagonal scores mean what "
            f"they say. {found.sentence()}.",
            panels(layers, [], data(rows, ["score", "share", "low", "high"]), (460, 380)),
            ["score of", "mean score", "share", "from", "to"],
            [
                [
                    str(r["curve"]),
                    *(number(float(r[k] or 0)) for k in ("score", "share", "low", "high")),
                ]
                for r in rows
            ],
        )
    ]
