"""The section ``evaluation`` of a configuration: what is measured, against which background."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

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


def _read_edges(value: Any) -> tuple[float, ...]:
    edges = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    numbers = [isinstance(e, int | float) and not isinstance(e, bool) for e in edges]
    if len(edges) < 2 or not all(numbers) or not all(map(math.isfinite, edges)):
        raise ValueError(f"{value!r} are no edges of bins; give two finite numbers or more")
    if any(high <= low for low, high in pairwise(edges)):
        raise ValueError(f"{list(edges)} do not rise; give the edges of the bins in their order")
    return tuple(float(edge) for edge in edges)


Edges = Annotated[
    tuple[float, ...],
    BeforeValidator(_read_edges),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2}),
]


def _read_point_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name):
        raise ValueError(
            f"{name!r:.100} names a column pass_NAME; give it letters, digits and _ only"
        )
    return name


class PointOptions(Options):
    """A working point: a cut that keeps a share of the signal, or of a background."""

    signal: str | None = None
    """The signal class; may be left out where there is one."""
    efficiency: Efficiency | None = None
    """The share of the signal's jets that pass."""
    mistag: Efficiency | None = None
    """The share of the background's jets that pass, instead."""
    of: Texts = ()
    """The classes that the mistag rate is of, together; those of the background without any."""

    @model_validator(mode="after")
    def _has_one_share(self) -> PointOptions:
        if (self.efficiency is None) == (self.mistag is None):
            raise ValueError("a working point has one of efficiency and mistag; give one")
        if self.of and self.mistag is None:
            raise ValueError("of says what a mistag rate is of; leave it out, or give mistag")
        return self


class TableOptions(Options):
    """The tables of working points: which points, in which bins."""

    points: dict[Annotated[str, AfterValidator(_read_point_name)], PointOptions] = Field(
        default_factory=dict
    )
    """By name: {tight: {mistag: 0.001, of: light}}. Without any, those of ``working_points``, with
    names such as eff50."""
    pt: Edges | None = None
    """Edges of bins of the jet's pT in GeV, each with a cut of its own. Jets outside pass none."""
    eta: Edges | None = None
    """Edges of bins of the jet's η."""
    abs_eta: Edges | None = None
    """Edges of bins of |η| instead."""

    @model_validator(mode="after")
    def _has_one_eta(self) -> TableOptions:
        if self.eta is not None and self.abs_eta is not None:
            raise ValueError("bins are of one of eta and abs_eta; give one")
        return self


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
    tables: TableOptions = TableOptions()
    """Tables of thresholds, for analyses and ``parttag predict --working-points``."""
    fraction_scan: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Signal classes and two others each, for whose discriminant p_S/(f p_1 + (1 − f) p_2) the
    rejection of either is measured at every f: {b: [c, light], c: [b, light]}."""
    priors: dict[str, Fraction] = Field(default_factory=dict)
    """Fractions of the classes that scores are rescaled to where the run is calibrated:
    {b: 0.05, c: 0.15, light: 0.8}. Without them scores are for the fractions of the jets that the
    calibration is fitted to."""
    reliability: bool = True
    """Measure whether scores mean what they say, the calibration error among it."""
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
