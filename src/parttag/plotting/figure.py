"""What the pictures have in common: style, colors, histograms.

Figures are made without pyplot, so that no state is left behind and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import mplhep
import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Target = Path | FileIO | BytesIO

# Petroff's ten colors, told apart by the color-blind too (arXiv:2107.02270).
COLORS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
_STYLE: dict[str, Any] = {
    "axes.autolimit_mode": "data",
    "axes.labelsize": 15,
    "axes.labelpad": 6,
    "axes.titlesize": 14,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "ytick.major.size": 7,
    "ytick.minor.size": 4,
    "xtick.major.size": 7,
    "xtick.minor.size": 4,
    "legend.fontsize": 12.5,
    "legend.title_fontsize": 12.5,
    "legend.borderpad": 0.4,
    "lines.linewidth": 1.8,
    "mathtext.fontset": "stixsans",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
}


def draw_histogram(
    axes: Axes,
    values: Float[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    edges: Float64[np.ndarray, " edges"],
    *,
    color: str,
    label: str,
    filled: bool = False,
    dashed: bool = False,
) -> None:
    """Draw a histogram whose bins sum to 1; what lies beyond the edges counts in the sum."""
    counts, _ = np.histogram(values, edges, weights=jet_weights)
    total = jet_weights.sum()
    share = counts / total if total > 0 else counts
    if filled:
        axes.stairs(share, edges, fill=True, color=color, alpha=0.25)
    style = "--" if dashed else "-"
    axes.stairs(share, edges, color=color, linewidth=1.8, linestyle=style, label=plain(label))


def bin_edges(
    parts: Sequence[np.ndarray], whole_numbers: bool = False
) -> Float64[np.ndarray, " edges"]:
    """Return bins of a round width for several histograms of the same variable.

    They leave out 0.1 % of the values at either end, and are as many as the smallest part can
    fill. Bins of whole numbers have them in their middle.
    """
    values = np.concatenate(list(parts))
    low, high = np.quantile(values, [0.001, 0.999]) if len(values) else (0.0, 1.0)
    smallest = min((len(part) for part in parts if len(part)), default=1)
    num_bins = min(80.0, 4 * smallest ** (1 / 3))
    width = max(high - low, 1e-6) / num_bins
    power = 10.0 ** np.floor(np.log10(width))
    step = power * min(factor for factor in (1, 2, 5, 10) if factor * power >= width * 0.999)
    if whole_numbers:
        step = max(step, 1.0)
    edges: Float64[np.ndarray, " edges"]
    edges = np.arange(np.floor(low / step), np.ceil(high / step) + 1.5) * step
    return edges - 0.5 if whole_numbers else edges


def plain(text: str) -> str:
    """Return text as matplotlib prints it without looking for formulas."""
    return text.replace("$", r"\$")


def cycle(number: int) -> list[str]:
    """Return so many colors, which repeat after the tenth."""
    return [COLORS[i % len(COLORS)] for i in range(number)]


def draw_legend(
    axes: Axes, location: Literal["lower left", "upper left", "best"], columns: int
) -> None:
    """Draw a legend in columns that stand close together."""
    axes.legend(loc=location, ncols=columns, columnspacing=1.2)


def make_room(axes: Axes, height: float) -> None:
    """Let what is drawn end at this fraction of a logarithmic axis: above is room for text."""
    low, high = np.log10(axes.get_ylim())
    axes.set_ylim(top=10 ** (low + (high - low) / height))


@contextmanager
def new_figure(target: Target, size: tuple[float, float]) -> Iterator[Figure]:
    """Give a figure of so many inches in our style, and write it when the block ends."""
    style: Any = {**mplhep.style.ATLAS, **_STYLE}
    with mpl.rc_context(style):
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(target, format="png")


@contextmanager
def new_panels(target: Target, number: int) -> Iterator[list[Axes]]:
    """Give one large panel, or so many smaller ones in rows of three."""
    columns = 1 if number == 1 else 3
    rows = -(-number // columns)
    size = (7.2, 5.2) if columns == 1 else (4.6 * columns, 3.5 * rows)
    with new_figure(target, size) as figure:
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes in panels[number:]:
            axes.remove()
        yield panels[:number]
