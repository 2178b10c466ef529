"""Weaver's Particle Transformer, of version 1.

Up to version 0.4.17, with which all official weights were made, weaver multiplied the heads by
``c_attn`` *and* transposed (head, channel) to (channel, head); version 0.5.0 dropped the
transposition and kept the name, so that older weights load there silently and wrongly. The two
differ in one other key: ``attn.in_proj_weight`` became ``attn.in_proj.weight``. By it they are told
apart here, and older weights are converted: see ``_without_transposition``.
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


class ParticleTransformerConversion(Conversion[ParticleTransformerOptions]):
    """From weaver's keys and shapes to ours."""

    network: ClassVar[type[ParticleTransformer]] = ParticleTransformer
    title: ClassVar[str] = "Particle Transformer"
    signature: ClassVar[str] = "cls_token"

    def sizes(self, state: Mapping[str, Tensor], path: Path) -> Sizes[ParticleTransformerOptions]:
        """Return options, number of features and number of classes from the shapes of weights."""

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
            # Every third module is a linear layer or a convolution; only they have two axes.
            matrices = [k for k in state if k.startswith(f"{layers}.") and state[k].ndim > 1]
            return [size(f"{layers}.{1 + 3 * number}.weight") for number in range(len(matrices))]

        num_features, num_classes = size("embed.input_bn.weight"), size("fc.0.weight")
        width, hidden = size("norm.weight"), size("blocks.0.fc1.weight")
        options = self.options(
            path,
            embed_dims=tuple(widths("embed.embed")),
            pair_dims=tuple(widths("pair_embed.embed")[:-1]),
            num_heads=size("blocks.0.c_attn"),
            num_layers=count("blocks"),
            num_class_layers=count("cls_blocks"),
            feedforward_factor=max(hidden // width, 1),
        )
        return Sizes(options, num_features, num_classes)

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
                for part, name in _BLOCK_PARTS.items():
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
