"""Distributions: of the scores, and of any variable by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64
from matplotlib.axes import Axes

from parttag.metrics import DEFAULTS, Discriminant, EvaluationOptions, Roc, discriminants, log_odds
from parttag.plotting.figure import (
    COLORS,
    Target,
    bin_edges,
    cycle,
    draw_histogram,
    draw_legend,
    make_room,
    new_figure,
    new_panels,
    plain,
)

# How high the histograms of scores reach, as a fraction of the panel.
_DATA_HEIGHT = 0.55


def plot_scores(
    target: Target,
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    rocs: Mapping[str, Roc],
    options: EvaluationOptions = DEFAULTS,
) -> None:
    """Draw the distribution of each signal's score, for its jets and for the background's.

    The score is the logarithm of a ratio, which spreads out what the softmax crowds at 0 and 1.
    Classes without a background are each drawn against all the others.
    """
    found = discriminants(classes, options)
    signals = list(rocs) or list(classes)
    with new_panels(target, len(signals)) as panels:
        for axes, signal in zip(panels, signals, strict=True):
            score = found.get(signal)
            _draw_scores(axes, logits, labels, jet_weights, classes, signal, score)
            if rocs and score is not None:
                for number, eps_s in enumerate(score.working_points):
                    height = _DATA_HEIGHT + 0.03 + 0.17 * number
                    _draw_cut(axes, rocs[signal].threshold(eps_s), eps_s, height)


def _draw_scores(
    axes: Axes,
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    signal: str,
    score: Discriminant | None,
) -> None:
    number = classes.index(signal)
    if score is None:
        scores, others, rest = log_odds(logits, number), "others", labels != number
        formula = f"ln [ p({signal}) / (1 − p({signal})) ]"
    else:
        scores, others, rest = score(logits), score.background_name, score.is_background(labels)
        formula = score.formula
    edges = bin_edges([scores[labels == number], scores[rest]])
    for color, name, rows in zip(COLORS, (signal, others), (labels == number, rest), strict=False):
        draw_histogram(
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
        make_room(axes, _DATA_HEIGHT)
    axes.set_xlabel(plain(formula))
    axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g}")
    draw_legend(axes, "upper left", columns=2)


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


@dataclass(frozen=True, eq=False)
class Sample:
    """One variable of the jets of each class in one set of files, and the jets' weights."""

    name: str
    values: Mapping[str, Float64[np.ndarray, " jets"]]
    jet_weights: Mapping[str, Float64[np.ndarray, " jets"]]


def plot_distribution(target: Target, samples: Sequence[Sample], label: str, unit: str) -> None:
    """Draw the distribution of a variable by class, of one sample or of two side by side."""
    parts = [values for sample in samples for values in sample.values.values()]
    edges = bin_edges(parts, whole_numbers=not unit)
    with new_figure(target, (7.2, 5.2)) as figure:
        axes = figure.subplots()
        names = list(dict.fromkeys(name for sample in samples for name in sample.values))
        colors = dict(zip(names, cycle(len(names)), strict=True))
        for number, sample in enumerate(samples):
            for name, values in sample.values.items():
                text = name if len(samples) == 1 else f"{name}, {sample.name}"
                draw_histogram(
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
        draw_legend(axes, "best", columns=1 if len(names) * len(samples) < 6 else 2)
