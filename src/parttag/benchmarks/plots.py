"""The pictures of a table: all ROCs and what rejection costs, or what so many labels give."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from parttag.benchmarks.results import Point, Quantity, RowResult, SeedResult
from parttag.evaluation.scored_jets import read_scored_jets
from parttag.metrics import Roc, class_rocs
from parttag.plotting import Style, save_figure
from parttag.plotting.curves import draw_roc
from parttag.plotting.elements import cycle, plain
from parttag.plotting.styles import figure_panels, style_context
from parttag.system.atomic_files import new_files

ROC, PARAMETERS, COST = "roc.png", "rejection_parameters.png", "rejection_cost.png"
EFFICIENCY = "data_efficiency.png"

# Rows are told apart by color and line, and by color and marker: more than there are colors.
_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw_all(directory: Path, results: Sequence[RowResult]) -> list[Path]:
    """Draw what there is of the table, in place of the pictures that are there.

    With budgets of labels, that is what each gives; without, ROCs and what rejection costs.

    Raises
    ------
    InputError
        If scores cannot be read, or a picture cannot be written.
    """
    shown = [result for result in results if result.seeds]
    if not shown or not shown[0].rejection:
        return []
    background = " + ".join(next(iter(shown[0].seeds.values())).report.background)
    if any(result.labels is not None for result in shown):
        with new_files([directory / EFFICIENCY], overwrite=True) as (file,):
            save_figure(efficiency_figure(shown), file, "png")
        return [directory / EFFICIENCY]
    paths = [directory / name for name in (ROC, PARAMETERS, COST)]
    rocs = {result.name: read_rocs(next(iter(result.seeds.values()))) for result in shown}
    with new_files(paths, overwrite=True) as (roc_file, parameters_file, cost_file):
        save_figure(rocs_figure(rocs, background), roc_file, "png")
        with_published = any(result.published for result in shown)
        by_parameters = rejection_figure(shown, "parameters", published=with_published)
        save_figure(by_parameters, parameters_file, "png")
        by_cost = rejection_figure(shown, "training cost", published=False)
        save_figure(by_cost, cost_file, "png")
    return paths


def rocs_figure(
    rocs: Mapping[str, Mapping[str, Roc]], background: str, style: Style = "parttag"
) -> Figure:
    """Draw 1/ε_B against ε_S of all rows, in a panel for each signal class."""
    signals = list(next(iter(rocs.values())))
    columns = 1 if len(signals) == 1 else 3
    lines = -(-len(signals) // columns)
    size = (8.6, 6.2) if columns == 1 else (4.4 * columns + 2, 3.8 * lines)
    colors = cycle(len(rocs))
    figure, panels = figure_panels(lines, columns, size, style)
    with style_context(style):
        for axes, signal in zip(panels, signals, strict=False):
            for number, (name, curves) in enumerate(rocs.items()):
                line = _LINES[number // 10 % len(_LINES)]
                draw_roc(
                    axes,
                    curves[signal],
                    colors[number],
                    plain(name),
                    linestyle=line,
                    with_error=False,
                )
            axes.set_yscale("log")
            axes.set_xlim(0, 1)
            axes.set_ylim(bottom=1)
            if len(signals) > 1:
                axes.set_title(plain(signal))
        for axes in panels[len(signals) :]:
            axes.remove()
        for axes in panels[: len(signals)]:
            axes.set_xlabel(r"Signal efficiency $\varepsilon_{\mathrm{S}}$")
        for axes in panels[: len(signals) : columns]:
            axes.set_ylabel(plain(f"Rejection of {background}") + r"  $1/\varepsilon_{\mathrm{B}}$")
        handles, labels = panels[0].get_legend_handles_labels()
        title = "first seed of each row"
        figure.legend(handles, labels, loc="outside right upper", title=title)
    return figure


def rejection_figure(
    results: Sequence[RowResult], quantity: str, *, published: bool, style: Style = "parttag"
) -> Figure:
    """Draw the first rejection of each row against its parameters or the cost of its training.

    The bar is the whole error of the mean over seeds, as in the table.
    """
    point = next(iter(results[0].rejection))
    figure, (axes,) = figure_panels(1, 1, (8.6, 5.4), style)
    with style_context(style):
        colors = cycle(len(results))
        for number, result in enumerate(results):
            marker = _MARKERS[number // 10 % len(_MARKERS)]
            _draw_row(axes, result, point, quantity, colors[number], marker, published=published)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(0.12)
        axes.set_ylim(bottom=max(0.9, axes.get_ylim()[0]))  # no tagger is worse than none
        if published:
            axes.plot([], [], " ", label="open: published, trained\non the full set")
        axes.set_ylabel(_rejection_label(point))
        axes.set_xlabel(_AXES[quantity])
        low, high = np.log10(axes.get_xlim())
        if np.ceil(low) <= high:  # numbers between powers of ten would run into one another
            axes.xaxis.set_minor_formatter(NullFormatter())
        if axes.get_legend_handles_labels()[0]:  # else no row has a rejection
            figure.legend(loc="outside right upper")
    return figure


def efficiency_figure(results: Sequence[RowResult], style: Style = "parttag") -> Figure:
    """Draw AUC and the first rejection against the number of labels, a line for each row.

    The bar is the whole error of the mean over seeds, as in the table.
    """
    point = next(iter(results[0].rejection))
    rows: dict[str, list[RowResult]] = {}
    for result in results:
        rows.setdefault(result.name, []).append(result)
    figure, panels = figure_panels(1, 2, (12.4, 5.0), style)
    with style_context(style):
        colors = cycle(len(rows))
        for number, (name, own) in enumerate(rows.items()):
            own.sort(key=lambda result: result.labels or 0)
            # Side by side, so that bars do not hide one another.
            shift = 1.03 ** (number - 0.5 * (len(rows) - 1))
            places = [shift * (result.labels or 0) for result in own]
            look = (
                colors[number],
                _MARKERS[number // 10 % len(_MARKERS)],
                _LINES[number // 10 % len(_LINES)],
            )
            values = [[r.auc for r in own], [r.rejection[point] for r in own]]
            for axes, quantities in zip(panels, values, strict=True):
                _draw_line(axes, places, quantities, look, plain(name))
        numbers = sorted({result.labels or 0 for result in results})
        for axes in panels:
            axes.set_xscale("log")
            axes.margins(x=0.1)
            axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
            axes.set_xlabel("Training jets with labels")
        panels[0].set_ylabel("AUC")
        panels[1].set_yscale("log")
        panels[1].set_ylabel(_rejection_label(point))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")
    return figure


def _draw_line(
    axes: Axes,
    places: Sequence[float],
    quantities: Sequence[Quantity],
    look: tuple[str, str, str],
    label: str,
) -> None:
    known = [(x, q, q.value) for x, q in zip(places, quantities, strict=True) if q.value]
    bars = np.array([_bar(quantity) for _, quantity, _ in known]).reshape(-1, 2).T
    color, marker, line = look
    axes.errorbar(
        [x for x, _, _ in known],
        [value for _, _, value in known],
        yerr=bars,
        lolims=[quantity.is_limit for _, quantity, _ in known],
        marker=marker,
        linestyle=line,
        color=color,
        markersize=7,
        label=label,
    )


def _bar(quantity: Quantity) -> tuple[float, float]:
    """Return how far the bar of a number reaches below and above it; an arrow for a limit."""
    value = quantity.value or 0.0
    if quantity.is_limit:
        return 0.3 * value, 0.3 * value
    low, high = quantity.estimate.interval()
    return (0.0, 0.0) if math.isnan(low) else (value - low, high - value)


def _rejection_label(point: Point) -> str:
    signal, eps_s = point
    return r"$1/\varepsilon_{\mathrm{B}}$ at $\varepsilon_{\mathrm{S}}$ = " + plain(
        f"{eps_s:g} ({signal})"
    )


_AXES = {
    "parameters": "Parameters",
    "training cost": "Jets seen × multiply-adds a jet (forward)",
}


def _draw_row(
    axes: Axes,
    result: RowResult,
    point: Point,
    quantity: str,
    color: str,
    marker: str,
    *,
    published: bool,
) -> None:
    rejection = result.rejection[point]
    if quantity == "parameters":
        place = float(result.parameters or 0)
    else:
        place = (result.jets_seen or 0) * (result.multiply_adds or 0)
    if rejection.value is not None and place > 0:
        axes.errorbar(
            place,
            rejection.value,
            yerr=np.array([_bar(rejection)]).T,
            lolims=rejection.is_limit,
            fmt=marker,
            color=color,
            markersize=8,
            label=plain(result.name),
        )
    line = result.published
    quoted = line and line.rejection.get(point[0], {}).get(point[1])
    if published and line and quoted and line.num_parameters:
        axes.errorbar(
            line.num_parameters,
            quoted.value,
            yerr=quoted.spread or 0,
            fmt=marker,
            color=color,
            markerfacecolor="white",
            markersize=8,
            label=f"_{line.name}, published",  # which the legend leaves out
        )


def read_rocs(result: SeedResult) -> dict[str, Roc]:
    """Return the ROC of each signal class from the scores of a run."""
    jets = read_scored_jets(result.scores, result.classes)
    assert result.job.config is not None
    options = result.job.config.evaluation
    return class_rocs(jets.logits, jets.labels, jets.classes, jets.jet_weights, options)
