"""Curves: the ROC, and how a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from parttag.errors import InputError
from parttag.metrics import Roc
from parttag.metrics.published import TOP_TAGGING, Published
from parttag.metrics.roc import FEWEST_SIGNAL
from parttag.plotting.elements import COLORS, cycle, draw_legend, plain
from parttag.plotting.styles import Style, drawing

Quantity = Literal["loss", "accuracy", "lr"]

# The published points that a ROC shows: few enough that they can be told apart.
_SHOWN = {"PFN": "v", "ParT": "o", "L-GATr": "D", "ParT-f.t.": "^"}
# Below it the curve of a ROC is not drawn: fewer background jets say nothing.
_LEAST_SURVIVORS = 2.0
# Title and curves of each panel of a training.
_PANELS: dict[str, tuple[str, dict[str, str]]] = {
    "loss": ("Loss", {"train_loss": "training", "val_loss": "validation"}),
    "accuracy": ("Accuracy", {"train_accuracy": "training", "val_accuracy": "validation"}),
    "lr": ("Learning rate", {"lr": ""}),
}


def roc(
    curves: Mapping[str, Roc],
    *,
    background: str = "background",
    published: bool = False,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw 1/ε_B against ε_S with its statistical error for every curve.

    Parameters
    ----------
    curves
        By the names that the legend gives them.
    background
        The class that is rejected.
    published
        Whether the published points of the top-tagging reference jets stand beside it, labelled as
        what they are.
    ax, style, label
        Axes to draw on, made if there are none; ``"parttag"``, ``"CMS"`` or ``"ATLAS"``; text
        beside the experiment's name above the axes.

    Raises
    ------
    InputError
        If there is no such style.
    """
    with drawing(ax, style, label, (7.2, 5.6)) as axes:
        for color, (name, curve) in zip(cycle(len(curves)), curves.items(), strict=True):
            draw_roc(axes, curve, color, plain(name))
        axes.fill_between([], [], color="0.7", linewidth=0, label="statistical error")
        if published:
            _draw_published(axes, [line for line in TOP_TAGGING if line.name in _SHOWN])
        axes.set_yscale("log")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=1)
        axes.set_xlabel(r"Signal efficiency $\varepsilon_{\mathrm{S}}$")
        axes.set_ylabel(plain(f"Rejection of {background}") + r"  $1/\varepsilon_{\mathrm{B}}$")
        draw_legend(axes, "lower left", columns=2 if len(curves) > 5 else 1)
    return axes


def draw_roc(
    axes: Axes,
    curve: Roc,
    color: str,
    label: str,
    *,
    linestyle: str = "-",
    with_error: bool = True,
) -> None:
    """Draw 1/ε_B against ε_S as far as background jets survive, and a band of its 68 % interval."""
    eps_s = np.linspace(0.01, 1, 500)
    eps_b, error = curve.background_efficiency(eps_s)
    counted = eps_b * curve.num_background >= _LEAST_SURVIVORS
    eps_s, eps_b, error = eps_s[counted], eps_b[counted], error[counted]
    axes.plot(eps_s, 1 / eps_b, color=color, linestyle=linestyle, label=label)
    if with_error:
        known = curve.num_signal * np.minimum(eps_s, 1 - eps_s) >= FEWEST_SIGNAL
        eps_s, eps_b, factor = eps_s[known], eps_b[known], np.exp((error / eps_b)[known])
        low, high = 1 / (eps_b * factor), factor / eps_b
        axes.fill_between(eps_s, low, high, color=color, alpha=0.25, linewidth=0)


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


def training_quantities(epochs: Sequence[Mapping[str, float]]) -> list[Quantity]:
    """Return what can be drawn of a training: loss, accuracy and learning rate, if it has them."""
    known = {key for line in epochs for key in line}
    quantities: tuple[Quantity, ...] = get_args(Quantity)
    return [quantity for quantity in quantities if known & set(_PANELS[quantity][1])]


def training(
    epochs: Sequence[Mapping[str, float]],
    quantity: Quantity = "loss",
    *,
    ax: Axes | None = None,
    style: Style | None = None,
    label: str | None = None,
) -> Axes:
    """Draw loss, accuracy or learning rate of each epoch.

    Parameters
    ----------
    epochs
        The lines of ``metrics.jsonl``.
    quantity
        ``"loss"``, ``"accuracy"`` or ``"lr"``.
    ax, style, label
        As in ``roc``.

    Raises
    ------
    InputError
        If no epoch has the quantity, or there is no such style.
    """
    if quantity not in training_quantities(epochs):
        raise InputError(
            f"the training has no {quantity!r} to draw; it has "
            f"{', '.join(training_quantities(epochs)) or 'no epochs'}"
        )
    title, curves = _PANELS[quantity]
    with drawing(ax, style, label, (7.2, 4.0)) as axes:
        for color, (key, name) in zip(COLORS, curves.items(), strict=False):
            points = [(line["epoch"], line[key]) for line in epochs if key in line]
            if points:
                numbers, values = zip(*points, strict=True)
                axes.plot(numbers, values, "o-", color=color, markersize=4, label=name)
        if any(curves.values()):
            axes.legend(loc="best")
        axes.margins(y=0.08)
        axes.set_ylabel(title)
        axes.set_xlabel("Epoch")
        if quantity == "lr":
            axes.set_ylim(bottom=0)
            # 0.001 and 2e-05, without a power of ten that would stand above the panel.
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        axes.set_xlim(epochs[0]["epoch"] - 0.5, epochs[-1]["epoch"] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_minor_locator(NullLocator())
    return axes
