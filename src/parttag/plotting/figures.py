"""The pictures that parttag writes: panels of one or several signal classes in a figure each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parttag.metrics import RejectionByPt, Roc
from parttag.metrics.calibration import Reliability
from parttag.metrics.fraction_scan import FractionScan
from parttag.plotting.applications import fraction_scan, reliability
from parttag.plotting.curves import roc, training, training_quantities
from parttag.plotting.distributions import Sample, SignalScores, distribution, scores
from parttag.plotting.kinematics import (
    SignalMasses,
    efficiency_by_pt,
    mass_sculpting,
    rejection_by_pt,
)
from parttag.plotting.styles import Style, StyledFigure, figure_panels, style_context


def roc_figure(
    curves: Mapping[str, Roc],
    *,
    background: str,
    published: bool = False,
    style: Style = "parttag",
    label: str | None = None,
) -> Figure:
    """Return ``roc`` in a figure."""
    figure, (axes,) = figure_panels(1, 1, (7.2, 5.6), style)
    roc(curves, background=background, published=published, ax=axes, label=label)
    return figure


def scores_figure(
    panels: Mapping[str, SignalScores], *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``scores`` of each signal class in a panel of its own."""
    figure, grid = _grid(len(panels), style)
    for axes, text, given in zip(grid, _first(label, grid), panels.values(), strict=True):
        scores(given, ax=axes, label=text)
    return figure


def rejection_by_pt_figure(
    by_pt: RejectionByPt, *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``rejection_by_pt`` of each signal class in a panel of its own.

    With one signal class, a panel below has the signal efficiency of the one cut.
    """
    signals = list(by_pt.rejection)
    if len(signals) > 1:
        figure, grid = _grid(len(signals), style)
        for axes, text, signal in zip(grid, _first(label, grid), signals, strict=True):
            rejection_by_pt(by_pt, signal, ax=axes, label=text)
        return figure
    figure, (above, below) = figure_panels(
        2, 1, (7.2, 6.4), style, sharex=True, height_ratios=(3, 1)
    )
    rejection_by_pt(by_pt, ax=above, label=label)
    above.set_xlabel("")
    efficiency_by_pt(by_pt, ax=below)
    figure.align_ylabels()
    return figure


def mass_sculpting_figure(
    panels: Mapping[str, SignalMasses], *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``mass_sculpting`` of each signal class in a panel of its own."""
    figure, grid = _grid(len(panels), style)
    for axes, text, masses in zip(grid, _first(label, grid), panels.values(), strict=True):
        mass_sculpting(masses, ax=axes, label=text)
    return figure


def reliability_figure(
    found: Reliability, *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``reliability`` in a figure."""
    figure, (axes,) = figure_panels(1, 1, (6.2, 5.6), style)
    reliability(found, ax=axes, label=label)
    return figure


def fraction_scan_figure(
    scans: Mapping[str, FractionScan], *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``fraction_scan`` of each signal class in a panel of its own."""
    figure, grid = _grid(len(scans), style)
    for axes, text, (signal, scan) in zip(grid, _first(label, grid), scans.items(), strict=True):
        fraction_scan(signal, scan, ax=axes, label=text)
    return figure


def training_figure(
    epochs: Sequence[Mapping[str, float]], *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``training`` for all that the epochs have, one panel below the other."""
    shown = training_quantities(epochs)
    size = (7.2, 2.3 * len(shown) + 0.6)
    figure, grid = figure_panels(len(shown), 1, size, style, sharex=True)
    for axes, text, quantity in zip(grid, _first(label, grid), shown, strict=True):
        training(epochs, quantity, ax=axes, label=text)
    for axes in grid[:-1]:
        axes.set_xlabel("")
    figure.align_ylabels()
    return figure


def distribution_figure(
    samples: Sequence[Sample],
    name: str,
    unit: str,
    *,
    style: Style = "parttag",
    label: str | None = None,
) -> Figure:
    """Return ``distribution`` in a figure."""
    figure, (axes,) = figure_panels(1, 1, (7.2, 5.2), style)
    distribution(samples, name, unit, ax=axes, label=label)
    return figure


def _grid(number: int, style: Style) -> tuple[StyledFigure, list[Axes]]:
    """Return one large panel, or so many smaller ones in rows of three."""
    columns = 1 if number == 1 else 3
    rows = -(-number // columns)
    size = (7.2, 5.2) if columns == 1 else (4.6 * columns, 3.5 * rows)
    figure, panels = figure_panels(rows, columns, size, style)
    with style_context(style):
        for axes in panels[number:]:
            axes.remove()
    return figure, panels[:number]


def _first(label: str | None, panels: Sequence[Axes]) -> list[str | None]:
    """Return the label for the first panel, and none for the others."""
    return [label, *[None] * (len(panels) - 1)]
