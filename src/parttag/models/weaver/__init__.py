"""Weights of weaver-core: state dicts of its networks become ours, one file a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from parttag.errors import InputError, option
from parttag.jets.features import FEATURE_SETS, feature_names
from parttag.models import Tagger
from parttag.models.weaver.conversion import Conversion
from parttag.models.weaver.particle_net import ParticleNetConversion
from parttag.models.weaver.particle_transformer import ParticleTransformerConversion
from parttag.models.weaver.state_dicts import read_state_dict, translate
from parttag.options import Options

__all__ = ["KNOWN_CLASSES", "ModelName", "WeaverNetwork", "read_network", "read_state_dict"]

_JETCLASS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")

KNOWN_CLASSES: dict[int, dict[str, tuple[str, ...]]] = {
    10: {name: (f"label_{name}",) for name in _JETCLASS},
    2: {"top": ("label_top", "label_Tbqq"), "QCD": ("label_QCD",)},
}
"""Classes of the published networks by their number, each with the labels that make it: those for
JetClass and those for top tagging, in the order of their configuration files."""

ModelName = Literal["particle_transformer", "particle_net"]
"""The networks whose weights can be imported."""

_CONVERSIONS: dict[str, Conversion[Any]] = {
    "particle_transformer": ParticleTransformerConversion(),
    "particle_net": ParticleNetConversion(),
}
assert set(_CONVERSIONS) == set(get_args(ModelName))


@dataclass(frozen=True)
class WeaverNetwork:
    """A network read from weaver's weights, in evaluation mode on the CPU."""

    network: Tagger
    options: Options
    """Sizes as the shapes of the weights have them; what weights do not tell is the default."""
    num_classes: int
    written_by: str
    """The program, with its version as far as the file tells."""


def read_network(
    path: Path, features: str | Sequence[str], model: ModelName = "particle_transformer"
) -> WeaverNetwork:
    """Return the network that a state dict of weaver's describes.

    It gives the logits of the version of weaver that wrote the weights.

    Parameters
    ----------
    path
        What ``torch.save`` made of the state dict, with or without the prefix ``mod.``.
    features
        The features that the network was trained with, which weights do not tell.
    model
        Which network it is.

    Raises
    ------
    InputError
        If the file is missing, damaged, holds more than tensors or another network, a key is
        missing, unknown, or of a shape that does not fit the others, or if the number of features
        is another.
    """
    state = read_state_dict(path)
    conversion = _CONVERSIONS[model]
    for name, other in _CONVERSIONS.items():
        if other.signature in state and name != model:
            raise InputError(
                f"{path} holds a {other.title}, as its {other.signature} tells, and not a "
                f"{conversion.title}; give {option('model', name)}"
            )
    sizes = conversion.sizes(state, path)
    names = feature_names(features)
    if len(names) != sizes.num_features:
        fitting = [k for k, members in FEATURE_SETS.items() if len(members) == sizes.num_features]
        raise InputError(
            f"{path}: the network reads {sizes.num_features} particle features and not "
            f"{len(names)}; choose features: {' or '.join(fitting) or 'the list of its training'}"
        )
    # No memory is taken and no random number drawn: all that is needed are names and shapes.
    with torch.device("meta"):
        network = conversion.network(sizes.options, names, sizes.num_classes)
    keys = conversion.keys(sizes.options, state)
    weights = translate(network.state_dict(), keys, state, path, conversion.their_shape)
    weights, written_by = conversion.finish(weights, state)
    network.load_state_dict(weights, assign=True)
    return WeaverNetwork(network.eval(), sizes.options, sizes.num_classes, written_by)
