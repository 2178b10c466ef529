"""The base of objectives: sums over the jets of a batch, one of them the loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.kinds import Kinds
from parttag.models import Tagger
from parttag.options import Options


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
    size: Tensor | None = None
    """Sum of the weights without their signs; none is ``weight``. The gradient of a step is divided
    by it: where weights are negative, their sum in a batch may come near 0, or below."""


class ObjectiveOptions(Options):
    """The options of an objective, and the name by which a configuration chooses it.

    Every objective has a class of its own, in which ``name`` is its name and nothing else:
    ``name: Literal["classify"] = "classify"``.
    """

    name: str


class Objective(ABC):
    """What a network is trained for.

    Attributes
    ----------
    metric_names
        Keys of ``BatchSums.metrics``, in order.
    """

    metric_names: tuple[str, ...] = ()

    options_class: ClassVar[type[ObjectiveOptions]]
    needs_labels: ClassVar[bool] = True
    """Whether each jet must be of one of the classes of the configuration."""
    gives_scores: ClassVar[bool] = True
    """Whether the trained network's outputs are logits of the classes."""
    of_momenta: ClassVar[str] = ""
    """What it does with particles that have four-momenta alone, in words; empty if nothing."""
    leaves_out_others: ClassVar[bool] = False
    """Whether the network does not see the others at all."""

    @classmethod
    def what_is_left_out(cls, kinds: Kinds) -> str | None:
        """Return what to say of kinds of particles without four-momenta, if it matters."""
        without = [name for name, has_momentum in kinds if not has_momentum]
        if not without or not cls.of_momenta:
            return None
        rest = "not seen by the network" if cls.leaves_out_others else "seen by the network only"
        others = ", ".join(name for name, has_momentum in kinds if has_momentum) or "nothing"
        return (
            f"objective {cls.options_class.model_fields['name'].default} {cls.of_momenta} "
            f"{others}; without four-momenta, {', '.join(without)} are {rest}"
        )

    def __init__(self, options: ObjectiveOptions) -> None:
        """Take the options, of ``options_class``; here there is nothing to choose."""
        del options

    def build_head(self, model: Tagger) -> nn.Module | None:  # noqa: ARG002
        """Return what takes the place of the network's head; ``None`` to keep it.

        Whatever the objective learns besides the backbone is in it, and so is trained, saved and
        resumed with the network.

        Raises
        ------
        InputError
            If the network cannot be trained for this.
        """
        return None

    @abstractmethod
    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums of a batch, from one call of the network."""
