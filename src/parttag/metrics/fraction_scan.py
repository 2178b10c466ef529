"""Discriminants of three classes: what each fraction does to the rejection of two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.discriminant import Discriminant
from parttag.metrics.estimate import Estimate, checked_weights
from parttag.metrics.options import EvaluationOptions, point_key
from parttag.metrics.roc import roc
from parttag.options import nearest

_SMALL = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04)
FRACTIONS: Float64[np.ndarray, " fractions"] = np.array(
    [0.0, *_SMALL, *(n / 20 for n in range(1, 20)), *(1 - f for f in reversed(_SMALL)), 1.0]
)
"""What is scanned; close together at the ends, where taggers want it."""


@dataclass(frozen=True, eq=False)
class FractionScan:
    """Rejections by p_S/(f p_1 + (1 − f) p_2) of two classes, at every f."""

    classes: tuple[str, str]
    """The one that f is of, and that of 1 − f."""
    fractions: Float64[np.ndarray, " fractions"]
    rejection: Mapping[str, Mapping[float, tuple[Estimate, ...]]]
    """Of either class, by signal efficiency, at every f."""

    def best(self, eps_s: float) -> float:
        """Return the f at which the product of both rejections is largest; NaN if none is known."""
        products = np.ones(len(self.fractions))
        for points in self.rejection.values():
            products *= [math.nan if e.is_limit else e.value for e in points[eps_s]]
        return (
            math.nan if np.isnan(products).all() else float(self.fractions[np.nanargmax(products)])
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as ``working_points.yaml`` holds it."""
        return {
            "classes": list(self.classes),
            "fractions": self.fractions.tolist(),
            "largest_product": {
                point_key(eps_s): _known(self.best(eps_s))
                for eps_s in next(iter(self.rejection.values()))
            },
            "rejection": {
                name: {
                    point_key(eps_s): [estimate.to_json() for estimate in found]
                    for eps_s, found in points.items()
                }
                for name, points in self.rejection.items()
            },
        }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def check_scans(classes: Sequence[str], options: EvaluationOptions) -> None:
    """Refuse scans whose classes there are not, or are not three.

    Raises
    ------
    InputError
        If there is one.
    """
    for signal, others in options.fraction_scan.items():
        key = f"evaluation.fraction_scan.{signal}"
        for name in (signal, *others):
            if name not in classes:
                raise InputError(
                    f"{key}: {name!r} is none of the classes {', '.join(classes)}; the nearest is "
                    f"{nearest(name, classes)}"
                )
        if len({signal, *others}) < 3:
            raise InputError(f"{key}: {', '.join(others)} must be two classes besides {signal}")
        if not _points_of(signal, options):
            raise InputError(
                f"{key}: evaluation.working_points has no signal efficiency of {signal}; give one"
            )


def _points_of(signal: str, options: EvaluationOptions) -> tuple[float, ...]:
    points = options.working_points
    if isinstance(points, dict) and signal not in points:
        # A background that is scanned as a signal has none of its own.
        return tuple(dict.fromkeys(p for given in points.values() for p in given))
    return options.points_of(signal)


def scan_fractions(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None,
    options: EvaluationOptions,
) -> dict[str, FractionScan]:
    """Return the scans that ``options.fraction_scan`` asks for, by signal class."""
    weights = checked_weights(jet_weights, len(labels))
    return {
        signal: _scan(logits, labels, tuple(classes), weights, signal, others, options)
        for signal, others in options.fraction_scan.items()
    }


def _scan(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: tuple[str, ...],
    weights: Float64[np.ndarray, " jets"],
    signal: str,
    others: tuple[str, str],
    options: EvaluationOptions,
) -> FractionScan:
    efficiencies = _points_of(signal, options)
    found: dict[str, dict[float, list[Estimate]]] = {
        name: {eps_s: [] for eps_s in efficiencies} for name in others
    }
    for fraction in FRACTIONS:
        shares = zip(others, (float(fraction), float(1 - fraction)), strict=True)
        score = Discriminant(
            signal, others, {name: f for name, f in shares if f > 0}, classes, efficiencies
        )
        values = score(logits)
        is_signal = score.is_signal(labels)
        for name, points in found.items():
            rows = is_signal | (labels == classes.index(name))
            curve = roc(values[rows], is_signal[rows], weights[rows])
            for eps_s, estimates in points.items():
                estimates.append(curve.rejection(eps_s))
    return FractionScan(
        others,
        FRACTIONS,
        {name: {p: tuple(e) for p, e in points.items()} for name, points in found.items()},
    )
