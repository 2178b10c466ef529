"""The base of objectives: sums over the jets of a batch, one of them the loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from parttag.jets.batch import JetBatch
from parttag.jets.kinds import Kinds
from parttag.jets.targets import TargetOptions
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
    weights: Mapping[str, Tensor] = MappingProxyType({})
    """Of an objective that ``weighs_metrics``: the sum of the weights of each of the metrics."""


class TaskSums(NamedTuple):
    """Sums over the jets, particles or pairs of a batch that one task is about."""

    loss: Tensor
    weight: Tensor
    size: Tensor
    """Sum of the weights without their signs."""
    metrics: dict[str, Tensor]


class Truth(NamedTuple):
    """What there is to learn, by the names of the configuration."""

    classes: tuple[str, ...] = ()
    """In the order of the logits."""
    targets: Mapping[str, TargetOptions] = MappingProxyType({})


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
    truth
        What the configuration says of classes and targets; known before the head is built.
    """

    metric_names: tuple[str, ...] = ()
    truth: Truth = Truth()

    options_class: ClassVar[type[ObjectiveOptions]]
    needs_labels: ClassVar[bool] = True
    """Whether each jet must be of one of the classes of the configuration."""
    takes_filled_batches: ClassVar[bool] = False
    """Whether the network gets the batch as it is, and jets of weight 0 change nothing."""
    gives_scores: ClassVar[bool] = True
    """Whether the trained network's outputs are logits of the classes."""
    weighs_metrics: ClassVar[bool] = False
    """Whether each metric is divided by a sum of weights of its own, ``BatchSums.weights``."""
    of_momenta: ClassVar[str] = ""
    """What it does with particles that have four-momenta alone, in words; empty if nothing."""
    leaves_out_others: ClassVar[bool] = False
    """Whether the network does not see the others at all."""

    @classmethod
    def needs_labels_with(cls, options: ObjectiveOptions) -> bool:  # noqa: ARG003
        """Return ``needs_labels`` with these options."""
        return cls.needs_labels

    @classmethod
    def gives_scores_with(cls, options: ObjectiveOptions) -> bool:  # noqa: ARG003
        """Return ``gives_scores`` with these options."""
        return cls.gives_scores

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
