"""What an evaluation says of the use of scores: their reliability, and the cuts on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from parttag.evaluation.scores import Scores
from parttag.metrics import EvaluationOptions
from parttag.metrics.calibration import Reliability, measure_reliability
from parttag.metrics.fraction_scan import FractionScan, scan_fractions
from parttag.metrics.working_points import WorkingPoints, measure_working_points
from parttag.runs.run import Run


class Applications(TypedDict):
    """Fields of an ``Evaluation``."""

    reliability: Reliability | None
    working_points: WorkingPoints
    fraction_scans: Mapping[str, FractionScan]


def applications(run: Run, jets: Scores, options: EvaluationOptions) -> Applications:
    """Return reliability, working points and scans of the jets that are measured.

    Raises
    ------
    InputError
        If the jets do not determine a working point that the options name.
    """
    logits, labels, weights = jets.logits, jets.labels, jets.jet_weights
    made = run.calibration
    name = None if made is None else made.name
    reliability = None
    if options.reliability:
        priors = None if made is None else made.target
        reliability = measure_reliability(
            logits, labels, jets.classes, weights, priors=priors, calibration=name
        )
    return {
        "reliability": reliability,
        "working_points": measure_working_points(
            logits,
            labels,
            jets.classes,
            weights,
            options,
            jet_pt=jets.jet_pt,
            jet_eta=jets.jet_eta,
            calibration=name,
        ),
        "fraction_scans": scan_fractions(logits, labels, jets.classes, weights, options),
    }
