"""Every metric of a tagger at once, from the logits of labelled jets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int64

from parttag.errors import InputError
from parttag.metrics.calibration import checked_priors
from parttag.metrics.classification import accuracy, auc, bootstrap_errors, cross_entropy
from parttag.metrics.discriminant import (
    background_of,
    class_rocs,
    discriminants,
    passing_jets,
)
from parttag.metrics.estimate import UNKNOWN, Estimate, checked_weights, effective_number
from parttag.metrics.fraction_scan import check_scans
from parttag.metrics.options import DEFAULTS, EvaluationOptions
from parttag.metrics.pt_bins import measure_by_pt
from parttag.metrics.registry import METRICS, refuse_unknown_metrics
from parttag.metrics.report import Report
from parttag.metrics.roc import Roc
from parttag.metrics.sculpting import measure_sculpting
from parttag.metrics.working_points import check_working_points


def check_options(classes: Sequence[str], options: EvaluationOptions) -> None:
    """Refuse options that do not fit the classes, or name a metric that there is not.

    Raises
    ------
    InputError
        If they do; it names the nearest class or metric that is known.
    """
    refuse_unknown_metrics(options.metrics)
    if options.priors:
        checked_priors(options.priors, classes)
    check_working_points(classes, options)
    check_scans(classes, options)


def measure(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    options: EvaluationOptions = DEFAULTS,
    *,
    jet_pt: Float[np.ndarray, " jets"] | None = None,
    jet_mass: Float[np.ndarray, " jets"] | None = None,
    rocs: Mapping[str, Roc] | None = None,
    seed: int = 0,
) -> Report:
    """Return the metrics that the options ask for, from the logits of labelled jets.

    Parameters
    ----------
    jet_pt, jet_mass
        In GeV; without them there is no rejection in bins of pT, and no mass of the background.
    rocs
        Of ``class_rocs``, if they are known already.

    Raises
    ------
    InputError
        If a jet weight is not finite, or the options do not fit the classes.
    """
    check_options(classes, options)
    wanted, weights = set(options.metrics), checked_weights(jet_weights, len(labels))
    if rocs is None:
        rocs = class_rocs(logits, labels, classes, jet_weights, options)
    accuracy_error = auc_error = math.nan
    if wanted & {"accuracy", "auc"}:
        accuracy_error, auc_error = bootstrap_errors(logits, labels, jet_weights, seed=seed)
    quoted = {
        name: (rocs[name], score.working_points)
        for name, score in discriminants(classes, options).items()
        if score.working_points and "rejection" in wanted
    }
    by_pt = sculpting = None
    if jet_pt is not None and "rejection_by_pt" in wanted:
        by_pt = measure_by_pt(logits, labels, classes, jet_pt, jet_weights, options)
    if jet_mass is not None and "mass_sculpting" in wanted:
        passing = passing_jets(logits, classes, rocs, options)
        sculpting = measure_sculpting(
            jet_mass, labels, classes, passing, jet_weights, options, seed=seed
        )
    return Report(
        accuracy=Estimate(accuracy(logits, labels, jet_weights), accuracy_error)
        if "accuracy" in wanted
        else UNKNOWN,
        auc=_area(auc(logits, labels, jet_weights), auc_error) if "auc" in wanted else UNKNOWN,
        rejection={
            name: {eps_s: curve.rejection(eps_s) for eps_s in points}
            for name, (curve, points) in quoted.items()
        },
        threshold={
            name: {eps_s: _probability(curve.threshold(eps_s)) for eps_s in points}
            for name, (curve, points) in quoted.items()
        },
        kept={
            name: {eps_s: curve.kept(eps_s) for eps_s in points}
            for name, (curve, points) in quoted.items()
        },
        num_jets={name: int((labels == number).sum()) for number, name in enumerate(classes)},
        num_effective={
            name: effective_number(weights[labels == number]) for number, name in enumerate(classes)
        },
        loss=cross_entropy(logits, labels, jet_weights) if "loss" in wanted else math.nan,
        extra=_extra(logits, labels, classes, jet_weights, options),
        background=background_of(classes, options),
        rejection_by_pt=by_pt,
        mass_sculpting=sculpting or {},
    )


def _extra(
    logits: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    classes: Sequence[str],
    jet_weights: Float[np.ndarray, " jets"] | None,
    options: EvaluationOptions,
) -> dict[str, Estimate]:
    """Return the metrics of plug-ins that are asked for."""
    weights = checked_weights(jet_weights, len(labels))
    found = {}
    for name in options.metrics:
        if name in METRICS:
            try:
                number = METRICS[name](logits, labels, weights, classes, options)
                found[name] = number if isinstance(number, Estimate) else Estimate(float(number))
            except Exception as error:
                raise InputError(
                    f"evaluation.metrics: the metric {name} failed ({type(error).__name__}: "
                    f"{error}); correct it, or leave it out"
                ) from error
    return found


def _area(value: float, error: float) -> Estimate:
    return UNKNOWN if math.isnan(value) else Estimate(value, error, scale="logit")


def _probability(odds: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * odds))
