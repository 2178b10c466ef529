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
from parttag.models.layers.task_heads import TaskHead
from parttag.models.layers.trimmer import ParticleTrimmer
from parttag.ops.layout import AttentionPath
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
    compiles_parts: ClassVar[bool] = False
    """Whether ``compile`` leaves out what would be compiled anew for every batch."""
    reads_features: ClassVar[bool] = True
    """Whether ``feature_names`` matter: some networks make inputs of their own from p4."""
    takes_kinds: ClassVar[bool] = False
    """Whether there may be features of several kinds of particles (``KindName``)."""

    @abstractmethod
    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return one vector a jet, from which ``head`` makes logits."""

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets classes"]:
        """Return the logits of every class for every jet."""
        logits: Tensor = self.head(self.with_jet_features(self.encode(batch), batch))
        return logits

    def with_jet_features(
        self, encoded: Float[Tensor, "jets width"], batch: JetBatch
    ) -> Float[Tensor, "jets _width"]:
        """Return the representation with the features of the jet beside it, as heads read it."""
        if not self.jet_feature_names:
            return encoded
        beside = jet_features(batch, self.jet_feature_names)
        return torch.cat([encoded, beside.to(encoded.dtype)], dim=1)

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

    def trimmer_of_batches(self) -> ParticleTrimmer | None:
        """Return what drops particles of batches in training, if anything does."""
        return None

    def path_if_filled(self, device: torch.device, dtype: torch.dtype) -> AttentionPath | None:  # noqa: ARG002
        """Return what takes batches that are filled up; ``None`` if the network cannot.

        Such a network trains on a ``FilledBatch`` as on its jets alone, and asks the host for none
        of their lengths.
        """
        return None

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
        if isinstance(self.head, TaskHead):
            width = self.head.encoded_width
        else:
            first = next(m for m in self.head.modules() if isinstance(m, nn.Linear))
            width = first.in_features
        return width - len(self.jet_feature_names)

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

    def encode_both(
        self, batch: JetBatch
    ) -> tuple[JetBatch, Float[Tensor, "jets width"], Float[Tensor, "particles particle_width"]]:
        """Return the batch as the network has seen it, and one vector a jet and one a particle.

        In training a network may drop particles: then these are of what is left.
        """
        return batch, self.encode(batch), self.encode_particles(batch)
