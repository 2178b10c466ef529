"""The classes' spectra before and after ``data.reweight``."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parttag.data.selection.reweight import Reweighting
from parttag.plotting.elements import cycle, plain
from parttag.plotting.styles import Style, drawing, figure_panels

When = Literal["before", "after"]

_LABELS = {
    "jet_pt": r"Jet $p_{\mathrm{T}}$ [GeV]",
    "jet_mass": "Jet mass [GeV]",
    "jet_energy": "Jet energy [GeV]",
    "jet_eta": r"Jet $\eta$",
    "jet_abs_eta": r"Jet $|\eta|$",
}
# How high the spectra reach, as a fraction of the panel: above is room for the legend.
_DATA_HEIGHT = 0.72


def spectra(
    reweighting: Reweighting,
    variable: str,
    when: When = "after",
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw each class's share of weight per unit of one variable; the other is summed over.

    Parameters
    ----------
    variable
        One of ``reweighting.edges``.
    when
        Before the reweighting, or afterwards.
    ax, style, label
        As in ``roc``.
    """
    edges = reweighting.edges[variable]
    sums = reweighting.before if when == "before" else reweighting.after
    number = reweighting.num_effective[0 if when == "before" else 1]
    with drawing(ax, style, label, (7.2, 5.2)) as axes:
        for row, (name, color) in enumerate(
            zip(reweighting.classes, cycle(len(reweighting.classes)), strict=True)
        ):
            density = _marginal(reweighting, variable, sums[row]) / np.diff(edges)
            total = (density * np.diff(edges)).sum()
            text = plain(f"{name}: counts as {number[row]:,.0f} jets")
            share = density / total if total > 0 else density
            lines = "--" if row % 2 else "-"  # one that lies on another is seen
            axes.stairs(share, edges, color=color, linewidth=1.8, linestyle=lines, label=text)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, axes.get_ylim()[1] / _DATA_HEIGHT)
        axes.set_xlabel(_LABELS.get(variable, plain(variable)))
        axes.set_ylabel("Share of weight per unit")
        axes.legend(loc="upper left", title=f"{when} reweighting", alignment="left")
    return axes


def reweighting_figure(
    reweighting: Reweighting, *, style: Style = "parttag", label: str | None = None
) -> Figure:
    """Return ``spectra`` of each variable, in a row of its own, before and after."""
    rows = len(reweighting.edges)
    figure, grid = figure_panels(rows, 2, (11.0, 4.2 * rows), style)
    choices: list[tuple[str, When]]
    choices = [(name, when) for name in reweighting.edges for when in ("before", "after")]
    for number, (axes, (name, when)) in enumerate(zip(grid, choices, strict=True)):
        spectra(reweighting, name, when, ax=axes, label=None if number else label)
    return figure


def _marginal(
    reweighting: Reweighting, variable: str, sums: Float64[np.ndarray, ...]
) -> Float64[np.ndarray, " bins"]:
    own = list(reweighting.edges).index(variable)
    others = tuple(axis for axis in range(sums.ndim) if axis != own)
    marginal: Float64[np.ndarray, " bins"] = sums.sum(axis=others)
    return marginal
