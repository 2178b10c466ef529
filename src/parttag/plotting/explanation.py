"""Pictures of what a tagger goes by: importance of its inputs, and which particles count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from parttag.metrics import Estimate
from parttag.plotting.elements import COLORS, cycle, draw_legend, plain
from parttag.plotting.styles import Style, figure_panels

# Inputs that a picture has room for, from the most important on.
_MOST_INPUTS = 30


def importance_figure(
    importance: Mapping[str, Estimate],
    gradient_share: Mapping[str, float],
    *,
    rises: bool = True,
    style: Style = "parttag",
) -> Figure:
    """Return a bar for each input: what exchanging it costs, and its part of the gradients.

    Parameters
    ----------
    importance
        By input, in the order in which they are shown.
    gradient_share
        By input; others have no bar.
    rises
        Whether it is the rise of the loss; else the change of the scores.
    """
    names = list(importance)[:_MOST_INPUTS]
    place = np.arange(len(names))
    figure, (left, right) = figure_panels(
        1, 2, (10.5, 1.6 + 0.34 * len(names)), style, sharey=True, width_ratios=(3, 2)
    )
    values = [importance[name].value for name in names]
    errors = [importance[name].error for name in names]
    left.barh(place, values, xerr=errors, color=COLORS[0], height=0.7)
    left.axvline(0, color="black", linewidth=1)
    left.set_xlabel("Rise of the loss, exchanged" if rises else "Change of scores, exchanged")
    right.barh(place, [100 * gradient_share.get(name, 0) for name in names], color=COLORS[1])
    right.set_xlabel("Part of the gradients [%]")
    left.set_yticks(place, [plain(name) for name in names], minor=False)
    left.yaxis.minorticks_off()
    left.set_ylim(len(names) - 0.4, -0.6)
    return figure


def places_figure(
    places: Mapping[str, Float[np.ndarray, " places"]], *, style: Style = "parttag"
) -> Figure:
    """Return the sizes of gradients, and the attention, of the hardest particles by their place."""
    attention = {name: row for name, row in places.items() if name != "gradients"}
    figure, panels = figure_panels(
        1, 2 if attention else 1, (11.0 if attention else 6.0, 4.2), style
    )
    gradients = places["gradients"]
    panels[0].plot(np.arange(1, len(gradients) + 1), gradients, "o-", color=COLORS[0], markersize=4)
    panels[0].set_ylabel("Size of the gradients")
    for color, (name, row) in zip(cycle(len(attention)), attention.items(), strict=True):
        panels[1].plot(np.arange(1, len(row) + 1), row, "o-", color=color, label=plain(name))
    if attention:
        panels[1].set_ylabel("Attention")
        draw_legend(panels[1], "best", columns=1)
    for panel in panels:
        panel.set_xlabel("Place of the particle in pT")
        panel.set_ylim(bottom=0)
    return figure
