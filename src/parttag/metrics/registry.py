"""Metrics of one number that other packages add, and the names of all that can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float64, Int64

from parttag.errors import InputError
from parttag.metrics.estimate import Estimate
from parttag.metrics.options import BUILT_IN, EvaluationOptions
from parttag.options import nearest
from parttag.plugins import Registry

Metric = Callable[
    [
        Float[np.ndarray, "jets classes"],
        Int64[np.ndarray, " jets"],
        Float64[np.ndarray, " jets"],
        Sequence[str],
        EvaluationOptions,
    ],
    Estimate | float,
]
"""Logits, labels and weights of the good jets, their classes, and the options of the evaluation, to
a number, with its error if that is known."""

METRICS: Registry[Metric] = Registry("metric")
"""Metrics by the names that ``evaluation.metrics`` knows besides those of parttag itself."""

AnyMetric = TypeVar("AnyMetric", bound=Metric)


def register_metric(name: str) -> Callable[[AnyMetric], AnyMetric]:
    """Return a decorator that makes a function a metric for ``evaluation.metrics``.

    Its number stands in ``Report.extra``, and in ``metrics.json`` under ``extra``.

    Raises
    ------
    InputError
        If there is a metric of this name.

    Examples
    --------
    >>> from parttag.metrics import register_metric
    >>> @register_metric("largest_weight")
    ... def largest_weight(logits, labels, jet_weights, classes, options):
    ...     return float(jet_weights.max())
    """
    if name in BUILT_IN:
        raise InputError(f"parttag has a metric of the name {name} itself; choose another name")

    def register(metric: AnyMetric) -> AnyMetric:
        METRICS.add(name, metric)
        return metric

    return register


def refuse_unknown_metrics(names: Sequence[str]) -> None:
    """Refuse metrics that neither parttag nor a plug-in has.

    Raises
    ------
    InputError
        If there is one; it names the nearest that is known.
    """
    for name in names:
        if name not in BUILT_IN and name not in METRICS:
            raise InputError(
                f"evaluation.metrics: there is no metric {name!r}; the nearest known one is "
                f"{nearest(name, [*BUILT_IN, *METRICS])}"
            )
