"""A checkpoint to pass on: weights as safetensors, with what is needed to use them in the header.

Safetensors hold numbers and text, and never code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from parttag.errors import InputError
from parttag.migrations.checkpoints import marked_checkpoint
from parttag.system.atomic_files import write_file

SUFFIX = ".safetensors"
_KEY = "parttag"


def write_shared(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint's weights and description; the same content gives the same bytes."""
    marked = marked_checkpoint(content)
    weights = {name: tensor.contiguous() for name, tensor in marked.pop("weights").items()}
    write_file(path, save(weights, metadata={_KEY: json.dumps(marked)}))


def read_shared(path: Path) -> dict[str, Any]:
    """Return what ``write_shared`` wrote, as a checkpoint holds it.

    Raises
    ------
    InputError
        If the file is damaged, or has not what parttag writes into its header.
    OSError
        If it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError as error:
        raise InputError(f"{path}: parttag has not written these weights") from error
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: the file is damaged, or is no safetensors") from error
    if not isinstance(header, dict):
        raise InputError(f"{path}: parttag has not written these weights")
    return {**header, "weights": weights}
