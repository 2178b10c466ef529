"""How a tagger depends on a jet's pT, and what its cut makes of the background's mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

from parttag.metrics import (
    DEFAULTS,
    Estimate,
    EvaluationOptions,
    RejectionByPt,
    Sculpting,
    background_of,
    discriminants,
)
from parttag.plotting.figure import (
    COLORS,
    Target,
    bin_edges,
    draw_histogram,
    make_room,
    new_figure,
    new_panels,
    plain,
)

_PT_LABEL = r"Jet $p_{\mathrm{T}}$ [GeV]"
# How far the points of one bin stand apart, as a fraction of its width.
_APART = 0.1
# Of the vertical axis, for the legend above the points.
_DATA_HEIGHT = 0.6
# A histogram of n jets has so many bins times n^(1/3).
_BINS_OF_ONE_JET = 4


def plot_rejection_by_pt(
    target: Target,
    by_pt: RejectionByPt,
    classes: Sequence[str],
    options: EvaluationOptions = DEFAULTS,
) -> None:
    """Draw the rejection in bins of jet pT, with a cut for each bin and with one cut for all.

    With one signal class, a panel below has the signal efficiency of the one cut.
    """
    signals = list(by_pt.rejection)
    background = " + ".join(background_of(classes, options))
    if len(signals) > 1:
        with new_panels(target, len(signals)) as panels:
            for axes, signal in zip(panels, signals, strict=True):
                _draw_rejection(axes, by_pt, signal, background)
                axes.set_xlabel(_PT_LABEL)
        return
    with new_figure(target, (7.2, 6.4)) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _draw_rejection(above, by_pt, signals[0], background)
        for color, (eps_s, found) in zip(
            COLORS, by_pt.one_cut_eps_s[signals[0]].items(), strict=False
        ):
            below.axhline(eps_s, color="0.6", linestyle=":", linewidth=1)
            _draw_bins(below, by_pt.edges, found, color, "one cut", place=0.0)
        below.margins(y=0.25)
        below.set_ylabel(r"One cut: $\varepsilon_{\mathrm{S}}$")
        below.set_xlabel(_PT_LABEL)
        figure.align_ylabels()


def _draw_rejection(axes: Axes, by_pt: RejectionByPt, signal: str, background: str) -> None:
    points = by_pt.rejection[signal]
    kinds = {"a cut for each bin": points, "one cut": by_pt.one_cut_rejection[signal]}
    series = [
        (color, eps_s, kind) for color, eps_s in zip(COLORS, points, strict=False) for kind in kinds
    ]
    for number, (color, eps_s, kind) in enumerate(series):
        label = rf"$\varepsilon_{{\mathrm{{S}}}}$ = {eps_s:.4g}, {kind}"
        place = number - (len(series) - 1) / 2
        _draw_bins(axes, by_pt.edges, kinds[kind][eps_s], color, kind, place=place, label=label)
    axes.set_yscale("log")
    # Often less than a decade: 20, not 2 × 10¹.
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.margins(y=0.15)
    make_room(axes, _DATA_HEIGHT)
    axes.set_xlim(by_pt.edges[0], by_pt.edges[-1])
    axes.set_ylabel(r"Rejection $1/\varepsilon_{\mathrm{B}}$")
    title = plain(f"{signal} against {background}")
    columns = 2 if len(points) > 1 else 1
    axes.legend(loc="upper left", title=title, ncols=columns, columnspacing=1.2, alignment="left")


def _draw_bins(
    axes: Axes,
    edges: Float64[np.ndarray, " edges"],
    estimates: Sequence[Estimate],
    color: str,
    kind: str,
    *,
    place: float,
    label: str | None = None,
) -> None:
    """Draw an estimate for each bin: its error, or an arrow upwards where it is a lower limit."""
    width = np.diff(edges)
    centers = edges[:-1] + (0.5 + _APART * place) * width
    values = np.array([estimate.value for estimate in estimates])
    errors = np.array([estimate.error for estimate in estimates])
    limits = np.array([estimate.is_lower_limit for estimate in estimates])
    is_own = kind == "a cut for each bin"
    axes.errorbar(
        centers,
        values,
        # An error as large as the value would reach 0, which a logarithmic axis does not have.
        yerr=np.where(limits, 0.35 * values, np.minimum(np.nan_to_num(errors), 0.9 * values)),
        lolims=limits,
        fmt="o" if is_own else "s",
        color=color,
        markerfacecolor=color if is_own else "white",
        markersize=5.5,
        linewidth=1.4,
        label=label,
    )
    axes.hlines(
        values,
        edges[:-1],
        edges[1:],
        colors=color,
        linewidth=1.0,
        linestyles="-" if is_own else ":",
    )


def plot_mass_sculpting(
    target: Target,
    jet_mass: Float[np.ndarray, " jets"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    passing: Mapping[str, Bool[np.ndarray, " jets"]],
    sculpting: Mapping[str, Sculpting],
    options: EvaluationOptions = DEFAULTS,
) -> None:
    """Draw the mass of all background jets, of those that pass each signal's cut, and the signal's.

    Parameters
    ----------
    jet_mass
        In GeV.
    passing
        Which jets pass the cut of each signal class.
    """
    scores = discriminants(classes, options)
    with new_panels(target, len(passing)) as panels:
        for axes, (signal, passed) in zip(panels, passing.items(), strict=True):
            background = scores[signal].background_name
            is_signal = scores[signal].is_signal(labels)
            is_background = scores[signal].is_background(labels)
            survivors = is_background & passed
            edges = bin_edges([jet_mass[is_background], jet_mass[is_signal]])
            for color, name, rows in (
                (COLORS[0], background, is_background),
                (COLORS[1], signal, is_signal),
            ):
                draw_histogram(
                    axes,
                    jet_mass[rows],
                    jet_weights[rows],
                    edges,
                    color=color,
                    label=f"{name}, all",
                    filled=name == background,
                    dashed=name == signal,
                )
            label = (
                rf"{survivors.sum():,} {plain(background)} that pass, "
                rf"$\varepsilon_{{\mathrm{{S}}}}$ = {sculpting[signal].eps_s:g}"
            )
            _draw_survivors(axes, jet_mass[survivors], jet_weights[survivors], edges, label)
            axes.set_xlim(edges[0], edges[-1])
            axes.set_ylim(0, axes.dataLim.ymax / (_DATA_HEIGHT if len(panels) == 1 else 0.5))
            axes.set_xlabel("Jet mass [GeV]")
            axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g} GeV")
            axes.legend(loc="upper right", title=_verdict(sculpting[signal]), alignment="left")


def _draw_survivors(
    axes: Axes,
    jet_mass: Float[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    edges: Float64[np.ndarray, " edges"],
    label: str,
) -> None:
    """Draw the jets that pass as points with errors, in as many bins as they can fill.

    A point is the mean of the fine bins that its wide one joins, so that it compares with them.
    """
    joined = max(1, round(len(edges) / (_BINS_OF_ONE_JET * max(len(jet_mass), 1) ** (1 / 3))))
    wide = edges[::joined]
    counts, _ = np.histogram(jet_mass, wide, weights=jet_weights)
    squares, _ = np.histogram(jet_mass, wide, weights=jet_weights.astype(np.float64) ** 2)
    filled = counts > 0
    scale = joined * jet_weights.sum()
    axes.errorbar(
        ((wide[:-1] + wide[1:]) / 2)[filled],
        counts[filled] / scale,
        xerr=(np.diff(wide) / 2)[filled],
        yerr=np.sqrt(squares[filled]) / scale,
        fmt="o",
        color="black",
        markersize=4.5,
        linewidth=1.2,
        label=label,
    )


def _verdict(sculpting: Sculpting) -> str:
    """Return the numbers of a panel in two lines."""
    before, after = sculpting.before.median.value, sculpting.after.median.value
    distance, chance = sculpting.jensen_shannon.value, sculpting.by_chance.value
    if not np.isfinite(distance):
        return "too few jets pass"
    return (
        f"Median {before:.0f} → {after:.0f} GeV\n"
        f"Jensen–Shannon {distance:.2f} (chance {chance:.2f})"
    )
