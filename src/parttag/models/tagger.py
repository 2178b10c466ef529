"""What every network of parttag is: an encoder and a head."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from parttag.jets import JetBatch
from parttag.options import Options


class Tagger(nn.Module, ABC):
    """A network from a batch of jets to one logit a class: ``head(encode(batch))``.

    Its parameters are ``backbone.*`` and ``head.*``, so that fine-tuning, probes and pre-training
    work on any network.

    Attributes
    ----------
    backbone
        Whatever turns particles into a representation.
    head
        From the representation to logits; its last layer is as wide as there are classes.
    feature_names
        The particle features that the network reads, in order.
    max_particles
        How many particles of highest pT the network is given; ``None`` for all.
    """

    backbone: nn.Module
    head: nn.Module
    feature_names: tuple[str, ...]
    max_particles: int | None

    options_class: ClassVar[type[Options]]
    reads_features: ClassVar[bool] = True
    """Whether ``feature_names`` matter: some networks make inputs of their own from p4."""

    @abstractmethod
    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return one vector a jet, from which ``head`` makes logits."""

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets classes"]:
        """Return the logits of every class for every jet."""
        logits: Tensor = self.head(self.encode(batch))
        return logits

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters, besides one-dimensional ones, that are not decayed."""
        return set()
