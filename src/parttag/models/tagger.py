"""The base of every network: an encoder and a head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.jets.column_features import ColumnName
from parttag.jets.jet_features import jet_features
from parttag.jets.kinds import MaxParticles, names_by_kind
from parttag.options import Options


class ModelOptions(Options):
    """The options of a network: its sizes, and the name by which a configuration chooses it.

    Every network has a class of its own, in which ``name`` is its name and nothing else:
    ``name: Literal["pfn"] = "pfn"``.
    """

    name: str


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
        How many particles of highest pT the network is given, of all or of each kind; ``None`` for
        all.
    jet_feature_names
        The features of the jet that the head reads beside the representation.
    """

    backbone: nn.Module
    head: nn.Module
    feature_names: tuple[str, ...]
    max_particles: MaxParticles
    jet_feature_names: tuple[ColumnName, ...] = ()

    options_class: ClassVar[type[ModelOptions]]
    """What the network is built from: ``network(options, feature_names, num_classes)``."""
    reads_features: ClassVar[bool] = True
    """Whether ``feature_names`` matter: some networks make inputs of their own from p4."""
    takes_kinds: ClassVar[bool] = False
    """Whether there may be features of several kinds of particles (``KindName``)."""

    @abstractmethod
    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return one vector a jet, from which ``head`` makes logits."""

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets classes"]:
        """Return the logits of every class for every jet."""
        encoded = self.encode(batch)
        if self.jet_feature_names:
            beside = jet_features(batch, self.jet_feature_names)
            encoded = torch.cat([encoded, beside.to(encoded.dtype)], dim=1)
        logits: Tensor = self.head(encoded)
        return logits

    @classmethod
    def refuse_jet_features(cls) -> None:
        """Refuse features of the jet if the network makes its logits in a way of its own.

        Raises
        ------
        InputError
            If it does.
        """
        if cls.forward is not Tagger.forward:
            raise InputError(
                f"jet_features: {cls.options_class.model_fields['name'].default} has no place for "
                "them beside its representation; leave them out"
            )

    def take_jet_features(self, names: tuple[ColumnName, ...]) -> None:
        """Let the head read features of the jet beside the representation.

        Its first linear layer, which becomes wider by them, keeps the weights that it has.

        Raises
        ------
        InputError
            If the network makes its logits in a way of its own.
        """
        if not names:
            return
        self.refuse_jet_features()
        layers = ((n, m) for n, m in self.head.named_modules() if isinstance(m, nn.Linear))
        name, old = next(layers)
        width = old.in_features + len(names)
        wider = nn.Linear(width, old.out_features, bias=old.bias is not None)
        with torch.no_grad():
            wider.weight[:, : old.in_features] = old.weight
            if old.bias is not None:
                wider.bias.copy_(old.bias)
        parent, _, child = f"head.{name}".rstrip(".").rpartition(".")
        setattr(self.get_submodule(parent), child, wider)
        self.jet_feature_names = names

    @property
    def encoded_width(self) -> int:
        """Width of what ``encode`` returns, which the head's first linear layer reads."""
        first = next(m for m in self.head.modules() if isinstance(m, nn.Linear))
        return first.in_features - len(self.jet_feature_names)

    def train(self, mode: bool = True) -> "Tagger":
        """Switch to training or evaluation.

        Modules that have parameters, of which none takes a gradient, stay in evaluation: what is
        frozen neither drops anything out nor gathers statistics.
        """
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    @classmethod
    def takes_features(cls, options: ModelOptions) -> bool:  # noqa: ARG003
        """Return whether ``feature_names`` matter with these options."""
        return cls.reads_features

    @classmethod
    def refuse_kinds(cls, names: Sequence[str]) -> None:
        """Refuse features of several kinds of particles if the network tells none apart.

        Raises
        ------
        InputError
            If it does not.
        """
        kinds = names_by_kind(names)
        if kinds and not cls.takes_kinds:
            raise InputError(
                f"features: {cls.options_class.model_fields['name'].default} reads particles of "
                f"one kind, not {', '.join(kinds)}; list the features of all particles, or choose "
                "a network with an input for each kind (particle_transformer, particle_net, pfn, "
                "encoder_decoder)"
            )

    @classmethod
    def remarks(cls, names: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG003
        """Return what is worth a warning of a network that reads these features."""
        return ()

    @classmethod
    def needs_momenta(cls, options: ModelOptions) -> bool:  # noqa: ARG003
        """Return whether it reads the four-momenta of particles besides their features."""
        return True

    @classmethod
    def footnotes(cls, options: ModelOptions) -> tuple[str, ...]:  # noqa: ARG003
        """Return what the reader of a table has to know of a network with these options."""
        return ()

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters, besides one-dimensional ones, that are not decayed."""
        return set()


def padding_footnote(reference_padding: bool) -> str:
    """Return what to say of a network whose published code lets padding take part."""
    if reference_padding:
        return "padding takes part, as in the published network"
    return "padding takes no part (in the published network it does)"


class ParticleEncoder(Tagger):
    """A network that also represents each particle, and can do so without seeing some of them.

    Attributes
    ----------
    particle_width
        Width of what ``encode_particles`` returns.
    """

    particle_width: int

    @abstractmethod
    def encode_particles(
        self,
        batch: JetBatch,
        hidden: Bool[np.ndarray, " particles"] | None = None,
        placeholder: Float[Tensor, " particle_width"] | None = None,
    ) -> Float[Tensor, "particles particle_width"]:
        """Return one vector a particle.

        Parameters
        ----------
        batch
            The jets.
        hidden
            Particles that the network must not see: nothing that depends on their four-momenta
            reaches any output. Without it, all are seen.
        placeholder
            What stands for each hidden particle; given together with ``hidden``.
        """
