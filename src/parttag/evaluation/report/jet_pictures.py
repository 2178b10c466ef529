"""Pictures of single jets: particles in η and φ, their gradients and what class tokens look at."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from parttag.evaluation.report.charts import Cell, Chart, Spec, data, number, quantitative, tip
from parttag.evaluation.report.looks import Look

_SIZE = 300
# Particles of a table, the most important ones.
_MOST_LINES = 8


def jet_chart(look: Look) -> Chart:
    """Return the particles of a jet, sized by pT: by gradient, and by attention beside it."""
    rows: list[dict[str, Cell]] = [
        {
            "place": place + 1,
            "pt": float(look.pt[place]),
            "eta": float(look.delta_eta[place]),
            "phi": float(look.delta_phi[place]),
            "gradient": float(look.gradient[place]),
            "type": look.types[place],
            **({} if look.attention is None else {"attention": float(look.attention[place])}),
        }
        for place in range(len(look.pt))
    ]
    reach = _reach(look)
    strongest = max(float(np.abs(look.gradient).max(initial=0)), 1e-9)
    shown: list[Spec] = [
        _panel(
            "gradient",
            f"Gradients: towards {look.predicted} or away",
            {"scheme": "blueorange", "domain": [-strongest, strongest]},
            reach,
            has_attention=look.attention is not None,
        )
    ]
    if look.attention is not None:
        shown.append(
            _panel(
                "attention",
                "Attention of the class token",
                {"scheme": "viridis", "reverse": True, "zero": False},
                reach,
                has_attention=True,
            )
        )
    spec: Spec = {
        "data": data(rows, ["place", "pt", "eta", "phi", "gradient", "attention"]),
        "hconcat": shown,
        "resolve": {"scale": {"color": "independent", "size": "shared"}},
    }
    order = np.argsort(-np.abs(look.gradient), kind="stable")[:_MOST_LINES]
    first = int(order[0]) if len(order) else 0
    said = (
        f"{len(look.pt)} particles; the largest gradient, {look.gradient[first]:+.2g}, has number "
        f"{first + 1} in pT, {look.pt[first]:.3g} GeV"
        if len(order)
        else "no particles"
    )
    if look.attention is not None and len(order):
        most = int(look.attention.argmax())
        said += f"; most attention, {look.attention[most]:.2g}, has number {most + 1}"
    return Chart(
        f"{look.why.capitalize()}: {look.truth}, called {look.predicted}",
        f"{look.place}: a jet of {look.truth}, called {look.predicted} with score "
        f"{_score(look.score)}; pT {look.jet_pt:.4g} GeV, mass {look.jet_mass:.3g} GeV. {said}.",
        spec,
        ["place in pT", "pT [GeV]", "Δη", "Δφ", "gradient", "attention", "what it is"],
        [
            [
                str(row + 1),
                number(float(look.pt[row])),
                number(float(look.delta_eta[row]), 2),
                number(float(look.delta_phi[row]), 2),
                f"{look.gradient[row]:+.2g}",
                "–" if look.attention is None else number(float(look.attention[row]), 2),
                look.types[row] or "–",
            ]
            for row in order.tolist()
        ],
    )


def _score(score: float) -> str:
    """Return a score; near 1 what is missing."""
    return f"{score:.3f}" if score < 0.999 else f"1 − {1 - score:.1g}"


def _reach(look: Look) -> float:
    angles: Float[np.ndarray, " angles"] = np.concatenate([look.delta_eta, look.delta_phi])
    return 1.08 * max(float(np.abs(angles).max(initial=0)), 0.05)


def _panel(field: str, title: str, scale: Spec, reach: float, *, has_attention: bool) -> Spec:
    tips = [
        tip("place", "place in pT", "d"),
        tip("pt", "pT [GeV]", ".4~g"),
        tip("eta", "Δη", ".3f"),
        tip("phi", "Δφ", ".3f"),
        tip("gradient", "gradient", "+.3~g"),
        *([tip("attention", "attention", ".3~g")] if has_attention else []),
        tip("type", "what it is"),
    ]
    return {
        "title": {"text": title, "fontSize": 12, "fontWeight": "normal"},
        "width": _SIZE,
        "height": _SIZE,
        "mark": {"type": "circle", "opacity": 0.9, "stroke": "#444", "strokeWidth": 0.6},
        "encoding": {
            "x": quantitative("eta", "Δη", domain=[-reach, reach], nice=False),
            "y": quantitative("phi", "Δφ", domain=[-reach, reach], nice=False),
            "size": {
                "field": "pt",
                "type": "quantitative",
                "title": "pT [GeV]",
                "scale": {"zero": True, "range": [8, 900]},
            },
            "color": {
                "field": field,
                "type": "quantitative",
                "title": field,
                "scale": scale,
                "legend": {"gradientLength": 120},
            },
            "order": {"field": "pt", "type": "quantitative", "sort": "descending"},
            "tooltip": tips,
        },
    }
