"""The forms of ``metrics.json``, and what evaluations meant before a configuration could say it.

Top tagging and JetClass were known by their class QCD, and two classes of JetClass by their names
(arXiv:2202.03772, table 1). Files and configurations of that time are read by these rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from parttag.migrations.formats import Content, Format

_BACKGROUND = "QCD"
_TWO_CLASS_POINTS = [0.5, 0.3]
_CLASS_POINTS = {"Hqql": [0.99], "Tbl": [0.995]}
_OTHER_POINTS = [0.5]


def earlier_options(classes: Sequence[str]) -> dict[str, Any]:
    """Return background and working points of classes, as the section ``evaluation`` has them."""
    background = _earlier_background(classes)
    if background is None:
        return {}
    signals = [name for name in classes if name != background]
    points: Any = {name: _CLASS_POINTS.get(name, _OTHER_POINTS) for name in signals}
    return {
        "background": [background],
        "working_points": _TWO_CLASS_POINTS if len(classes) == 2 else points,
    }


def _earlier_background(classes: Sequence[str]) -> str | None:
    if _BACKGROUND in classes:
        return _BACKGROUND
    return classes[1] if len(classes) == 2 else None


def from_schema_1(content: Content) -> Content:
    """Return the content of a ``metrics.json`` of schema 1 as schema 2 has it.

    Of two classes, the one signal class was not named; the signal efficiency of the cut on the mass
    stood once.
    """
    classes = list(content["num_jets"])
    background = _earlier_background(classes)
    signals = [name for name in classes if name != background]

    def by_signal(values: Mapping[str, Any]) -> dict[str, Any]:
        return {signals[0]: values} if len(classes) == 2 and values else dict(values)

    upgraded = {
        **content,
        "background": [] if background is None else [background],
        "rejection": by_signal(content["rejection"]),
        "threshold": by_signal(content["threshold"]),
    }
    if by_pt := content.get("rejection_by_pt"):
        one_cut = {key: by_signal(values) for key, values in by_pt["one_cut"].items()}
        rejection = by_signal(by_pt["rejection"])
        upgraded["rejection_by_pt"] = {
            **by_pt,
            "rejection": rejection,
            "one_cut": one_cut,
            "background": upgraded["background"],
        }
    if sculpting := dict(content.get("mass_sculpting") or {}):
        eps_s = sculpting.pop("eps_s")
        upgraded["mass_sculpting"] = {
            name: {"eps_s": eps_s, **shapes} for name, shapes in by_signal(sculpting).items()
        }
    return upgraded


def from_schema_2(content: Content) -> Content:
    """Return the content of a ``metrics.json`` of schema 2 as schema 3 has it.

    Errors of rejections were those of the count of background jets alone, and said to be symmetric;
    the bootstrap's spread of the sculpting distance was called its error.
    """
    upgraded = {
        **content,
        "auc": _on_scale(content["auc"], "logit"),
        "rejection": _rejections(content["rejection"]),
        "errors_of_counts": True,
    }
    if by_pt := content.get("rejection_by_pt"):
        one_cut = by_pt["one_cut"]
        upgraded["rejection_by_pt"] = {
            **by_pt,
            "rejection": _rejections(by_pt["rejection"]),
            "one_cut": {**one_cut, "rejection": _rejections(one_cut["rejection"])},
        }
    if sculpting := content.get("mass_sculpting"):
        upgraded["mass_sculpting"] = {name: _excess(cut) for name, cut in sculpting.items()}
    return upgraded


def _on_scale(estimate: Mapping[str, Any], scale: str) -> dict[str, Any]:
    return {**estimate, "scale": scale}


def _rejections(by_signal: Mapping[str, Any]) -> dict[str, Any]:
    """Return rejections, or lists of them, as numbers whose intervals are even in the logarithm."""

    def upgraded(found: Any) -> Any:
        if isinstance(found, list):
            return [upgraded(estimate) for estimate in found]
        return _on_scale(found, "log")

    return {
        name: {eps_s: upgraded(found) for eps_s, found in points.items()}
        for name, points in by_signal.items()
    }


def _excess(cut: Mapping[str, Any]) -> dict[str, Any]:
    """Return the distance without what chance adds, by the mean of its square."""
    distance, chance = cut["jensen_shannon"], cut["by_chance"]
    excess = None
    if None not in (distance["value"], chance["value"]):
        by_chance = chance["value"] ** 2 + (chance["error"] or 0) ** 2
        excess = math.sqrt(max(distance["value"] ** 2 - by_chance, 0.0))
    return {
        **cut,
        "jensen_shannon": distance["value"],
        "spread": distance["error"],
        "excess": excess,
        "num_bins": 0,
    }


REPORT = Format("report", steps=(from_schema_1, from_schema_2), oldest=1)
