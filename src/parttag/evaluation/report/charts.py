"""Charts in Vega-Lite: what they show as rows, and how it is drawn.

Foreign names are values of the rows or titles, never names of fields or parts of expressions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from parttag.plotting.elements import COLORS

Spec = dict[str, Any]
"""Of Vega-Lite, or a part of it."""

Cell = str | float | int | None

WIDE, NARROW = (640, 380), (290, 230)
"""Width and height of a chart alone, and of those of several signal classes."""

# Petroff's colors, of which the first are told apart from white best, and dashes besides.
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4])


@dataclass(frozen=True)
class Chart:
    """A picture, in words too, and its numbers as a table."""

    title: str
    text: str
    """What it shows, for those who do not see it, and below it for all."""
    spec: Spec
    headers: Sequence[str] = ()
    lines: Sequence[Sequence[str]] = ()


def data(rows: Sequence[Mapping[str, Cell]], numbers: Sequence[str]) -> Spec:
    """Return rows as data of a chart, by columns, which is short; the page makes rows of them.

    Parameters
    ----------
    numbers
        The fields that are numbers, null where there is none; others are texts, each once and then
        by its number.
    """
    fields = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [_short(row.get(name)) for row in rows] for name in fields if name in numbers}
    texts = {}
    for name in fields:
        if name not in numbers:
            values = [str(row.get(name, "")) for row in rows]
            known = {text: place for place, text in enumerate(dict.fromkeys(values))}
            texts[name] = {"texts": list(known), "at": [known[text] for text in values]}
    return {"columns": columns, "texts": texts, "rows": len(rows)}


def _short(value: Cell) -> Cell:
    """Return a number with five digits; what is not finite is none."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None


def quantitative(field: str, title: str, *, log: bool = False, **scale: Any) -> Spec:
    """Return an axis of numbers."""
    kind = {"type": "log"} if log else {"zero": False}
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {**kind, "nice": not log, **scale},
        "axis": {"format": "~g"} if log else {},
    }


def colored(field: str, title: str | None, order: Sequence[str]) -> Spec:
    """Return a color for each of some names."""
    return {
        "field": field,
        "type": "nominal",
        "title": title,
        "scale": {
            "domain": list(order),
            "range": [COLORS[i % len(COLORS)] for i in range(len(order))],
        },
        "legend": {"labelLimit": 320, "symbolLimit": 40},
    }


def dashed(field: str, order: Sequence[str], *, beside_color: bool = True) -> Spec:
    """Return a dash for each of some names, for those who cannot tell colors apart.

    Parameters
    ----------
    beside_color
        Whether the names have colors too, with a legend of both.
    """
    same = {} if beside_color else {"legend": None}
    # After the last color they move on by one: no two of fifty names look alike.
    dashes = [DASHES[(i + i // len(COLORS)) % len(DASHES)] for i in range(len(order))]
    scale = {"domain": list(order), "range": dashes}
    return {**colored(field, None, order), "scale": scale, **same}


def binned_layers(x: Spec, y: Spec, series: Sequence[str], tips: Sequence[Spec]) -> list[Spec]:
    """Return numbers in bins from ``from`` to ``to``, with errors from ``low`` to ``high``.

    Parameters
    ----------
    x, y
        The middle of a bin, and its number.
    series
        The names of ``series``, each with a color and a dash.
    tips
        What is shown where the pointer is.
    """
    color = colored("series", None, series)
    widths: Spec = {
        "x": {**x, "field": "from"},
        "x2": {"field": "to"},
        "y": y,
        "color": color,
        "strokeDash": dashed("series", series),
        "tooltip": list(tips),
    }
    errors: Spec = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color}
    return [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": widths},
        {"mark": {"type": "rule"}, "encoding": errors},
    ]


def tip(field: str, title: str, form: str | None = None) -> Spec:
    """Return a line of what is shown where the pointer is."""
    if form is None:
        return {"field": field, "type": "nominal", "title": title}
    return {"field": field, "type": "quantitative", "title": title, "format": form}


def panels(
    layers: Sequence[Spec], signals: Sequence[str], rows: Spec, size: tuple[int, int] = WIDE
) -> Spec:
    """Return layers on one panel, or on one for each signal class, the field ``signal``."""
    if len(signals) < 2:
        return {"data": rows, "width": size[0], "height": size[1], "layer": list(layers)}
    return {
        "data": rows,
        "facet": {"field": "signal", "type": "nominal", "title": None, "sort": list(signals)},
        "columns": 3,
        "spec": {"width": NARROW[0], "height": NARROW[1], "layer": list(layers)},
        # Beside three panels there is no room.
        "config": {"legend": {"orient": "bottom", "columns": 4}},
    }


def matrix(
    share: Float[np.ndarray, "classes classes"], classes: Sequence[str], columns: str, rows: str
) -> Spec:
    """Return shares of each true class, a row, that are given each class; NaN is left empty.

    Parameters
    ----------
    columns, rows
        What the axes say.
    """
    cells: list[Mapping[str, Cell]] = [
        {"truth": classes[i], "predicted": classes[j], "share": float(share[i, j])}
        for i, j in np.ndindex(share.shape)
        if np.isfinite(share[i, j])
    ]
    size, names = max(60 * len(classes), 160), list(classes)
    dark = {"test": {"field": "share", "gt": 0.55}, "value": "white"}
    angle = -40 if len(classes) > 4 else 0
    color = {
        "field": "share",
        "type": "quantitative",
        "scale": {"scheme": "blues", "domain": [0, 1]},
        "title": "share",
    }
    tips = [tip("truth", "class"), tip("predicted", "called"), tip("share", "share", ".4f")]
    return {
        "data": data(cells, ["share"]),
        "width": size,
        "height": size,
        "encoding": {
            "x": {
                "field": "predicted",
                "type": "nominal",
                "sort": names,
                "title": columns,
                "axis": {"orient": "top", "labelAngle": angle},
            },
            "y": {"field": "truth", "type": "nominal", "sort": names, "title": rows},
        },
        "layer": [
            {"mark": "rect", "encoding": {"color": color, "tooltip": tips}},
            {
                "mark": {"type": "text", "fontSize": 13},
                "encoding": {
                    "text": {"field": "share", "type": "quantitative", "format": ".3f"},
                    "color": {"condition": dark, "value": "black"},
                },
            },
        ],
    }


def picked(field: str) -> tuple[list[Spec], Spec]:
    """Return what lets a click into the legend pick one series, and the opacity of the others."""
    params: list[Spec] = [
        {"name": "picked", "select": {"type": "point", "fields": [field]}, "bind": "legend"}
    ]
    return params, {"condition": {"param": "picked", "value": 1}, "value": 0.12}


def number(value: float, digits: int = 3) -> str:
    """Return a number as tables have it; a dash for what is not known."""
    return "–" if value != value else f"{value:.{digits}g}"
