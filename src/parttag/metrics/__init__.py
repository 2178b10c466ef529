"""Metrics of taggers, defined once: accuracy, AUC, ROC and background rejection with errors.

Everything is computed from logits in float64, because the softmax of float32 ties the best jets
at 1. Jets are weighted by ``jet_weights`` where given. Every function wants finite logits and a
class index for each jet: bad jets and jets of no class are the caller's to leave out.
"""

from parttag.metrics.classification import (
    accuracy,
    auc,
    bootstrap_errors,
    cross_entropy,
    log_odds,
)
from parttag.metrics.discriminant import (
    Discriminant,
    background_of,
    class_rocs,
    discriminants,
    passing_jets,
)
from parttag.metrics.estimate import CONFIDENCE_LEVEL, Estimate
from parttag.metrics.measurement import check_options, measure
from parttag.metrics.options import DEFAULTS, EvaluationOptions, point_key
from parttag.metrics.pt_bins import RejectionByPt, measure_by_pt
from parttag.metrics.registry import METRICS, register_metric
from parttag.metrics.report import ProbeFit, Report, Reweighted
from parttag.metrics.roc import Roc, rejection_interval, roc
from parttag.metrics.sculpting import MassShape, Sculpting, measure_sculpting

__all__ = [
    "CONFIDENCE_LEVEL",
    "DEFAULTS",
    "METRICS",
    "Discriminant",
    "Estimate",
    "EvaluationOptions",
    "MassShape",
    "ProbeFit",
    "RejectionByPt",
    "Report",
    "Reweighted",
    "Roc",
    "Sculpting",
    "accuracy",
    "auc",
    "background_of",
    "bootstrap_errors",
    "check_options",
    "class_rocs",
    "cross_entropy",
    "discriminants",
    "log_odds",
    "measure",
    "measure_by_pt",
    "measure_sculpting",
    "passing_jets",
    "point_key",
    "register_metric",
    "rejection_interval",
    "roc",
]
