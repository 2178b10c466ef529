"""Weaver's Particle Transformer, of versions 1 to 3.

Up to version 0.4.17, with which all official weights were made, weaver multiplied the heads by
``c_attn`` *and* transposed (head, channel) to (channel, head); version 0.5.0 dropped the
transposition and kept the name, so that older weights load there silently and wrongly. The two
differ in one other key: ``attn.in_proj_weight`` became ``attn.in_proj.weight``. By it they are told
apart here, and older weights are converted: see ``_without_transposition``.

Versions 2 (SwiGLU) and 3 (RMS norms, no biases) are told by what their blocks hold. The pair
network of version 3 has no biases either; ours keeps them, as zeros: a batch norm follows each.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from parttag.errors import InputError
from parttag.models.particle_transformer import ParticleTransformer, ParticleTransformerOptions
from parttag.models.weaver.conversion import Conversion, Sizes

# What a block of ours holds, and weaver's names of it.
_BLOCK_PARTS = {
    "pre_attention_norm": "pre_attn_norm",
    "qkv": "attn.in_proj",
    "out": "attn.out_proj",
    "head_scale": "c_attn",
    "post_attention_norm": "post_attn_norm",
    "feedforward.norm": "pre_fc_norm",
    "feedforward.hidden": "fc1",
    "feedforward.hidden_norm": "post_fc_norm",
    "feedforward.out": "fc2",
    "residual_scale": "w_resid",
}

# Of versions 2 and 3.
_SWIGLU_PARTS = {
    "pre_attention_norm": "pre_attn_norm",
    "qkv": "attn.in_proj",
    "out": "attn.out_proj",
    "feedforward.norm": "pre_fc_norm",
    "feedforward.hidden": "fc1",
    "feedforward.gate": "fc1_g",
    "feedforward.out": "fc2",
}
# What later or other versions have, and what they are called.
_OTHERS = {
    "attn.q_norm.": "version 3.5 or 3.6, with norms of queries and keys",
    "attn.gate_proj.": "version 3.5 or 3.6, with gates of the attention's output",
    ".ls1.": "a network with layer scales",
    ".c_mask": "a network that scales the pair bias",
    "conv_embed.": "a network with a convolutional embedding",
}


class ParticleTransformerConversion(Conversion[ParticleTransformerOptions]):
    """From weaver's keys and shapes to ours."""

    network: ClassVar[type[ParticleTransformer]] = ParticleTransformer
    title: ClassVar[str] = "Particle Transformer"
    signature: ClassVar[str] = "cls_token"

    def sizes(self, state: Mapping[str, Tensor], path: Path) -> Sizes[ParticleTransformerOptions]:
        """Return options, number of features and number of classes from the shapes of weights."""
        for part, name in _OTHERS.items():
            if any(part in key for key in state):
                raise InputError(
                    f"{path} holds weaver's ParticleTransformer of {name}; parttag reads versions "
                    "1, 2 and 3"
                )

        def size(key: str) -> int:
            if key not in state or state[key].numel() == 0 or state[key].ndim == 0:
                raise InputError(
                    f"{path}: there is no {key} in it; parttag reads versions 1, 2 and 3 of "
                    "weaver's ParticleTransformer with all their norms and scales"
                )
            return len(state[key])

        def count(blocks: str) -> int:
            return len({key.split(".")[1] for key in state if key.startswith(f"{blocks}.")})

        def widths(layers: str) -> list[int]:
            # Every third module is a linear layer or a convolution; only they have two axes.
            matrices = [k for k in state if k.startswith(f"{layers}.") and state[k].ndim > 1]
            return [size(f"{layers}.{1 + 3 * number}.weight") for number in range(len(matrices))]

        num_features, num_classes = size("embed.input_bn.weight"), size("fc.0.weight")
        width, hidden = size("norm.weight"), size("blocks.0.fc1.weight")
        version, pair_dims = _version(state), widths("pair_embed.embed")
        options = self.options(
            path,
            embed_dims=tuple(widths("embed.embed")),
            pair_dims=tuple(pair_dims[:-1]),
            num_heads=size("blocks.0.c_attn") if version == 1 else pair_dims[-1],
            num_layers=count("blocks"),
            num_class_layers=count("cls_blocks"),
            feedforward_factor=max(hidden // width, 1),
            **_RECIPES[version],
        )
        return Sizes(options, num_features, num_classes, variant=f"of version {version}")

    def completed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the state with zeros for the biases that a pair network of version 3 lacks."""
        weights = [key for key in state if key.startswith("pair_embed.embed.")]
        matrices = [key for key in weights if key.endswith(".weight") and state[key].ndim > 1]
        biases = {key.replace(".weight", ".bias"): torch.zeros(len(state[key])) for key in matrices}
        return biases | state if _version(state) == 3 else state

    def keys(
        self, options: ParticleTransformerOptions, state: Mapping[str, Tensor]
    ) -> dict[str, str]:
        """Return weaver's name of every module or parameter of ours that holds weights."""
        names = {
            "head": "fc.0",
            "backbone.class_token": "cls_token",
            "backbone.norm": "norm",
            "backbone.embedding.input_norm": "embed.input_bn",
            "backbone.pair_network.input_norm": "pair_embed.embed.0",
        }
        for number in range(len(options.embed_dims)):
            layer = f"backbone.embedding.layers.{number}"
            names[f"{layer}.norm"] = f"embed.embed.{3 * number}"
            names[f"{layer}.linear"] = f"embed.embed.{3 * number + 1}"
        for number in range(len(options.pair_dims) + 1):
            layer = f"backbone.pair_network.layers.{number}"
            names[f"{layer}.linear"] = f"pair_embed.embed.{3 * number + 1}"
            names[f"{layer}.norm"] = f"pair_embed.embed.{3 * number + 2}"
        is_transposed = _is_transposed(state)
        for ours, theirs, num_blocks in (
            ("blocks", "blocks", options.num_layers),
            ("class_blocks", "cls_blocks", options.num_class_layers),
        ):
            for number in range(num_blocks):
                block, their_block = f"backbone.{ours}.{number}", f"{theirs}.{number}"
                parts = _BLOCK_PARTS if options.block == "normformer" else _SWIGLU_PARTS
                for part, name in parts.items():
                    names[f"{block}.{part}"] = f"{their_block}.{name}"
                if is_transposed:
                    for leaf in ("weight", "bias"):
                        names[f"{block}.qkv.{leaf}"] = f"{their_block}.attn.in_proj_{leaf}"
        return names

    def their_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in weaver's file of what has the given name and shape here."""
        if name == "backbone.class_token":
            return (1, 1, *shape)
        is_convolution = name.startswith("backbone.pair_network.layers.") and len(shape) == 2
        return (*shape, 1) if is_convolution else shape

    def finish(
        self, weights: dict[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], str]:
        """Return weights without the transposition, and the version that the keys tell."""
        if _is_transposed(state):
            return _without_transposition(weights), "weaver-core before 0.5"
        return weights, "weaver-core 0.5 or later"


_RECIPES: dict[int, dict[str, object]] = {
    1: {},
    2: {"block": "swiglu"},
    3: {"block": "swiglu", "rms_norm": True, "dropout": 0.0, "drop_path": 0.1},
}


def _version(state: Mapping[str, Tensor]) -> int:
    if "blocks.0.fc1_g.weight" not in state:
        return 1
    return 2 if "blocks.0.pre_attn_norm.bias" in state else 3


def _is_transposed(state: Mapping[str, Tensor]) -> bool:
    return any(key.endswith(".attn.in_proj_weight") for key in state)


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
