"""An objective: focal loss (arXiv:1708.02002), cross-entropy that looks at hard jets most."""

from typing import Literal

from pydantic import Field
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.models import Tagger
from parttag.training.objectives import (
    BatchSums,
    Objective,
    ObjectiveOptions,
    register_objective,
)


class FocalOptions(ObjectiveOptions):
    """How much easy jets are left out."""

    name: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0)
    """Power of the probability that is missing."""


@register_objective("focal")
class Focal(Objective):
    """Sums of the focal loss and of right answers."""

    options_class = FocalOptions
    metric_names = ("accuracy",)

    def __init__(self, options: FocalOptions) -> None:
        self.gamma = options.gamma

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch."""
        logits = model(batch)
        losses = F.cross_entropy(logits, batch.labels, reduction="none")
        missing = 1 - (-losses).exp()
        right = logits.detach().argmax(dim=1) == batch.labels
        return BatchSums(
            loss=(batch.jet_weights * missing.pow(self.gamma) * losses).sum(),
            weight=batch.jet_weights.sum(),
            metrics={"accuracy": (batch.jet_weights * right).sum()},
        )
