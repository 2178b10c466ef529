"""Distillation: a network learns the scores of a trained one, its teacher (arXiv:1503.02531).

The loss of a jet is T² times the Kullback–Leibler divergence of the student's softened scores from
the teacher's, softmax(logits/T) of both: zero where they agree, and with gradients of the same size
at any temperature T. A share of it may be the cross-entropy with the labels instead.

Which jets a batch has, its ``index`` tells; the teacher's logits of all jets are computed before
the training (``runs/teachers.py``).
"""

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.models import Tagger
from parttag.options import LocalName
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective


class DistillOptions(ObjectiveOptions):
    """A teacher, and how closely the network is to follow it."""

    name: Literal["distill"] = "distill"
    teacher: LocalName | Annotated[tuple[LocalName, ...], Field(min_length=1)]
    """A run of a classifier with these classes, an ensemble, or several runs, whose mean scores
    teach. Calibrated runs teach calibrated scores."""
    temperature: PositiveFloat = 4.0
    """By what logits are divided before they are compared."""
    labels: float = Field(default=0.0, ge=0, le=1)
    """Share of the cross-entropy with the labels in the loss."""

    @property
    def teachers(self) -> tuple[str, ...]:
        """The runs."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher


class TeacherLogits:
    """The teacher's logits of jets, by the index of each.

    Parameters
    ----------
    index
        Of the jets, each once.
    logits
        Of each jet, in the order of the classes.
    """

    def __init__(
        self, index: Int64[np.ndarray, " jets"], logits: Float[np.ndarray, "jets classes"]
    ) -> None:
        order = np.argsort(index, kind="stable")
        self._index = torch.from_numpy(index[order])
        self._logits = torch.from_numpy(logits[order]).float()

    def to(self, device: torch.device) -> "TeacherLogits":
        """Return them, moved to a device."""
        self._index, self._logits = self._index.to(device), self._logits.to(device)
        return self

    def of(self, batch: JetBatch) -> Float[Tensor, "jets classes"]:
        """Return the logits of the jets of a batch, NaN for a jet that the teacher has not seen.

        So no GPU is waited for: the training refuses a loss that is not finite.
        """
        rows = torch.searchsorted(self._index, batch.index).clamp(max=len(self._index) - 1)
        is_known = (self._index[rows] == batch.index)[:, None]
        return torch.where(is_known, self._logits[rows], torch.nan)


@register_objective("distill")
class Distill(Objective):
    """Sums of the loss, and of how often student and labels, or student and teacher, agree.

    The metrics are ``accuracy``, and ``agreement`` with the teacher's decisions.
    """

    options_class = DistillOptions
    metric_names: tuple[str, ...] = ("accuracy", "agreement")

    def __init__(self, options: DistillOptions) -> None:
        self.options = options
        self.train_logits: TeacherLogits | None = None
        """Of the training jets; needed before a training."""
        self.val_logits: TeacherLogits | None = None

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch."""
        known = self.train_logits if model.training else self.val_logits
        assert known is not None, "the teacher's logits come first"
        logits = model(batch)
        taught = known.of(batch).to(logits.dtype)
        temperature, share = self.options.temperature, self.options.labels
        student = (logits / temperature).log_softmax(dim=1)
        teacher = (taught / temperature).log_softmax(dim=1)
        apart = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
        losses = (1 - share) * temperature**2 * apart
        if share:
            losses = losses + share * F.cross_entropy(logits, batch.labels, reduction="none")
        chosen = logits.detach().argmax(dim=1)
        right, same = chosen == batch.labels, chosen == taught.argmax(dim=1)
        return BatchSums(
            loss=(batch.jet_weights * losses).sum(),
            weight=batch.jet_weights.sum(),
            size=batch.jet_weights.abs().sum(),
            metrics={
                "accuracy": (batch.jet_weights * right).sum(),
                "agreement": (batch.jet_weights * same).sum(),
            },
        )
