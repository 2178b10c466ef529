"""Pictures of a tagger's dependence on jet pT, and of the background's mass after its cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

from parttag.errors import InputError
from parttag.metrics import (
    DEFAULTS,
    Estimate,
    EvaluationOptions,
    RejectionByPt,
    Sculpting,
    discriminants,
)
from parttag.plotting.elements import COLORS, bin_edges, draw_histogram, make_room, plain
from parttag.plotting.styles import Style, drawing

_PT_LABEL = r"Jet $p_{\mathrm{T}}$ [GeV]"
# The points of one bin stand apart by their own size, and all of them take this part of it at most.
_MARKER_POINTS, _PART_OF_BIN = 7.0, 0.9
# Of the vertical axis, for the legend above the points.
_DATA_HEIGHT = 0.6
# A histogram of n jets has so many bins times n^(1/3).
_BINS_OF_ONE_JET = 4


def rejection_by_pt(
    by_pt: RejectionByPt,
    signal: str | None = None,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the rejection in bins of jet pT, with a cut for each bin and with one cut for all.

    Parameters
    ----------
    signal
        The signal class; it may be left out where there is one.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there are several signal classes and none is named, or there is no such style.
    """
    signal = _chosen(by_pt, signal)
    points = by_pt.rejection[signal]
    kinds = {"a cut for each bin": points, "one cut": by_pt.one_cut_rejection[signal]}
    series = [
        (color, eps_s, kind) for color, eps_s in zip(COLORS, points, strict=False) for kind in kinds
    ]
    with drawing(ax, style, label, (7.2, 5.2)) as axes:
        apart = _distance(axes, by_pt.edges, len(series))
        for number, (color, eps_s, kind) in enumerate(series):
            text = rf"$\varepsilon_{{\mathrm{{S}}}}$ = {eps_s:.4g}, {kind}"
            shift = (number - (len(series) - 1) / 2) * apart
            _draw_bins(axes, by_pt.edges, kinds[kind][eps_s], color, kind, shift=shift, label=text)
        axes.set_yscale("log")
        # Often less than a decade: 20, not 2 × 10¹.
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
        axes.margins(y=0.15)
        make_room(axes, _DATA_HEIGHT)
        axes.set_xlim(by_pt.edges[0], by_pt.edges[-1])
        axes.set_xlabel(_PT_LABEL)
        axes.set_ylabel(r"Rejection $1/\varepsilon_{\mathrm{B}}$")
        axes.legend(
            loc="upper left",
            title=plain(f"{signal} against {' + '.join(by_pt.background)}"),
            ncols=2 if len(points) > 1 else 1,
            columnspacing=1.2,
            alignment="left",
        )
    return axes


def efficiency_by_pt(
    by_pt: RejectionByPt,
    signal: str | None = None,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the signal efficiency of the one cut in bins of jet pT.

    Parameters
    ----------
    signal
        The signal class; it may be left out where there is one.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        As ``rejection_by_pt`` does.
    """
    signal = _chosen(by_pt, signal)
    with drawing(ax, style, label, (7.2, 4.0)) as axes:
        for color, (eps_s, found) in zip(COLORS, by_pt.one_cut_eps_s[signal].items(), strict=False):
            axes.axhline(eps_s, color="0.6", linestyle=":", linewidth=1)
            _draw_bins(axes, by_pt.edges, found, color, "one cut")
        axes.margins(y=0.25)
        axes.set_xlim(by_pt.edges[0], by_pt.edges[-1])
        axes.set_ylabel(r"One cut: $\varepsilon_{\mathrm{S}}$")
        axes.set_xlabel(_PT_LABEL)
    return axes


def _chosen(by_pt: RejectionByPt, signal: str | None) -> str:
    known = list(by_pt.rejection)
    if signal is None and len(known) == 1:
        return known[0]
    if signal not in known:
        raise InputError(
            f"signal={signal!r} is none of the signal classes; take one of {', '.join(known)}"
        )
    return signal


def _distance(
    axes: Axes, edges: Float64[np.ndarray, " edges"], number: int
) -> Float64[np.ndarray, " bins"]:
    """Return how far apart so many points stand in each bin, in GeV."""
    points = 72 * axes.bbox.width / axes.figure.dpi
    markers = (edges[-1] - edges[0]) * _MARKER_POINTS / points
    apart: Float64[np.ndarray, " bins"]
    apart = np.minimum(np.diff(edges) * _PART_OF_BIN / number, markers)
    return apart


def _draw_bins(
    axes: Axes,
    edges: Float64[np.ndarray, " edges"],
    estimates: Sequence[Estimate],
    color: str,
    kind: str,
    *,
    shift: Float64[np.ndarray, " bins"] | float = 0.0,
    label: str | None = None,
) -> None:
    """Draw an estimate for each bin: its error, or an arrow upwards where it is a lower limit."""
    centers = (edges[:-1] + edges[1:]) / 2 + shift
    values = np.array([estimate.value for estimate in estimates])
    ends = np.array([estimate.interval() for estimate in estimates])
    below, above = np.nan_to_num(values - ends[:, 0]), np.nan_to_num(ends[:, 1] - values)
    limits = np.array([estimate.is_limit for estimate in estimates])
    is_own = kind == "a cut for each bin"
    axes.errorbar(
        centers,
        values,
        yerr=np.where(limits, 0.35 * values, [below, above]),
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


@dataclass(frozen=True, eq=False)
class SignalMasses:
    """Jet masses in GeV of one signal class and of the background, and what passes the cut."""

    signal: str
    background: str
    jet_mass: Mapping[str, Float[np.ndarray, " jets"]]
    """Of the signal and the background, by class."""
    jet_weights: Mapping[str, Float[np.ndarray, " jets"]]
    passed: Bool[np.ndarray, " background_jets"]
    """Which of the background jets pass the cut."""
    sculpting: Sculpting

    @property
    def edges(self) -> Float64[np.ndarray, " edges"]:
        """Bins that both classes share, in GeV."""
        return bin_edges([self.jet_mass[self.background], self.jet_mass[self.signal]])


def signal_masses(
    jet_mass: Float[np.ndarray, " jets"],
    labels: Int64[np.ndarray, " jets"],
    jet_weights: Float[np.ndarray, " jets"],
    classes: Sequence[str],
    passing: Mapping[str, Bool[np.ndarray, " jets"]],
    sculpting: Mapping[str, Sculpting],
    options: EvaluationOptions = DEFAULTS,
) -> dict[str, SignalMasses]:
    """Return the masses that ``mass_sculpting`` draws, for each signal class.

    Parameters
    ----------
    jet_mass
        In GeV.
    passing
        Which jets pass the cut of each signal class.
    """
    scores, found = discriminants(classes, options), {}
    for signal, passed in passing.items():
        background = scores[signal].background_name
        is_background = scores[signal].is_background(labels)
        rows = {signal: scores[signal].is_signal(labels), background: is_background}
        found[signal] = SignalMasses(
            signal,
            background,
            {name: jet_mass[own] for name, own in rows.items()},
            {name: jet_weights[own] for name, own in rows.items()},
            passed[is_background],
            sculpting[signal],
        )
    return found


def mass_sculpting(
    masses: SignalMasses,
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw the mass of all background jets, of those that pass the signal's cut, and the signal's.

    Parameters
    ----------
    masses
        Of ``signal_masses``, or one's own.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If there is no such style.
    """
    edges = masses.edges
    with drawing(ax, style, label, (7.2, 5.2)) as axes:
        for color, name in zip(COLORS, (masses.background, masses.signal), strict=False):
            draw_histogram(
                axes,
                masses.jet_mass[name],
                masses.jet_weights[name],
                edges,
                color=color,
                label=f"{name}, all",
                filled=name == masses.background,
                dashed=name == masses.signal,
            )
        _draw_survivors(axes, masses, edges)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, axes.dataLim.ymax / _mass_height(axes))
        axes.set_xlabel("Jet mass [GeV]")
        axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.3g} GeV")
        axes.legend(loc="upper right", title=_verdict(masses.sculpting), alignment="left")
    return axes


def _mass_height(axes: Axes) -> float:
    """Return how much of a panel is for the histograms: in a low one the legend takes more."""
    inches = axes.bbox.height / axes.figure.dpi
    return _DATA_HEIGHT if inches > 3 else 0.5


def _draw_survivors(axes: Axes, masses: SignalMasses, edges: Float64[np.ndarray, " edges"]) -> None:
    """Draw the jets that pass as points with errors, in as many bins as they can fill.

    A point is the mean of the fine bins that its wide one joins, so that it compares with them.
    """
    name = masses.background
    jet_mass = masses.jet_mass[name][masses.passed]
    jet_weights = masses.jet_weights[name][masses.passed]
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
        label=rf"{len(jet_mass):,} {plain(name)} that pass, "
        rf"$\varepsilon_{{\mathrm{{S}}}}$ = {masses.sculpting.eps_s:g}",
    )


def _verdict(sculpting: Sculpting) -> str:
    """Return the numbers of a panel in two lines."""
    before, after = sculpting.before.median.value, sculpting.after.median.value
    distance, chance = sculpting.jensen_shannon, sculpting.by_chance.value
    if not np.isfinite(distance):
        return "too few jets pass"
    return (
        f"Median {before:.0f} → {after:.0f} GeV\n"
        f"Jensen–Shannon {distance:.2f} (chance {chance:.2f})"
    )
