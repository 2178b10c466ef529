"""What the pictures have in common: colors, histograms, legends, names that are no formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from unicodedata import category

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes

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
    """Return text that matplotlib prints as it is: no formula in it, and nothing invisible.

    Control characters become spaces. A legend leaves out what begins with an underscore, so a
    space comes before it.
    """
    visible = "".join(" " if category(letter)[0] in "CZ" else letter for letter in text)
    return (" " if visible.startswith("_") else "") + visible.replace("$", r"\$")


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
