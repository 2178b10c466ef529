"""The pictures of an evaluation, in the looks of Scikit-HEP.

Figures are made without pyplot, so that no state is left behind and no display is needed. Every
function writes one PNG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import mplhep
import numpy as np
from jaxtyping import Float, Float64, Int64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from parttag.evaluation.published import TOP_TAGGING, Published
from parttag.metrics import Roc, background_class, discriminant, log_odds, working_points

Target = Path | FileIO | BytesIO

# Petroff's ten colors, told apart by the color-blind too (arXiv:2107.02270).
_COLORS = (
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
# The published points that a ROC shows: few enough that they can be told apart.
_SHOWN = {"PFN": "v", "ParT": "o", "L-GATr": "D", "ParT-f.t.": "^"}
# How high the histograms of scores reach, as a fraction of the panel.
_DATA_HEIGHT = 0.55
# Below it the curve of a ROC is not drawn: fewer background jets say nothing.
_LEAST_SURVIVORS = 2.0


def plot_roc(target: Target, rocs: Mapping[str, Roc], classes: Sequence[str], name: str) -> None:
    """Draw 1/ε_B against ε_S with its statistical error for every signal class.

    Top tagging has the published points beside it, labelled as what they are.
    """
    background = background_class(classes)
    with _figure(target, (7.2, 5.6)) as figure:
        axes = figure.subplots()
        for color, (signal, curve) in zip(_cycle(len(rocs)), rocs.items(), strict=True):
            _draw_roc(axes, curve, color, _plain(name if len(rocs) == 1 else signal))
        axes.fill_between([], [], color="0.7", linewidth=0, label="statistical error")
        if set(classes) == {"top", "QCD"}:
            _draw_published(axes, [line for line in TOP_TAGGING if line.name in _SHOWN])
        axes.set_yscale("log")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=1)
        axes.set_xlabel(r"Signal efficiency $\varepsilon_{\mathrm{S}}$")
        axes.set_ylabel(_plain(f"Rejection of {background}") + r"  $1/\varepsilon_{\mathrm{B}}$")
        _legend(axes, "lower left", columns=2 if len(rocs) > 5 else 1)


def _draw_roc(axes: Axes, curve: Roc, color: str, label: str) -> None:
    eps_s = np.linspace(0.01, 1, 500)
    eps_b, error = curve.background_efficiency(eps_s)
    counted = eps_b * curve.num_background >= _LEAST_SURVIVORS
    eps_s, eps_b, error = eps_s[counted], eps_b[counted], error[counted]
    axes.plot(eps_s, 1 / eps_b, color=color, label=label)
    highest = 1 / np.maximum(eps_b - error, 0.1 * eps_b)
    axes.fill_between(eps_s, 1 / (eps_b + error), highest, color=color, alpha=0.25, linewidth=0)


def _draw_published(axes: Axes, lines: Sequence[Published]) -> None:
    axes.plot([], [], " ", label="published, full training set:")
    for line in lines:
        points = line.rejection["top"]
        axes.errorbar(
            list(points),
            [point.value for point in points.values()],
            yerr=[point.spread or 0 for point in points.values()],
            fmt=_SHOWN[line.name],
            color="black",
            markerfacecolor="white",
            markersize=6,
            linewidth=1,
            label=line.name,
        )


def plot_scores(
    target: Target,
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    rocs: Mapping[str, Roc],
) -> None:
    """Draw the distribution of each signal's score, for its jets and for the background's.

    The score is the difference of the logits, which spreads out what the softmax crowds at 0 and
    1. Classes without a background are each drawn against all the others.
    """
    signals = list(rocs) or list(classes)
    columns = 1 if len(signals) == 1 else 3
    rows = -(-len(signals) // columns)
    size = (7.2, 5.2) if columns == 1 else (4.6 * columns, 3.5 * rows)
    with _figure(target, size) as figure:
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes in panels[len(signals) :]:
            axes.remove()
        for axes, signal in zip(panels, signals, strict=False):
            _draw_scores(axes, logits, labels, jet_weights, classes, signal)
            if rocs:
                for number, eps_s in enumerate(working_points(classes)[signal]):
                    height = _DATA_HEIGHT + 0.03 + 0.17 * number
                    _draw_cut(axes, rocs[signal].threshold(eps_s), eps_s, height)


def _draw_scores(
    axes: Axes,
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    signal: str,
) -> None:
    number, background = classes.index(signal), background_class(classes)
    if background is None:
        scores, others, rest = log_odds(logits, number), "others", labels != number
    else:
        other = classes.index(background)
        scores, others, rest = discriminant(logits, number, other), background, labels == other
    edges = _edges([scores[labels == number], scores[rest]])
    for color, name, rows in zip(_COLORS, (signal, others), (labels == number, rest), strict=False):
        _draw_histogram(
            axes,
            scores[rows],
            jet_weights[rows],
            edges,
            color=color,
            label=name,
            filled=name == others,
        )
    if ((labels == number) | rest).any():
        axes.set_yscale("log")
        _make_room(axes)
    denominator = f"p({background})" if background else f"(1 − p({signal}))"
    axes.set_xlabel(_plain(f"ln [ p({signal}) / {denominator} ]"))
    axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g}")
    _legend(axes, "upper left", columns=2)


def _make_room(axes: Axes) -> None:
    """Let the data end at ``_DATA_HEIGHT`` of a logarithmic axis: above are legend and labels."""
    low, high = np.log10(axes.get_ylim())
    axes.set_ylim(top=10 ** (low + (high - low) / _DATA_HEIGHT))


def _draw_cut(axes: Axes, threshold: float, eps_s: float, height: float) -> None:
    if not np.isfinite(threshold):
        return
    axes.axvline(threshold, ymax=height, color="black", linestyle=":", linewidth=1)
    axes.annotate(
        rf"$\varepsilon_{{\mathrm{{S}}}}$ = {eps_s:.4g}",
        (threshold, height),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        rotation=90,
        ha="center",
        va="bottom",
        fontsize=10,
    )


def plot_training(target: Target, epochs: Sequence[Mapping[str, float]]) -> None:
    """Draw loss, accuracy and learning rate of each epoch, from the lines of ``metrics.jsonl``."""
    panels = {
        "Loss": {"train_loss": "training", "val_loss": "validation"},
        "Accuracy": {"train_accuracy": "training", "val_accuracy": "validation"},
        "Learning rate": {"lr": ""},
    }
    known = {key for line in epochs for key in line}
    shown = [title for title, curves in panels.items() if known & set(curves)]
    with _figure(target, (7.2, 2.3 * len(shown) + 0.6)) as figure:
        grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, title in zip(grid, shown, strict=True):
            _draw_curves(axes, epochs, panels[title])
            axes.set_ylabel(title)
            axes.margins(y=0.08)
        figure.align_ylabels()
        grid[-1].set_ylim(bottom=0)
        grid[-1].set_xlim(epochs[0]["epoch"] - 0.5, epochs[-1]["epoch"] + 0.5)
        grid[-1].set_xlabel("Epoch")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        grid[-1].xaxis.set_minor_locator(NullLocator())


def _draw_curves(
    axes: Axes, epochs: Sequence[Mapping[str, float]], curves: Mapping[str, str]
) -> None:
    for color, (key, label) in zip(_COLORS, curves.items(), strict=False):
        points = [(line["epoch"], line[key]) for line in epochs if key in line]
        if points:
            numbers, values = zip(*points, strict=True)
            axes.plot(numbers, values, "o-", color=color, markersize=4, label=label)
    if any(curves.values()):
        axes.legend(loc="best")


@dataclass(frozen=True, eq=False)
class Sample:
    """One variable of the jets of each class in one set of files, and the jets' weights."""

    name: str
    values: Mapping[str, Float64[np.ndarray, " jets"]]
    jet_weights: Mapping[str, Float64[np.ndarray, " jets"]]


def plot_distribution(target: Target, samples: Sequence[Sample], label: str, unit: str) -> None:
    """Draw the distribution of a variable by class, of one sample or of two side by side."""
    parts = [values for sample in samples for values in sample.values.values()]
    edges = _edges(parts, whole_numbers=not unit)
    with _figure(target, (7.2, 5.2)) as figure:
        axes = figure.subplots()
        names = list(dict.fromkeys(name for sample in samples for name in sample.values))
        colors = dict(zip(names, _cycle(len(names)), strict=True))
        for number, sample in enumerate(samples):
            for name, values in sample.values.items():
                text = name if len(samples) == 1 else f"{name}, {sample.name}"
                _draw_histogram(
                    axes,
                    values,
                    sample.jet_weights[name],
                    edges,
                    color=colors[name],
                    label=text,
                    filled=number == 0 and len(names) < 4,
                    dashed=number == 1,
                )
        axes.set_xlabel(f"{label} [{unit}]" if unit else label)
        axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g}{' ' + unit if unit else ''}")
        axes.margins(y=0.2)
        axes.set_ylim(bottom=0)
        _legend(axes, "best", columns=1 if len(names) * len(samples) < 6 else 2)


def _draw_histogram(
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
    axes.stairs(share, edges, color=color, linewidth=1.8, linestyle=style, label=_plain(label))


def _edges(
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


def _plain(text: str) -> str:
    """Return text as matplotlib prints it without looking for formulas."""
    return text.replace("$", r"\$")


def _cycle(number: int) -> list[str]:
    return [_COLORS[i % len(_COLORS)] for i in range(number)]


def _legend(
    axes: Axes, location: Literal["lower left", "upper left", "best"], columns: int
) -> None:
    axes.legend(loc=location, ncols=columns, columnspacing=1.2)


@contextmanager
def _figure(target: Target, size: tuple[float, float]) -> Iterator[Figure]:
    style: Any = {**mplhep.style.ATLAS, **_STYLE}
    with mpl.rc_context(style):
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(target, format="png")
