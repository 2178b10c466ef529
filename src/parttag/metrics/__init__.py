"""How good a tagger is, defined once: accuracy, AUC, ROC and background rejection with errors.

Everything is computed from logits in float64, because the softmax of float32 ties the best jets
at 1. Jets are weighted by ``jet_weights`` where given. Every function wants finite logits and a
class index for each jet: bad jets and jets of no class are the caller's to leave out.
"""

from parttag.metrics.classification import (
    accuracy,
    auc,
    bootstrap_errors,
    cross_entropy,
    discriminant,
    log_odds,
)
from parttag.metrics.estimate import CONFIDENCE_LEVEL, Estimate
from parttag.metrics.measurement import Metrics, measure
from parttag.metrics.pt_bins import RejectionByPt, measure_by_pt
from parttag.metrics.roc import Roc, roc
from parttag.metrics.sculpting import (
    SCULPTING_EPS_S,
    MassShape,
    Sculpting,
    measure_sculpting,
    sculpting_to_json,
)
from parttag.metrics.tasks import (
    BACKGROUND,
    background_class,
    class_rocs,
    passing_jets,
    working_points,
)

__all__ = [
    "BACKGROUND",
    "CONFIDENCE_LEVEL",
    "SCULPTING_EPS_S",
    "Estimate",
    "MassShape",
    "Metrics",
    "RejectionByPt",
    "Roc",
    "Sculpting",
    "accuracy",
    "auc",
    "background_class",
    "bootstrap_errors",
    "class_rocs",
    "cross_entropy",
    "discriminant",
    "log_odds",
    "measure",
    "measure_by_pt",
    "measure_sculpting",
    "passing_jets",
    "roc",
    "sculpting_to_json",
    "working_points",
]
