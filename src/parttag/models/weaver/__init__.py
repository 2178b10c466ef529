"""Weights of weaver-core and of authors' programs: state dicts become networks of ours.

One file a network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from parttag.errors import InputError, option
from parttag.jets.column_features import ColumnFeature
from parttag.jets.feature_lists import resolved_features
from parttag.jets.features import FEATURE_SETS
from parttag.models import Tagger
from parttag.models.tagger import ModelOptions
from parttag.models.weaver.conversion import Conversion, Labels, Sizes
from parttag.models.weaver.lgn import LGNConversion
from parttag.models.weaver.lorentz_net import LorentzNetConversion
from parttag.models.weaver.particle_net import ParticleNetConversion
from parttag.models.weaver.particle_transformer import ParticleTransformerConversion
from parttag.models.weaver.state_dicts import read_state_dict, translate

__all__ = [
    "KNOWN_CLASSES",
    "Labels",
    "ModelName",
    "WeaverNetwork",
    "read_network",
    "read_state_dict",
    "their_names",
]

_JETCLASS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")

KNOWN_CLASSES: dict[int, dict[str, tuple[str, ...]]] = {
    10: {name: (f"label_{name}",) for name in _JETCLASS},
    2: {"top": ("label_top", "label_Tbqq"), "QCD": ("label_QCD",)},
}
"""Classes of the published networks by their number, each with the labels that make it: those for
JetClass and those for top tagging, in the order of their configuration files."""

ModelName = Literal["particle_transformer", "particle_net", "lorentz_net", "lgn"]
"""The networks whose weights can be imported."""

_CONVERSIONS: dict[str, Conversion[Any]] = {
    "particle_transformer": ParticleTransformerConversion(),
    "particle_net": ParticleNetConversion(),
    "lorentz_net": LorentzNetConversion(),
    "lgn": LGNConversion(),
}
assert set(_CONVERSIONS) == set(get_args(ModelName))


@dataclass(frozen=True)
class WeaverNetwork:
    """A network read from another program's weights, in evaluation mode on the CPU."""

    network: Tagger
    options: ModelOptions
    """Sizes as the shapes of the weights have them; what weights do not tell is the default."""
    num_classes: int
    written_by: str
    """The program, with its version as far as the file tells."""
    recognized: str
    """What it is, in words."""
    features: str | tuple[str | ColumnFeature, ...] | None
    """The features that it reads; None if it makes its own inputs."""
    classes: Labels
    """Its classes, with their labels, where the weights tell; else empty."""


def their_names(model: str, options: ModelOptions, names: Iterable[str]) -> dict[str, list[str]]:
    """Return what weaver may call each parameter of a network, as its patterns of names see them.

    Its files of networks keep the network under ``mod`` or are it themselves, and call a new last
    layer ``fc`` or ``fc_out``. Of networks of which weaver's names are not known there are none.
    """
    conversion = _CONVERSIONS.get(model)
    keys = conversion.keys(options, {}) if conversion is not None else {}
    found: dict[str, list[str]] = {}
    for name in names:
        for ours, theirs in keys.items():
            if name == ours or name.startswith(f"{ours}."):
                own = theirs + name.removeprefix(ours)
                found[name] = [own, f"mod.{own}"]
                if ours == "head":
                    found[name].append("fc_out" + name.removeprefix(ours))
    return found


def read_network(
    path: Path,
    features: str | Sequence[str | ColumnFeature] | None,
    model: ModelName = "particle_transformer",
) -> WeaverNetwork:
    """Return the network that a state dict of another program describes.

    It gives the logits of the version of the program that wrote the weights.

    Parameters
    ----------
    path
        What ``torch.save`` made of the state dict, with or without the prefix ``mod.`` or
        ``module.``.
    features
        The features that the network was trained with, which weights do not tell; None for a
        network that makes its own inputs, or whose features are known.
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
    title = f"{conversion.title} {sizes.variant}".strip()
    known = _features(features, sizes, title, path)
    # What a configuration has by default; a network that makes its own inputs keeps them unread.
    names = resolved_features(known or "kin")
    if sizes.num_features is not None and len(names) != sizes.num_features:
        fitting = [k for k, members in FEATURE_SETS.items() if len(members) == sizes.num_features]
        raise InputError(
            f"{path}: the network reads {sizes.num_features} particle features and not "
            f"{len(names)}; choose features: {' or '.join(fitting) or 'the list of its training'}"
        )
    # No memory is taken and no random number drawn: all that is needed are names and shapes.
    with torch.device("meta"):
        network = conversion.network(sizes.options, names, sizes.num_classes)
    state = conversion.completed(state)
    keys = conversion.keys(sizes.options, state)
    weights = translate(network.state_dict(), keys, state, path, conversion.their_shape)
    weights, written_by = conversion.finish(weights, state)
    if any(buffer.is_meta for name, buffer in network.named_buffers() if name not in weights):
        # It holds constants that are in no state: it is made anew, and its random weights go.
        with torch.random.fork_rng(devices=[]):
            network = conversion.network(sizes.options, names, sizes.num_classes)
    network.load_state_dict(weights, assign=True)
    number = sum(parameter.numel() for parameter in network.parameters())
    return WeaverNetwork(
        network.eval(),
        sizes.options,
        sizes.num_classes,
        written_by,
        f"{title}, {number:,} parameters, written by {written_by}",
        known,
        sizes.classes,
    )


def _features(
    given: str | Sequence[str | ColumnFeature] | None,
    sizes: Sizes[Any],
    title: str,
    path: Path,
) -> str | tuple[str | ColumnFeature, ...] | None:
    """Return the features of a network: those given, or those that the weights tell."""
    if sizes.num_features is None:
        if given is not None:
            raise InputError(
                f"{path}: {title} makes its own inputs from four-momenta; leave "
                f"{option('features', '')} out"
            )
        return None
    if given is None and not sizes.features:
        raise InputError(
            f"{path}: {title} reads {sizes.num_features} features, which weights do not name; give "
            f"{option('features', 'kin')}, kinpid, full or the list of its training"
        )
    if given is None:
        return sizes.features
    return given if isinstance(given, str) else tuple(given)
