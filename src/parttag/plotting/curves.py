"""Curves: the ROC, and how a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from parttag.metrics import DEFAULTS, EvaluationOptions, Roc, background_of
from parttag.metrics.published import TOP_TAGGING, Published
from parttag.plotting.figure import COLORS, Target, cycle, draw_legend, new_figure, plain

# The published points that a ROC shows: few enough that they can be told apart.
_SHOWN = {"PFN": "v", "ParT": "o", "L-GATr": "D", "ParT-f.t.": "^"}
# Below it the curve of a ROC is not drawn: fewer background jets say nothing.
_LEAST_SURVIVORS = 2.0


def plot_roc(
    target: Target,
    rocs: Mapping[str, Roc],
    classes: Sequence[str],
    name: str,
    *,
    published: bool = True,
    options: EvaluationOptions = DEFAULTS,
) -> None:
    """Draw 1/ε_B against ε_S with its statistical error for every signal class.

    Top tagging has the published points beside it, labelled as what they are, if ``published``.
    """
    background = background_of(classes, options)
    with new_figure(target, (7.2, 5.6)) as figure:
        axes = figure.subplots()
        for color, (signal, curve) in zip(cycle(len(rocs)), rocs.items(), strict=True):
            draw_roc(axes, curve, color, plain(name if len(rocs) == 1 else signal))
        axes.fill_between([], [], color="0.7", linewidth=0, label="statistical error")
        if published and set(rocs) == {"top"} and background == ("QCD",):
            _draw_published(axes, [line for line in TOP_TAGGING if line.name in _SHOWN])
        axes.set_yscale("log")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=1)
        axes.set_xlabel(r"Signal efficiency $\varepsilon_{\mathrm{S}}$")
        axes.set_ylabel(
            plain(f"Rejection of {' + '.join(background)}") + r"  $1/\varepsilon_{\mathrm{B}}$"
        )
        draw_legend(axes, "lower left", columns=2 if len(rocs) > 5 else 1)


def draw_roc(
    axes: Axes,
    curve: Roc,
    color: str,
    label: str,
    *,
    linestyle: str = "-",
    with_error: bool = True,
) -> None:
    """Draw 1/ε_B against ε_S as far as background jets survive, and a band of its error."""
    eps_s = np.linspace(0.01, 1, 500)
    eps_b, error = curve.background_efficiency(eps_s)
    counted = eps_b * curve.num_background >= _LEAST_SURVIVORS
    eps_s, eps_b, error = eps_s[counted], eps_b[counted], error[counted]
    axes.plot(eps_s, 1 / eps_b, color=color, linestyle=linestyle, label=label)
    if with_error:
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


def plot_training(target: Target, epochs: Sequence[Mapping[str, float]]) -> None:
    """Draw loss, accuracy and learning rate of each epoch, from the lines of ``metrics.jsonl``."""
    panels = {
        "Loss": {"train_loss": "training", "val_loss": "validation"},
        "Accuracy": {"train_accuracy": "training", "val_accuracy": "validation"},
        "Learning rate": {"lr": ""},
    }
    known = {key for line in epochs for key in line}
    shown = [title for title, curves in panels.items() if known & set(curves)]
    with new_figure(target, (7.2, 2.3 * len(shown) + 0.6)) as figure:
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
    for color, (key, label) in zip(COLORS, curves.items(), strict=False):
        points = [(line["epoch"], line[key]) for line in epochs if key in line]
        if points:
            numbers, values = zip(*points, strict=True)
            axes.plot(numbers, values, "o-", color=color, markersize=4, label=label)
    if any(curves.values()):
        axes.legend(loc="best")
