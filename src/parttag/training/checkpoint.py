"""Checkpoints: written so that a crash at any moment leaves one that can be read.

``checkpoints/last.pt`` and ``last.previous.pt`` hold everything that an interrupted run needs to
end with the very numbers of an uninterrupted one; ``best.pt`` holds a trained network only:
``weights``, ``config``, ``classes`` and ``features``. All are read with ``weights_only``: a pickle
with code in it is refused.
"""

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parttag.errors import InputError
from parttag.migrations.checkpoints import marked_checkpoint, upgraded_checkpoint
from parttag.migrations.formats import NewerFormatError
from parttag.models import Tagger
from parttag.models.shipped import find_pretrained
from parttag.models.tensor_files import load_tensors, refuse_unusual_tensor
from parttag.system.atomic_files import write_file
from parttag.training.shared_weights import SUFFIX, read_shared

logger = logging.getLogger(__name__)

# What every checkpoint holds, and what one to continue from holds besides.
_NETWORK_KEYS = {"weights", "config", "classes", "features"}
_MOST_VALUES, _MOST_DEEP = 200_000, 100
_TRAINING_KEYS = {"optimizer", "state", "random_states"}

LAST, PREVIOUS, BEST = "last.pt", "last.previous.pt", "best.pt"


def write_checkpoint(
    path: Path, content: Mapping[str, Any], keep_old_as: Path | None = None
) -> None:
    """Write a checkpoint by ``write_file``, keeping the file that was there if asked to."""
    buffer = io.BytesIO()
    torch.save(marked_checkpoint(content), buffer)
    write_file(path, buffer.getbuffer(), keep_old_as)


def weights_file(name: str | Path) -> Path:
    """Return the file of weights that a name means.

    Parameters
    ----------
    name
        A run, for its best epoch, a checkpoint, or a network that comes with parttag.

    Raises
    ------
    InputError
        If it begins as the name of one that comes with parttag, and is none.
    """
    shipped = find_pretrained(name)
    if shipped is not None:
        return shipped.weights
    path = Path(name)
    return path / "checkpoints" / BEST if path.is_dir() else path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what ``write_checkpoint`` wrote, on the CPU, older files in the present form.

    Files of ``write_shared`` are such too, by their suffix.

    Raises
    ------
    NewerFormatError
        If a newer parttag has made it.
    InputError
        If the file is missing, damaged, or is no checkpoint.
    """
    try:
        content = read_shared(path) if path.suffix == SUFFIX else load_tensors(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such checkpoint") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it") from error
    except InputError:
        raise
    except Exception as error:  # whatever the libraries make of damaged bytes
        raise InputError(f"{path}: the checkpoint is damaged, or is no file of weights") from error
    if not (
        isinstance(content, dict)
        and content.keys() >= _NETWORK_KEYS
        and all(isinstance(content[key], dict) for key in ("weights", "config"))
        and all(isinstance(name, str) for name in content["weights"])
    ):
        raise InputError(f"{path}: this is not a checkpoint of parttag")
    _refuse_other_types(content, path)
    return upgraded_checkpoint(content, path)


def _refuse_other_types(content: Mapping[str, Any], path: Path) -> None:
    """Refuse what is of another type than ``describe_network`` and ``state_dict`` give."""
    for key in ("classes", "features"):
        names = content[key]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{path}: {key} is no list of names in this checkpoint")
    weights, config = content["weights"], content["config"]
    for name, value in weights.items() if isinstance(weights, dict) else [("weights", None)]:
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: {name!r:.100} is no tensor in this checkpoint")
        refuse_unusual_tensor(value, name, path)
    if not isinstance(config, dict) or not isinstance(config.get("model", {}), dict):
        raise InputError(f"{path}: config is no configuration in this checkpoint")
    _refuse_endless(config, path)


def _refuse_endless(config: object, path: Path) -> None:
    """Refuse a configuration that repeats itself, or holds more than plain values."""
    left, seen = [(config, 0)], 0
    while left:
        value, depth = left.pop()
        seen += 1
        below = list(value.values()) if isinstance(value, dict) else value
        if isinstance(below, list | tuple):
            left += [(part, depth + 1) for part in below]
        elif not isinstance(value, str | int | float | None):
            raise InputError(f"{path}: config holds a {type(value).__name__}, no plain value")
        if seen + len(left) > _MOST_VALUES or depth > _MOST_DEEP:
            raise InputError(f"{path}: config is larger or deeper than any configuration")


def write_last(directory: Path, content: Mapping[str, Any]) -> None:
    """Write ``last.pt`` and keep the one before it as ``last.previous.pt``."""
    write_checkpoint(directory / LAST, content, keep_old_as=directory / PREVIOUS)


def read_last(directory: Path) -> dict[str, Any] | None:
    """Return the newest readable of the last two checkpoints, ``None`` if there is none yet.

    Raises
    ------
    NewerFormatError
        If a newer parttag has made the last one.
    InputError
        If there are checkpoints and none can be read.
    """
    paths = [path for path in (directory / LAST, directory / PREVIOUS) if path.exists()]
    for path in paths:
        try:
            content = read_checkpoint(path)
            if not content.keys() >= _TRAINING_KEYS:
                raise InputError(f"{path}: this checkpoint has weights only, nothing to continue")
        except NewerFormatError:
            raise
        except InputError as error:
            logger.warning("%s", error)
            continue
        if path.name == PREVIOUS:
            logger.warning("%s cannot be used: going on from %s", directory / LAST, path)
        return content
    if paths:
        raise InputError(
            f"{directory}: no checkpoint in it can be read; delete the run's directory to train "
            "from the beginning"
        )
    return None


def describe_network(
    model: Tagger,
    config: Mapping[str, Any],
    classes: Sequence[str],
    plugins: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Return what every checkpoint says of the network besides its weights.

    Parameters
    ----------
    model
        The network, for the features that it reads.
    config
        The run's configuration.
    classes
        Their names, in the order of the logits.
    plugins
        The parts of the run that came from plug-ins: kind, name, package and version of each.
    """
    return {
        "config": dict(config),
        "classes": list(classes),
        "features": [str(name) for name in model.feature_names],
        "plugins": [dict(part) for part in plugins],
    }


def load_weights(
    model: Tagger, content: Mapping[str, Any], classes: Sequence[str], path: Path
) -> None:
    """Copy the weights of a checkpoint into a network of the same kind.

    Raises
    ------
    InputError
        If the checkpoint is of another model, other features or another order of classes.
    """
    _refuse_difference("features", content["features"], model.feature_names, path)
    _refuse_difference("classes", content["classes"], classes, path)
    refuse_other_shapes(model, content["weights"], path)
    model.load_state_dict(content["weights"])


def refuse_other_shapes(model: Tagger, weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not of this network, naming the first that differs.

    Raises
    ------
    InputError
        If a name or a shape differs.
    """
    mine = model.state_dict()
    for name in [*mine, *weights]:
        theirs = tuple(weights[name].shape) if name in weights else "absent"
        ours = tuple(mine[name].shape) if name in mine else "absent"
        if theirs != ours:
            raise InputError(
                f"{path}: this checkpoint is of another network: its {name} is {theirs}, the "
                f"configuration's is {ours}; use the model options it was trained with"
            )


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators, the only ones that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Continue with what ``random_state`` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _refuse_difference(name: str, theirs: Sequence[str], ours: Sequence[str], path: Path) -> None:
    if list(theirs) != list(ours):
        raise InputError(
            f"{path}: this checkpoint has the {name} {', '.join(theirs)}, the configuration has "
            f"{', '.join(ours)}; they and their order must agree"
        )
