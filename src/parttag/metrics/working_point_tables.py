"""Tables of working points as YAML holds them, and as correctionlib's JSON, schema 2.

A jet outside of all bins has the threshold ``NO_JET_PASSES``. Numbers have 15 digits, so that
either reader has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from parttag.metrics.discriminant import Discriminant
from parttag.metrics.estimate import Estimate, json_number
from parttag.metrics.fraction_scan import FractionScan
from parttag.metrics.working_points import Axis, Bin, PointTable, WorkingPoints, short_decimal
from parttag.migrations.applications import WORKING_POINTS
from parttag.migrations.formats import VERSION_KEY

NO_JET_PASSES = 1e30
"""A threshold beyond every score."""
UNKNOWN_EFFICIENCY = -1.0
"""Of a class without jets in the bin, in correctionlib's tables."""

_AXES = ("pt", "eta", "abs_eta")
_UNITS = {
    "pt": "transverse momentum of the jet in GeV",
    "eta": "pseudorapidity of the jet",
    "abs_eta": "absolute pseudorapidity of the jet",
}


def to_content(
    tables: WorkingPoints, scans: Mapping[str, FractionScan], data: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what ``working_points.yaml`` holds."""
    return {
        VERSION_KEY: WORKING_POINTS.version,
        "calibration": tables.calibration,
        "data": list(data),
        "classes": list(tables.classes),
        "bins": {axis.name: list(axis.edges) for axis in tables.axes},
        "points": {name: _point(tables, point) for name, point in tables.points.items()},
        "left_out": dict(tables.left_out),
        "fraction_scan": {signal: scan.to_json() for signal, scan in scans.items()},
    }


def _point(tables: WorkingPoints, point: PointTable) -> dict[str, Any]:
    return {
        "asked": point.asked,
        "signal": point.score.signal,
        "background": list(point.score.background),
        "fractions": dict(point.score.fractions),
        "cuts": [
            {
                **{
                    axis.name: [axis.edges[n], axis.edges[n + 1]]
                    for axis, n in zip(tables.axes, place, strict=True)
                },
                "threshold": float(point.thresholds[place]),
                "efficiency": {
                    name: {
                        "value": json_number(found[number].value),
                        "error": json_number(found[number].error),
                    }
                    for name, found in point.efficiencies.items()
                },
            }
            for number, place in enumerate(_places(tables.axes))
        ],
    }


def from_content(content: Mapping[str, Any]) -> WorkingPoints:
    """Return the tables that ``to_content`` has written; what is wrong raises anything."""
    classes = tuple(map(str, content["classes"]))
    axes = tuple(
        Axis(name, tuple(map(float, content["bins"][name])))
        for name in _AXES
        if name in content["bins"]
    )
    calibration = content["calibration"]
    return WorkingPoints(
        classes,
        axes,
        {str(name): _read_point(point, classes, axes) for name, point in content["points"].items()},
        None if calibration is None else str(calibration),
        {str(name): str(reason) for name, reason in content["left_out"].items()},
    )


def _read_point(
    content: Mapping[str, Any], classes: tuple[str, ...], axes: Sequence[Axis]
) -> PointTable:
    cuts = content["cuts"]
    score = Discriminant(
        str(content["signal"]),
        tuple(map(str, content["background"])),
        {str(name): float(f) for name, f in content["fractions"].items()},
        classes,
        (),
    )
    for name in (score.signal, *score.background, *score.fractions):
        classes.index(name)  # a class that there is
    shape = [len(axis.edges) - 1 for axis in axes]
    thresholds = np.array([float(cut["threshold"]) for cut in cuts]).reshape(shape)
    return PointTable(
        score,
        str(content["asked"]),
        thresholds,
        {
            name: tuple(Estimate.from_json(cut["efficiency"][name]) for cut in cuts)
            for name in classes
        },
    )


def _places(axes: Sequence[Axis]) -> list[Bin]:
    return list(product(*(range(len(axis.edges) - 1) for axis in axes)))


# ------------------------------------------------------------------------------- correctionlib


def to_correctionlib(tables: WorkingPoints, scans: Mapping[str, FractionScan]) -> dict[str, Any]:
    """Return the tables as a set of corrections: thresholds, efficiencies, discriminants, scans."""
    corrections = [*_of_points(tables)] if tables.points else []
    scores = {point.score.signal: point.score for point in tables.points.values()}
    corrections += [_discriminant(score) for score in scores.values()]
    corrections += [_scan(signal, scan) for signal, scan in scans.items()]
    return {
        "schema_version": 2,
        "description": "Working points of a tagger",
        "corrections": corrections,
    }


def _of_points(tables: WorkingPoints) -> list[dict[str, Any]]:
    names = list(tables.points)
    point_input = _input("working_point", "string", ", ".join(names))
    axes = [_input(axis.name, "real", _UNITS[axis.name]) for axis in tables.axes]
    what = "; ".join(f"{name}: {point.asked}" for name, point in tables.points.items())
    thresholds = _category(
        "working_point",
        {
            name: _binned(tables.axes, point.thresholds.ravel().tolist(), NO_JET_PASSES)
            for name, point in tables.points.items()
        },
    )
    found = [
        _correction(
            "threshold",
            f"A jet passes if its discriminant is at least this; {what}. No jet passes outside of "
            f"the bins. Calibration of the scores: {tables.calibration or 'none'}.",
            [point_input, *axes],
            ("threshold", "on the discriminant ln p_S - ln sum f_b p_b"),
            thresholds,
        )
    ]
    by_number: dict[str, Callable[[Estimate], float]] = {
        "efficiency": lambda estimate: estimate.value,
        "efficiency_error": lambda estimate: estimate.error,
    }
    for kind, number in by_number.items():
        data = _category(
            "working_point",
            {
                name: _category(
                    "class",
                    {
                        c: _binned(tables.axes, [_known(number(e)) for e in found], 0.0)
                        for c, found in point.efficiencies.items()
                    },
                )
                for name, point in tables.points.items()
            },
        )
        found.append(
            _correction(
                kind,
                "Share of the jets of a class that pass, as measured with the jets that the cuts "
                "were made with; -1 where there were none.",
                [point_input, _input("class", "string", ", ".join(tables.classes)), *axes],
                (kind, "between 0 and 1"),
                data,
            )
        )
    return found


def _known(value: float) -> float:
    return short_decimal(value) if np.isfinite(value) else UNKNOWN_EFFICIENCY


def _binned(axes: Sequence[Axis], values: Sequence[float], outside: float) -> Any:
    if not axes:
        return values[0]
    if len(axes) == 1:
        return {
            "nodetype": "binning",
            "input": axes[0].name,
            "edges": list(axes[0].edges),
            "content": list(values),
            "flow": outside,
        }
    return {
        "nodetype": "multibinning",
        "inputs": [axis.name for axis in axes],
        "edges": [list(axis.edges) for axis in axes],
        "content": list(values),
        "flow": outside,
    }


def _discriminant(score: Discriminant) -> dict[str, Any]:
    """Return the score as formulas of two variables, as many as correctionlib's parser takes."""
    inputs = {name: f"score_{name}" for name in (score.signal, *score.fractions)}
    first, *others = score.fractions
    content: Any = _formula("log(x/y)", inputs[score.signal], inputs[first])
    # From the last to the first: each takes the sum of those before it.
    for name in reversed(others):
        term = _formula(f"x+{score.fractions[name]!r}*y", inputs[first], inputs[name])
        content = _transform(inputs[first], term, content)
    scaled = _formula(f"{score.fractions[first]!r}*x", inputs[first])
    return _correction(
        f"discriminant_{score.signal}",
        f"{score.formula}, of the scores of a jet",
        [_input(i, "real", f"score of {name}") for name, i in inputs.items()],
        ("discriminant", "what thresholds are on"),
        _transform(inputs[first], scaled, content),
    )


def _scan(signal: str, scan: FractionScan) -> dict[str, Any]:
    middles = (scan.fractions[1:] + scan.fractions[:-1]) / 2
    edges = [0.0, *middles.tolist(), float(np.nextafter(1.0, 2.0))]
    data = _category(
        "class",
        {
            name: _category(
                "efficiency",
                {
                    f"{eps_s:g}": {
                        "nodetype": "binning",
                        "input": "fraction",
                        "edges": edges,
                        "content": [_known(e.value) for e in found],
                        "flow": "error",
                    }
                    for eps_s, found in points.items()
                },
            )
            for name, points in scan.rejection.items()
        },
    )
    one, other = scan.classes
    return _correction(
        f"fraction_scan_{signal}",
        f"Rejection by the discriminant p({signal})/(f p({one}) + (1-f) p({other})) at the "
        "nearest f of the scan; -1 where it is not known",
        [
            _input("class", "string", f"{one}, {other}"),
            _input("efficiency", "string", f"of {signal}"),
            _input("fraction", "real", f"f of {one}"),
        ],
        ("rejection", "1/efficiency of the class"),
        data,
    )


def _correction(
    name: str,
    description: str,
    inputs: Sequence[Mapping[str, Any]],
    output: tuple[str, str],
    data: Any,
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "version": 1,
        "inputs": list(inputs),
        "output": {"name": output[0], "type": "real", "description": output[1]},
        "data": data,
    }


def _input(name: str, kind: str, description: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "description": description}


def _category(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    entries = [{"key": key, "value": value} for key, value in content.items()]
    return {"nodetype": "category", "input": name, "content": entries}


def _formula(expression: str, *variables: str) -> dict[str, Any]:
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": list(variables),
    }


def _transform(name: str, rule: Any, content: Any) -> dict[str, Any]:
    return {"nodetype": "transform", "input": name, "rule": rule, "content": content}
