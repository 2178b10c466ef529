"""Starting from weights that another run has trained, on whatever objective."""

import logging
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat
from torch import nn

from parttag.errors import InputError
from parttag.models import Tagger
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.options import LocalName, Options, Texts
from parttag.training.checkpoint import read_checkpoint, refuse_other_shapes, weights_file

BatchNorms = Literal["frozen", "adapted", "batch"]

logger = logging.getLogger(__name__)

# Options of a network that do not change what it makes of jets once it is trained.
_ONLY_TRAINING = {"dropout", "trim", "kernels"}


class InitOptions(Options):
    """Where the first weights come from, and how fast which parameters go on learning.

    Patterns are those of a shell, for the whole name of a parameter: ``head.*``,
    ``backbone.blocks.*``.
    """

    path: LocalName
    """A run directory, of which the best checkpoint is read, a checkpoint, or a network that comes
    with parttag, ``pretrained/NAME`` (``parttag pretrained`` lists them)."""
    load: Literal["backbone", "all"] = "backbone"
    """Load the backbone and start with a fresh head, or load both."""
    lr_multipliers: dict[str, PositiveFloat] = Field(default_factory=dict)
    """The learning rate of parameters by pattern, in units of ``optimizer.lr``; of several patterns
    that fit a parameter, the first one counts."""
    freeze: Texts = ()
    """Patterns of parameters that stay as they are loaded. Modules with no others stay in
    evaluation mode: their norms and their dropout are frozen too."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rates by depth: each layer of the backbone learns so many times more slowly than the layer
    after it, the last one than the head (arXiv:1801.06146 has 1/2.6). ``lr_multipliers`` come on
    top. null for the same rate at every depth."""
    batch_norms: BatchNorms = "batch"
    """What batch norms normalize with in training: the statistics of the ``batch``, as if they had
    never been trained elsewhere; those that were loaded, ``frozen`` with scale and shift; or
    ``adapted``, of the batch too, after the statistics were measured anew on jets of this training
    and scale and shift changed so that the network begins as what was loaded. That matters where
    the statistics are of something else, such as padded batches in weaver's weights."""


def load_initial_weights(
    model: Tagger, options: InitOptions, description: Mapping[str, Any] | None = None
) -> None:
    """Copy the weights that ``options`` name into the network.

    Parameters
    ----------
    description
        What checkpoints will say of the network (``describe_network``). With it, weights of the
        right shapes that mean something else are noticed too.

    Raises
    ------
    InputError
        If there are none, or they are of another network, other features, another tokenizer or,
        where the head is loaded, another order of the classes.
    """
    path = weights_file(options.path)
    content = read_checkpoint(path)
    if content["features"] != list(model.feature_names):
        raise InputError(
            f"init_from.path: {path} was trained on the features "
            f"{', '.join(content['features'])}, this configuration has "
            f"{', '.join(model.feature_names)}; give the same features"
        )
    if description is not None:
        _compare_networks(content, description, options, path)
    own = model.state_dict()
    weights = {k: v for k, v in own.items() if _is_fresh(k, options.load)}
    weights |= {k: v for k, v in content["weights"].items() if not _is_fresh(k, options.load)}
    refuse_other_shapes(model, weights, path)
    model.load_state_dict(weights)


def _compare_networks(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], options: InitOptions, path: Path
) -> None:
    """Refuse another kind of network, tokens or order of classes; warn of options that differ."""
    options_there, options_here = (d["config"].get("model", {}) for d in (theirs, ours))
    # The name first: options of two networks are not to be compared.
    for key in sorted(options_here.keys() - _ONLY_TRAINING, key=lambda key: (key != "name", key)):
        here, there = options_here[key], options_there.get(key, options_here[key])
        if key == "tokenizer":
            here, there = ({**sizes, "dropout": None} for sizes in (here, there))
        if there == here:
            continue
        sentence = f"init_from.path: {path} has model.{key} {there}, this configuration has {here}"
        if key in ("name", "tokenizer"):
            raise InputError(f"{sentence}; the network must be the same")
        logger.warning("%s: with that, the same weights give something else", sentence)
    there, here = theirs["classes"], ours["classes"]
    if options.load == "all" and there != here and sorted(there) == sorted(here):
        raise InputError(
            f"init_from.path: {path} has the classes {', '.join(there)} in this order; give "
            "data.classes in the same order, or init_from.load=backbone"
        )


def _is_fresh(name: str, load: Literal["backbone", "all"]) -> bool:
    """Return whether an entry of a network's state is not taken from another run.

    That is the head, unless all is loaded, and what modules count for themselves during a training.
    """
    return name.endswith("_extra_state") or (load == "backbone" and name.startswith("head."))


def freeze_parameters(model: Tagger, options: InitOptions) -> None:
    """Let the parameters that ``options.freeze`` names take no gradient, and frozen batch norms'.

    Raises
    ------
    InputError
        If a pattern fits no parameter, there are no batch norms to do anything with, or nothing is
        left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in options.freeze:
        _refuse_unfitting("init_from.freeze", pattern, names)
    for name, parameter in model.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in options.freeze):
            parameter.requires_grad_(False)
    norms = batch_norms(model)
    if options.batch_norms != "batch" and not norms:
        raise InputError(
            f"init_from.batch_norms is {options.batch_norms}, but this network has no batch norms; "
            "leave it out"
        )
    if options.batch_norms == "frozen":
        for norm in norms:
            norm.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("init_from.freeze leaves nothing to train; freeze less")


def batch_norms(model: Tagger) -> list[PackedBatchNorm]:
    """Return the batch norms of a network, in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, PackedBatchNorm)]


def learning_rate_multipliers(
    model: Tagger, options: InitOptions | None, of_all: Mapping[str, float] = MappingProxyType({})
) -> dict[str, float]:
    """Return the multiplier of every parameter whose learning rate is not ``optimizer.lr``.

    Parameters
    ----------
    options
        What the training starts from.
    of_all
        ``optimizer.lr_multipliers``, whatever it starts from.

    Raises
    ------
    InputError
        If a pattern of ``lr_multipliers`` fits no parameter.
    """
    found = _by_pattern(model, of_all, "optimizer.lr_multipliers")
    if options is None:
        return found
    factors = [_by_pattern(model, options.lr_multipliers, "init_from.lr_multipliers")]
    if options.layer_decay is not None:
        factors.append({n: options.layer_decay**depth for n, depth in _depths(model).items()})
    for factor in factors:
        for name, value in factor.items():
            found[name] = found.get(name, 1.0) * value
    return found


def _by_pattern(model: Tagger, patterns: Mapping[str, float], key: str) -> dict[str, float]:
    names = [name for name, _ in model.named_parameters()]
    found: dict[str, float] = {}
    for pattern, multiplier in patterns.items():
        _refuse_unfitting(key, pattern, names)
        for name in names:
            if fnmatchcase(name, pattern):
                found.setdefault(name, multiplier)
    return found


def _depths(model: Tagger) -> dict[str, int]:
    """Return how many layers each parameter of the backbone is before the head.

    Layers are what the backbone consists of, in its order, a list of blocks being one layer each;
    parameters of its own, such as a class token, are of the first.
    """
    layers = [
        module for module in _layers(model.backbone) if any(True for _ in module.parameters())
    ]
    of_layer = {id(p): n for n, layer in enumerate(layers) for p in layer.parameters()}
    return {
        f"backbone.{name}": len(layers) - of_layer.get(id(parameter), 0)
        for name, parameter in model.backbone.named_parameters()
    }


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield child


def _refuse_unfitting(key: str, pattern: str, names: list[str]) -> None:
    if any(fnmatchcase(name, pattern) for name in names):
        return
    nearest = get_close_matches(pattern, names, n=1, cutoff=0)[0]
    raise InputError(f"{key}: {pattern!r} fits the name of no parameter; the nearest is {nearest}")
