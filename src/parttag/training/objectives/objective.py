"""What every objective of training is: sums over the jets of a batch, one of them the loss."""

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from parttag.jets.batch import JetBatch
from parttag.models import Tagger


class BatchSums(NamedTuple):
    """Sums over the jets of a batch, which ranks and batches add up before they divide.

    All are zero-dimensional. A batch without jets gives zeros, and ``loss`` still has a gradient:
    a rank whose share of a batch is empty takes part in every step.
    """

    loss: Tensor
    """Sum of weight times loss; the only one that is differentiated."""
    weight: Tensor
    """Sum of the weights, by which the others are divided."""
    metrics: dict[str, Tensor]
    """Sums of weight times whatever else is worth logging, by name."""


@runtime_checkable
class Objective(Protocol):
    """What a network is trained for.

    One that is not classification replaces the network's head by a module of its own when it is
    built, so that whatever it learns besides the backbone is trained, saved and resumed with it.
    """

    metric_names: tuple[str, ...]
    """Keys of ``BatchSums.metrics``, in order."""

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums of a batch, from one call of the network."""
        ...
