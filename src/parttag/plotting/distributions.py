"""Distributions: of the scores, and of any variable by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64, Int64
from matplotlib.axes import Axes

from parttag.metrics import DEFAULTS, EvaluationOptions, Roc, discriminants, log_odds
from parttag.plotting.elements import (
    bin_edges,
    cycle,
    draw_histogram,
    draw_legend,
    make_room,
    plain,
)
from parttag.plotting.styles import Style, drawing

# How high the histograms of scores reach, as a fraction of the panel.
_DATA_HEIGHT = 0.55


@dataclass(frozen=True, eq=False)
class SignalScores:
    """The score that tells one signal class from others, by class: the signal's jets first."""

    values: Mapping[str, Float[np.ndarray, " jets"]]
    jet_weights: Mapping[str, Float[np.ndarray, " jets"]]
    name: str
    """What the score is, as the horizontal axis says it."""
    cuts: Mapping[float, float] = field(default_factory=dict)
    """Thresholds to mark, by the signal efficiency that each keeps."""

    @property
    def edges(self) -> Float64[np.ndarray, " edges"]:
        """Bins that all classes share."""
        return bin_edges(list(self.values.values()))


def signal_scores(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    rocs: Mapping[str, Roc],
    options: EvaluationOptions = DEFAULTS,
) -> dict[str, SignalScores]:
    """Return the scores of each signal, for its jets and for the background's.

    The score is the logarithm of a ratio, which spreads out what the softmax crowds at 0 and 1.
    Classes without a background are each taken against all the others.
    """
    known, found = discriminants(classes, options), {}
    for signal in list(rocs) or list(classes):
        number, score = classes.index(signal), known.get(signal)
        if score is None:
            scores, others, rest = log_odds(logits, number), "others", labels != number
            formula = f"ln [ p({signal}) / (1 − p({signal})) ]"
        else:
            scores, formula = score(logits), score.formula
            others, rest = score.background_name, score.is_background(labels)
        rows = {signal: labels == number, others: rest}
        points = score.working_points if score is not None and rocs else ()
        thresholds = {eps_s: rocs[signal].threshold(eps_s) for eps_s in points}
        found[signal] = SignalScores(
            {name: scores[own] for name, own in rows.items()},
            {name: jet_weights[own] for name, own in rows.items()},
            formula,
            thresholds,
        )
    return found


def scores(
    given: SignalScores,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the distribution of a score, for the jets of the signal and for the others.

    Parameters
    ----------
    given
        Of ``signal_scores``, or one's own.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    edges = given.edges
    with drawing(ax, style, label, (7.2, 5.2)) as axes:
        last = list(given.values)[-1]
        for color, (name, values) in zip(
            cycle(len(given.values)), given.values.items(), strict=True
        ):
            weights = given.jet_weights[name]
            draw_histogram(
                axes, values, weights, edges, color=color, label=name, filled=name == last
            )
        if any(len(values) for values in given.values.values()):
            axes.set_yscale("log")
            make_room(axes, _DATA_HEIGHT)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(plain(given.name))
        axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g}")
        draw_legend(axes, "upper left", columns=2)
        for number, (eps_s, threshold) in enumerate(given.cuts.items()):
            _draw_cut(axes, threshold, eps_s, _DATA_HEIGHT + 0.03 + 0.17 * number)
    return axes


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


def sample_edges(samples: Sequence[Sample], unit: str) -> Float64[np.ndarray, " edges"]:
    """Return bins that all classes of all samples share; without a unit, of whole numbers."""
    parts = [values for sample in samples for values in sample.values.values()]
    return bin_edges(parts, whole_numbers=not unit)


def distribution(
    samples: Sequence[Sample],
    name: str,
    unit: str,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the distribution of a variable by class, of one sample or of two side by side.

    Parameters
    ----------
    name, unit
        What the axis says: mathtext between dollars is a formula. Without a unit, the values are
        whole numbers.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    edges = sample_edges(samples, unit)
    with drawing(ax, style, label, (7.2, 5.2)) as axes:
        names = list(dict.fromkeys(name for sample in samples for name in sample.values))
        colors = dict(zip(names, cycle(len(names)), strict=True))
        for number, sample in enumerate(samples):
            for class_name, values in sample.values.items():
                draw_histogram(
                    axes,
                    values,
                    sample.jet_weights[class_name],
                    edges,
                    color=colors[class_name],
                    label=class_name if len(samples) == 1 else f"{class_name}, {sample.name}",
                    filled=number == 0 and len(names) < 4,
                    dashed=number == 1,
                )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(f"{name} [{unit}]" if unit else name)
        axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g}{' ' + unit if unit else ''}")
        axes.margins(y=0.2)
        axes.set_ylim(bottom=0)
        draw_legend(axes, "best", columns=1 if len(names) * len(samples) < 6 else 2)
    return axes
