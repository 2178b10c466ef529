"""The section ``evaluation`` of a configuration: what is measured, against which background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from parttag.options import Options, Texts

BUILT_IN = ("accuracy", "auc", "rejection", "loss", "rejection_by_pt", "mass_sculpting")
"""The metrics of parttag itself; ``METRICS`` has those of plug-ins."""

Efficiency = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(gt=0)]


def _read_points(value: Any) -> Any:
    """Return working points as a tuple for all signal classes, or a mapping from their names."""
    if isinstance(value, Mapping):
        return {str(name): _read_list(points, f"{name}: ") for name, points in value.items()}
    return _read_list(value, "")


def _read_list(value: Any, place: str) -> tuple[float, ...]:
    points = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    numbers = [isinstance(p, int | float) and not isinstance(p, bool) for p in points]
    if not points or not all(numbers) or not all(0 < p < 1 for p in points):
        raise ValueError(
            f"{place}{value!r} are no signal efficiencies; give numbers between 0 and 1, such as "
            "[0.5, 0.3], or such a list for each signal class by its name"
        )
    if len(set(points)) < len(points):
        raise ValueError(f"{place}{value!r} has a signal efficiency twice; give each once")
    return tuple(float(point) for point in points)


_POINTS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "minItems": 1,
}

WorkingPoints = Annotated[
    tuple[float, ...] | dict[str, tuple[float, ...]],
    BeforeValidator(_read_points),
    WithJsonSchema(
        {
            "anyOf": [
                _POINTS_SCHEMA,
                {"type": "object", "additionalProperties": _POINTS_SCHEMA},
            ]
        }
    ),
]


class EvaluationOptions(Options):
    """What is measured of a tagger, against which background and at which signal efficiencies."""

    background: Texts | None = None
    """The class that all others are told apart from, or several, whose jets then count together.
    Null is the second of two classes, and none if there are more: then nothing is rejected."""
    working_points: WorkingPoints = (0.5, 0.3)
    """Signal efficiencies at which rejections are quoted: of all signal classes, or by class
    ({top: [0.5, 0.3]}); a class that is left out has a ROC and no quoted rejection."""
    discriminant: dict[str, Annotated[dict[str, Fraction], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """Fractions f of the score p_S/(Σ f_b p_b) of a signal class: {Hbb: {QCD: 0.9, Hcc: 0.1}}. A
    class that is left out has the score against the background, with f = 1."""
    sculpting_eps_s: Efficiency = 0.5
    """Signal efficiency of the cut whose effect on the background's mass is measured."""
    metrics: tuple[str, ...] = BUILT_IN
    """What is measured: metrics of parttag and of plug-ins, by name."""
    published: bool = True
    """Draw the published numbers of top tagging beside top against QCD; not beside simulated jets,
    which are of another set."""

    def points_of(self, signal: str) -> tuple[float, ...]:
        """Return the signal efficiencies at which the rejection of a class is quoted."""
        points = self.working_points
        return points.get(signal, ()) if isinstance(points, dict) else points


DEFAULTS = EvaluationOptions()
"""Of a configuration that says nothing."""


def point_key(eps_s: float) -> str:
    """Return a signal efficiency as a key of ``metrics.json``: 0.5 is ``"0.5"``."""
    short = f"{eps_s:g}"
    return short if float(short) == eps_s else repr(eps_s)
