"""Weights of weaver-core: state dicts of its Particle Transformer become our network.

Up to version 0.4.17, with which all official weights were made, weaver multiplied the heads by
``c_attn`` *and* transposed (head, channel) to (channel, head); version 0.5.0 dropped the
transposition and kept the name, so that older weights load there silently and wrongly. The two
differ in one other key: ``attn.in_proj_weight`` became ``attn.in_proj.weight``. By it they are told
apart here, and older weights are converted: see ``_without_transposition``.
"""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from parttag.errors import InputError
from parttag.features import FEATURE_SETS, feature_names
from parttag.models.particle_transformer import ParticleTransformer, ParticleTransformerOptions

# The wrapper of weaver's network files holds the network under this name.
_PREFIX = "mod."

_JETCLASS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")

KNOWN_CLASSES: dict[int, dict[str, tuple[str, ...]]] = {
    10: {name: (f"label_{name}",) for name in _JETCLASS},
    2: {"top": ("label_top", "label_Tbqq"), "QCD": ("label_QCD",)},
}
"""Classes of the published networks by their number, each with the labels that make it: those for
JetClass and those for top tagging, in the order of their configuration files."""

# What a block of ours holds, and weaver's names of it.
_BLOCK_PARTS = {
    "pre_attention_norm": "pre_attn_norm",
    "qkv": "attn.in_proj",
    "out": "attn.out_proj",
    "head_scale": "c_attn",
    "post_attention_norm": "post_attn_norm",
    "feedforward.0": "pre_fc_norm",
    "feedforward.1": "fc1",
    "feedforward.4": "post_fc_norm",
    "feedforward.5": "fc2",
    "residual_scale": "w_resid",
}


@dataclass(frozen=True)
class WeaverNetwork:
    """A network read from weaver's weights, in evaluation mode on the CPU."""

    network: ParticleTransformer
    options: ParticleTransformerOptions
    """Sizes as the shapes of the weights have them; what weights do not tell is the default."""
    num_classes: int
    written_by: Literal["weaver-core before 0.5", "weaver-core 0.5 or later"]


def read_particle_transformer(path: Path, features: str | Sequence[str]) -> WeaverNetwork:
    """Return the network that a state dict of weaver's Particle Transformer describes.

    It gives the logits of the version of weaver that wrote the weights.

    Parameters
    ----------
    path
        What ``torch.save`` made of the state dict, with or without the prefix ``mod.``.
    features
        The features that the network was trained with, which weights do not tell.

    Raises
    ------
    InputError
        If the file is missing, damaged, holds more than tensors, a key is missing, unknown, or of a
        shape that does not fit the others, or if the number of features is another.
    """
    state = read_state_dict(path)
    options, num_features, num_classes = _sizes(state, path)
    names = feature_names(features)
    if len(names) != num_features:
        fitting = [name for name, members in FEATURE_SETS.items() if len(members) == num_features]
        raise InputError(
            f"{path}: the network reads {num_features} particle features and not {len(names)}; "
            f"choose features: {' or '.join(fitting) or 'the list it was trained with'}"
        )
    # No memory is taken and no random number drawn: all that is needed are names and shapes.
    with torch.device("meta"):
        network = ParticleTransformer(options, names, num_classes)
    is_transposed = any(key.endswith(".attn.in_proj_weight") for key in state)
    weights = _translate(network.state_dict(), _weaver_keys(options, is_transposed), state, path)
    if is_transposed:
        weights = _without_transposition(weights)
    network.load_state_dict(weights, assign=True)
    return WeaverNetwork(
        network=network.eval(),
        options=options,
        num_classes=num_classes,
        written_by="weaver-core before 0.5" if is_transposed else "weaver-core 0.5 or later",
    )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict on the CPU, without the prefix ``mod.`` of their keys.

    Code in the file is never run.

    Raises
    ------
    InputError
        If the file is missing or damaged, or holds anything but finite tensors by name.
    """
    state = _load(path)
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds a {type(state).__name__}, not a state dict")
    stripped: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise InputError(f"{path}: {key!r} is not a named tensor, so this is no state dict")
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {key} has NaN or infinity in it; take other weights")
        name = key.removeprefix(_PREFIX)
        if name in stripped:
            raise InputError(f"{path} has {name} twice, with and without {_PREFIX}; keep one")
        stripped[name] = tensor
    return stripped


def _load(path: Path) -> Any:
    """Return what ``torch.save`` put into a file, if that is data and no code."""
    try:
        # torch does not look at the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise InputError(f"{path} is damaged, in its part {damaged}; get it again")
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is damaged, or no file that torch.save made") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds code or objects besides tensors, and is refused; save the state_dict() "
            "of the network alone"
        ) from error
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no file that torch.save made of tensors") from error


def _sizes(state: Mapping[str, Tensor], path: Path) -> tuple[ParticleTransformerOptions, int, int]:
    """Return options, number of features and number of classes from the shapes of the weights."""

    def size(key: str) -> int:
        if key not in state or state[key].numel() == 0 or state[key].ndim == 0:
            raise InputError(
                f"{path}: there is no {key} in it; parttag reads version 1 of weaver's "
                "ParticleTransformer with all its norms and scales"
            )
        return len(state[key])

    def count(blocks: str) -> int:
        return len({key.split(".")[1] for key in state if key.startswith(f"{blocks}.")})

    def widths(layers: str) -> list[int]:
        # Every third module is a linear layer or a convolution; only these have two axes or more.
        matrices = [key for key in state if key.startswith(f"{layers}.") and state[key].ndim > 1]
        return [size(f"{layers}.{1 + 3 * number}.weight") for number in range(len(matrices))]

    num_features, num_classes = size("embed.input_bn.weight"), size("fc.0.weight")
    width, hidden = size("norm.weight"), size("blocks.0.fc1.weight")
    try:
        options = ParticleTransformerOptions(
            embed_dims=tuple(widths("embed.embed")),
            pair_dims=tuple(widths("pair_embed.embed")[:-1]),
            num_heads=size("blocks.0.c_attn"),
            num_layers=count("blocks"),
            num_class_layers=count("cls_blocks"),
            feedforward_factor=max(hidden // width, 1),
        )
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{path}: the shapes of its weights make no Particle Transformer ({where} "
            f"{problem['msg']})"
        ) from error
    return options, num_features, num_classes


def _weaver_keys(options: ParticleTransformerOptions, is_transposed: bool) -> dict[str, str]:
    """Return weaver's name of every module or parameter of ours that holds weights."""
    names = {
        "head": "fc.0",
        "backbone.class_token": "cls_token",
        "backbone.norm": "norm",
        "backbone.embedding.0": "embed.input_bn",
        "backbone.pair_network.input_norm": "pair_embed.embed.0",
    }
    for number in range(3 * len(options.embed_dims)):
        names[f"backbone.embedding.{number + 1}"] = f"embed.embed.{number}"
    for number in range(len(options.pair_dims) + 1):
        layer = f"backbone.pair_network.layers.{number}"
        names[f"{layer}.linear"] = f"pair_embed.embed.{3 * number + 1}"
        names[f"{layer}.norm"] = f"pair_embed.embed.{3 * number + 2}"
    for ours, theirs, num_blocks in (
        ("blocks", "blocks", options.num_layers),
        ("class_blocks", "cls_blocks", options.num_class_layers),
    ):
        for number in range(num_blocks):
            for part, name in _BLOCK_PARTS.items():
                names[f"backbone.{ours}.{number}.{part}"] = f"{theirs}.{number}.{name}"
            if is_transposed:
                for leaf in ("weight", "bias"):
                    names[f"backbone.{ours}.{number}.qkv.{leaf}"] = (
                        f"{theirs}.{number}.attn.in_proj_{leaf}"
                    )
    return names


def _translate(
    ours: Mapping[str, Tensor], names: Mapping[str, str], state: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Return weaver's tensors by our names, in our shapes; refuse what is left over or lacking."""
    weights = {}
    unread = dict(state)
    for name, target in ours.items():
        if not target.is_meta:  # the count of calls of the trimmer, which weaver does not keep
            weights[name] = target
            continue
        module, _, leaf = name.rpartition(".")
        key = names[name] if name in names else f"{names[module]}.{leaf}"
        if key not in unread:
            raise InputError(f"{path}: the key {key} is missing")
        tensor = unread.pop(key)
        fitting = _weaver_shape(name, tuple(target.shape))
        if tensor.shape != fitting:
            raise InputError(
                f"{path}: {key} has the shape {tuple(tensor.shape)}, but {fitting} would fit the "
                "other weights"
            )
        weights[name] = tensor.to(target.dtype).reshape(target.shape)
    if unread:
        raise InputError(
            f"{path}: {next(iter(unread))} belongs to no part of the Particle Transformer, of "
            f"weaver's version 1; {len(unread)} such keys in all"
        )
    return weights


def _weaver_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in weaver's file of what has the given name and shape here."""
    if name == "backbone.class_token":
        return (1, 1, *shape)
    is_convolution = name.startswith("backbone.pair_network.layers.") and len(shape) == 2
    return (*shape, 1) if is_convolution else shape


def _without_transposition(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights that give without transposing what the given ones give with it.

    Channel d of head h is multiplied by the head's scale and becomes channel d·H + h of the block,
    H being the number of heads. The output projection does both here: its rows are multiplied and
    reordered, and the scale of the heads becomes 1.
    """
    converted = dict(weights)
    for name, head_scale in weights.items():
        block, _, leaf = name.rpartition(".")
        if leaf != "head_scale":
            continue
        for kind in ("weight", "bias"):
            rows = weights[f"{block}.out.{kind}"]
            heads = rows.view(len(head_scale), -1, *rows.shape[1:])
            scale = head_scale.view(-1, *[1] * (heads.ndim - 1))
            converted[f"{block}.out.{kind}"] = (heads * scale).transpose(0, 1).reshape(rows.shape)
        converted[name] = torch.ones_like(head_scale)
    return converted
