"""``--network`` and its options to the section ``model``."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from parttag.errors import InputError, option
from parttag.runs.weaver.remarks import Remarks

_PATTERNS = {
    # By the class that the file of the network makes, and by how such files are called.
    "particle_transformer": r"ParticleTransformer\(|particle_?transformer|part\b|_part_|\bParT",
    "particle_net": r"ParticleNet(?:Tagger)?\(|particle_?net|\bPN\b",
    "pfn": r"ParticleFlowNetwork\(|\bPFN\b|particle_?flow|_pfn",
    "pcnn": r"ResNet1D|P-?CNN|_pcnn",
}
_TRANSFORMER = {
    "embed_dims": "embed_dims",
    "pair_embed_dims": "pair_dims",
    "num_heads": "num_heads",
    "num_layers": "num_layers",
    "num_cls_layers": "num_class_layers",
    "trim": "trim",
}
# What these options have where nothing is to be said of them.
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "pair_input_dim": (4,),
    "pair_extra_dim": (0,),
    "use_pre_activation_pair": (False,),
    "remove_self_pair": (False,),
    "fc_params": ([],),
    "activation": ("gelu",),
    "for_inference": (False, True),
    "use_amp": (False, True),
    "use_fusion": (False,),
    "use_fts_bn": (True,),
    "use_counts": (True,),
    "compile_model": (False, True),
    "add_bias_kv": (False,),
    "cls_block_params": (None, {"dropout": 0, "attn_dropout": 0, "activation_dropout": 0}),
}


def network_name(given: str) -> str:
    """Return parttag's name of a network: the same, or what a file of a network makes.

    Raises
    ------
    InputError
        If it is none of those that parttag has.
    """
    if given in _PATTERNS:
        return given
    path = Path(given)
    texts = [path.name]
    if path.is_file():
        texts.insert(0, path.read_text(encoding="utf-8", errors="replace"))
    for text in texts:
        for name, pattern in _PATTERNS.items():
            flags = 0 if text is texts[0] and len(texts) > 1 else re.IGNORECASE
            if re.search(pattern, text, flags):
                return name
    raise InputError(
        f"{option('network', given)} is none of parttag's; choose one of {', '.join(_PATTERNS)}"
    )


def network_options(pairs: Sequence[str]) -> dict[str, object]:
    """Return options that are given as weaver takes them: name, value, name, value.

    Raises
    ------
    InputError
        If one has no value, or none that Python would read.
    """
    if len(pairs) % 2:
        raise InputError(
            f"{option('network_options')}: {pairs[-1]} has no value; give names and values, as in "
            "'num_layers 6 num_heads 4'"
        )
    found = {}
    for name, text in zip(pairs[::2], pairs[1::2], strict=True):
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise InputError(
                f"{option('network_options')}: {name} {text} is no number, list or text in quotes"
            ) from None
    return found


def model_section(
    name: str,
    options: Mapping[str, object],
    max_particles: object,
    remarks: Remarks,
) -> dict[str, object]:
    """Return the section ``model``."""
    section: dict[str, object] = {"name": name, "max_particles": max_particles}
    if name == "particle_transformer":
        # As weaver-core 0.5 begins.
        section["initialization"] = "xavier"
    convert = {"particle_transformer": _transformer, "particle_net": _particle_net}.get(name)
    for key, value in options.items():
        known = convert(key, value) if convert is not None else None
        if known is not None:
            section |= known
        elif value not in _PLAIN.get(key, ()):
            remarks.missing(
                f"--network-options {key}", f"{name} has no such option here; it is left out"
            )
    return section


def _transformer(key: str, value: object) -> dict[str, object] | None:
    if key in _TRANSFORMER:
        return {_TRANSFORMER[key]: value}
    if key == "block_params" and isinstance(value, Mapping) and value:
        dropouts = {value.get(k, 0.1) for k in ("dropout", "attn_dropout", "activation_dropout")}
        found: dict[str, object] = {}
        if len(dropouts) == 1:
            found["dropout"] = dropouts.pop()
        if "ffn_ratio" in value:
            found["feedforward_factor"] = value["ffn_ratio"]
        others = set(value) - {"dropout", "attn_dropout", "activation_dropout", "ffn_ratio"}
        return found if found and not others and not dropouts else None
    return {} if key == "block_params" and not value else None


def _particle_net(key: str, value: object) -> dict[str, object] | None:
    if key == "conv_params" and isinstance(value, Sequence):
        neighbours = {part[0] for part in value}
        if len(neighbours) == 1:
            dims = [list(part[1]) for part in value]
            return {"edge_dims": dims, "num_neighbours": neighbours.pop()}
    if key == "fc_params" and isinstance(value, Sequence):
        dropouts = {part[1] for part in value}
        if len(dropouts) == 1:
            return {"jet_dims": [part[0] for part in value], "dropout": dropouts.pop()}
    return None
