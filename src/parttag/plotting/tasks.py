"""Pictures of what a network says besides the classes: targets, origins and vertices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parttag.metrics.estimate import Estimate
from parttag.metrics.particle_tasks import OriginReport, VertexReport
from parttag.metrics.regression import PREDICTION, RegressionReport
from parttag.metrics.tasks import TaskReport
from parttag.plotting.elements import cycle, plain
from parttag.plotting.styles import Style, drawing, figure_panels

Measure = Literal["bias", "resolution"]

_PT_LABEL = r"Jet $p_{\mathrm{T}}$ [GeV]"


def regression(
    name: str,
    report: RegressionReport,
    measure: Measure = "resolution",
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw bias or resolution of a target in bins of it, beside what else tells it.

    Parameters
    ----------
    name
        Of the target.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    binned = report.by_target
    with drawing(ax, style, label, (7.2, 4.6)) as axes:
        for color, (which, found) in zip(cycle(len(binned.by)), binned.by.items(), strict=True):
            text = name if which == PREDICTION else which
            values = [getattr(own, measure) for own in found]
            _draw_estimates(axes, binned.edges, values, color, text)
        if measure == "bias":
            axes.axhline(0, color="0.6", linestyle=":", linewidth=1)
        else:
            axes.set_ylim(bottom=0)
        axes.margins(y=0.2)
        axes.set_xlim(binned.edges[0], binned.edges[-1])
        axes.set_xlabel(plain(f"True {name}"))
        of = "relative " if report.response == "ratio" else ""
        axes.set_ylabel(f"{of}{measure}".capitalize())
        axes.legend(loc="best")
    return axes


def confusion(
    report: OriginReport,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw which class particles of each true class are given.

    Parameters
    ----------
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    names = [plain(name) for name in report.classes]
    places = np.arange(len(names))
    with drawing(ax, style, label, (1.2 * len(names) + 3.2, 1.0 * len(names) + 2.2)) as axes:
        axes.imshow(np.nan_to_num(report.confusion), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(report.confusion.shape):
            share = report.confusion[row, column]
            text = "–" if np.isnan(share) else f"{share:.3f}"
            color = "white" if share > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=color)
        axes.set_xticks(places, names)
        axes.set_yticks(places, names)
        axes.minorticks_off()
        axes.set_xlabel("Class given")
        axes.set_ylabel("True class")
    return axes


def vertices(
    report: VertexReport,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw efficiency and purity of vertices in bins of the jet's pT.

    Parameters
    ----------
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    with drawing(ax, style, label, (7.2, 4.6)) as axes:
        colors = cycle(2)
        _draw_estimates(
            axes, report.pt_edges, report.efficiency_by_pt, colors[0], "efficiency of true vertices"
        )
        _draw_estimates(
            axes, report.pt_edges, report.purity_by_pt, colors[1], "purity of found vertices"
        )
        axes.set_ylim(0, 1.25)
        axes.set_xlim(report.pt_edges[0], report.pt_edges[-1])
        axes.set_xlabel(_PT_LABEL)
        axes.set_ylabel("Share of vertices")
        axes.legend(loc="upper left", ncols=2)
    return axes


def task_figure(
    name: str, report: TaskReport, *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return the picture of a task: of a target, its resolution above its bias."""
    if isinstance(report, RegressionReport):
        figure, (above, below) = figure_panels(2, 1, (7.2, 6.8), style, sharex=True)
        regression(name, report, ax=above, label=label)
        regression(name, report, "bias", ax=below)
        above.set_xlabel("")
        figure.align_ylabels()
        return figure
    figure, (axes,) = figure_panels(1, 1, (7.2, 5.2), style)
    if isinstance(report, OriginReport):
        confusion(report, ax=axes, label=label)
    elif isinstance(report, VertexReport):
        vertices(report, ax=axes, label=label)
    return figure


def _draw_estimates(
    axes: Axes,
    edges: Sequence[float],
    found: Sequence[Estimate],
    color: str,
    text: str,
) -> None:
    """Draw numbers with their errors in the middle of bins; what is not known is left out."""
    sides = np.asarray(edges, dtype=np.float64)
    middles, halves = (sides[1:] + sides[:-1]) / 2, np.diff(sides) / 2
    values = np.array([own.value for own in found])
    ends = [np.array([getattr(own, end) for own in found]) for end in ("low", "high")]
    reach = np.nan_to_num(np.stack([values - ends[0], ends[1] - values])).clip(min=0)
    axes.errorbar(
        middles,
        values,
        xerr=halves,
        yerr=reach,
        fmt="o",
        color=color,
        markersize=4,
        label=plain(text),
    )
