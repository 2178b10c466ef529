"""Supervised classification: cross-entropy of the logits."""

from typing import Literal

from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.models import Tagger
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective


class ClassifyOptions(ObjectiveOptions):
    """Cross-entropy between scores and class labels, weighted by the jets' weights."""

    name: Literal["classify"] = "classify"


@register_objective("classify")
class Classify(Objective):
    """Sums of weighted cross-entropy and of weighted right answers (``accuracy``)."""

    options_class = ClassifyOptions
    metric_names: tuple[str, ...] = ("accuracy",)

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch, whose labels must all be known."""
        logits = model(batch)
        losses = F.cross_entropy(logits, batch.labels, reduction="none")
        right = logits.detach().argmax(dim=1) == batch.labels
        return BatchSums(
            loss=(batch.jet_weights * losses).sum(),
            weight=batch.jet_weights.sum(),
            size=batch.jet_weights.abs().sum(),
            metrics={"accuracy": (batch.jet_weights * right).sum()},
        )
