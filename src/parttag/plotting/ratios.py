"""Two taggers on the same jets: the ratio of their rejections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parttag.plotting.elements import cycle, draw_legend, plain
from parttag.plotting.styles import Style, drawing, figure_panels


@dataclass(frozen=True, eq=False)
class RatioCurve:
    """The logarithm of the ratio of two rejections against the signal efficiency."""

    eps_s: Float64[np.ndarray, " points"]
    log_ratio: Float64[np.ndarray, " points"]
    error: Float64[np.ndarray, " points"]
    """Paired; NaN, as the ratio, where one of the rejections is not known."""


def rejection_ratios(
    curves: Mapping[str, RatioCurve],
    reference: str,
    signal: str,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw each tagger's rejection over that of a reference on the same jets.

    Parameters
    ----------
    curves
        By the names of the taggers.
    reference, signal
        The tagger that the others are compared with, and the signal class, for the axis.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    with drawing(ax, style, label, (7.2, 5.2)) as axes:
        axes.axhline(1, color="black", linewidth=1, linestyle=":")
        for color, (name, curve) in zip(cycle(len(curves)), curves.items(), strict=True):
            low, middle, high = (
                np.exp(curve.log_ratio + shift * curve.error) for shift in (-1, 0, 1)
            )
            axes.plot(curve.eps_s, middle, color=color, label=plain(name))
            axes.fill_between(curve.eps_s, low, high, color=color, alpha=0.25, linewidth=0)
        axes.fill_between([], [], color="0.7", linewidth=0, label="paired error")
        axes.set_xlim(0, 1)
        axes.set_xlabel(plain(f"Signal efficiency ({signal})") + r" $\varepsilon_{\mathrm{S}}$")
        axes.set_ylabel(plain(f"Rejection over that of {reference}"))
        draw_legend(axes, "best", columns=1)
    return axes


def rejection_ratios_figure(
    panels: Mapping[str, Mapping[str, RatioCurve]], reference: str, *, style: Style = "parttag"
) -> Figure:
    """Return ``rejection_ratios`` of each signal class in a panel of its own."""
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    size = (7.2 if columns == 1 else 4.6 * columns, 5.2 * rows)
    figure, grid = figure_panels(rows, columns, size, style)
    for axes, (signal, curves) in zip(grid, panels.items(), strict=False):
        rejection_ratios(curves, reference, signal, ax=axes)
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure
