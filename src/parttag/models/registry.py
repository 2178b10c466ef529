"""The register of networks, and how one is added.

A network of another package, in a module that its entry point ``parttag.plugins`` names:

    from typing import Literal

    from pydantic import PositiveInt
    from torch import Tensor, nn

    from parttag.jets.batch import JetBatch
    from parttag.jets.features import particle_features
    from parttag.models import ModelOptions, Tagger, register_model
    from parttag.ops.jet_sums import mean_over_particles


    class MyNetOptions(ModelOptions):
        name: Literal["my_net"] = "my_net"
        width: PositiveInt = 32


    @register_model("my_net", paper="arXiv:…")
    class MyNet(Tagger):
        options_class = MyNetOptions

        def __init__(
            self, options: MyNetOptions, feature_names: tuple[str, ...], num_classes: int
        ) -> None:
            super().__init__()
            self.feature_names, self.max_particles = feature_names, None
            self.backbone = nn.Sequential(
                nn.Linear(len(feature_names), options.width), nn.ReLU()
            )
            self.head = nn.Linear(options.width, num_classes)

        def encode(self, batch: JetBatch) -> Tensor:
            particles = self.backbone(particle_features(batch, self.feature_names))
            return mean_over_particles(particles, batch)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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


def build_model(options: ModelOptions, features: str | Sequence[str], num_classes: int) -> Tagger:
    """Return the network that ``options`` name, freshly initialized from torch's random state."""
    network = MODELS[options.name].network
    return network(options, feature_names(features), num_classes)
