"""The register of networks, and how one is added.

A network, in parttag or in another package, is two classes: options that derive from
``ModelOptions``, with the name as ``name: Literal["my_net"] = "my_net"`` and a default for each
size, and a ``Tagger`` under ``@register_model("my_net")`` that has them as ``options_class`` and is
built as ``MyNet(options, feature_names, num_classes)``. It sets ``feature_names``,
``max_particles``, ``backbone`` and ``head``, and ``encode`` turns a batch into one vector a jet.
CONTRIBUTING.md shows one with its test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from parttag.jets.column_features import ColumnName
from parttag.jets.features import feature_names
from parttag.models.tagger import ModelOptions, Tagger
from parttag.options import check_name
from parttag.plugins import Registry


@dataclass(frozen=True)
class ModelEntry:
    """A network as the register knows it: its class, the paper, the configuration as published."""

    network: type[Tagger]
    paper: str
    recipe: str


MODELS: Registry[ModelEntry] = Registry("network")
"""Every network by name: those of parttag, and those of plug-ins."""

AnyTagger = TypeVar("AnyTagger", bound=Tagger)


def register_model(
    name: str, *, paper: str = "", recipe: str = ""
) -> Callable[[type[AnyTagger]], type[AnyTagger]]:
    """Register the network that is decorated.

    Parameters
    ----------
    name
        What ``model.name`` of a configuration calls it; the default of the field ``name`` of its
        ``options_class``, whose type is that word alone.
    paper
        Where it was published: ``"arXiv:2202.03772"``.
    recipe
        The shipped configuration with the published settings.

    Raises
    ------
    InputError
        If the name is taken, or the options have another.
    """

    def register(network: type[AnyTagger]) -> type[AnyTagger]:
        check_name("network", name, network, ModelOptions)
        MODELS.add(name, ModelEntry(network, paper, recipe), definition=network)
        return network

    return register


def build_model(
    options: ModelOptions,
    features: str | Sequence[str],
    num_classes: int,
    jet_features: tuple[ColumnName, ...] = (),
) -> Tagger:
    """Return the network that ``options`` name, freshly initialized from torch's random state.

    Raises
    ------
    InputError
        If a feature does not exist, the network has no place for features of the jet, or reads
        particles of one kind only.
    """
    kind, names = MODELS[options.name].network, feature_names(features)
    kind.refuse_kinds(names)
    network = kind(options, names, num_classes)
    network.take_jet_features(jet_features)
    return network
