"""Supervised classification: cross-entropy of the logits, or of each class on its own."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.jets.memberships import memberships
from parttag.models import Tagger
from parttag.options import Name, Options
from parttag.training.objectives.objective import (
    BatchSums,
    Objective,
    ObjectiveOptions,
    TaskSums,
)
from parttag.training.objectives.registry import register_objective


class ClassificationOptions(Options):
    """What the labels mean, and what each class counts for."""

    multi_label: bool = False
    """Whether a jet may carry labels of several classes, or of none: then every class is a
    question of its own, and its score the probability that the jet is of it."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each label that is spread over all classes."""
    class_weights: dict[Name, PositiveFloat] = Field(default={})
    """How often each jet of a class counts in loss and accuracy; 1 for classes not named. With
    multi_label, what the question of each class counts for."""


class ClassifyOptions(ObjectiveOptions, ClassificationOptions):
    """Cross-entropy between scores and class labels, weighted by the jets' weights."""

    name: Literal["classify"] = "classify"


def classification_sums(
    logits: Float[Tensor, "jets classes"],
    batch: JetBatch,
    options: ClassificationOptions,
    classes: Sequence[str],
) -> TaskSums:
    """Return the sums of a classification, and of its right answers as ``accuracy``.

    Parameters
    ----------
    batch
        The jets, whose labels must all be known.
    classes
        In the order of the logits.
    """
    if options.multi_label:
        return _multi_label_sums(logits, batch, options, classes)
    losses = F.cross_entropy(
        logits, batch.labels, reduction="none", label_smoothing=options.label_smoothing
    )
    right = logits.detach().argmax(dim=1) == batch.labels
    weights = batch.jet_weights
    for name, factor in options.class_weights.items():
        is_own = batch.labels == classes.index(name)
        weights = torch.where(is_own, factor * weights, weights)
    return TaskSums(
        loss=(weights * losses).sum(),
        weight=weights.sum(),
        size=weights.abs().sum(),
        metrics={"accuracy": (weights * right).sum()},
    )


def _multi_label_sums(
    logits: Float[Tensor, "jets classes"],
    batch: JetBatch,
    options: ClassificationOptions,
    classes: Sequence[str],
) -> TaskSums:
    carried = memberships(batch, classes).to(logits.dtype)
    smoothed = carried * (1 - options.label_smoothing) + options.label_smoothing / 2
    losses = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
    right = ((logits.detach() > 0) == (carried > 0.5)).to(logits.dtype)
    factors = [options.class_weights.get(name, 1.0) for name in classes]

    def mean(values: Float[Tensor, "jets classes"]) -> Float[Tensor, " jets"]:
        """Return the mean over the questions, each as often as it counts."""
        columns = [factor * values[:, n] for n, factor in enumerate(factors)]
        return torch.stack(columns).sum(dim=0) / sum(factors)

    weights = batch.jet_weights
    return TaskSums(
        loss=(weights * mean(losses)).sum(),
        weight=weights.sum(),
        size=weights.abs().sum(),
        metrics={"accuracy": (weights * mean(right)).sum()},
    )


@register_objective("classify")
class Classify(Objective):
    """Sums of weighted cross-entropy and of weighted right answers (``accuracy``)."""

    options_class = ClassifyOptions
    takes_filled_batches = True
    metric_names: tuple[str, ...] = ("accuracy",)

    def __init__(self, options: ClassifyOptions) -> None:
        self.options = options

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch, whose labels must all be known."""
        sums = classification_sums(model(batch), batch, self.options, self.truth.classes)
        return BatchSums(loss=sums.loss, weight=sums.weight, metrics=sums.metrics, size=sums.size)
