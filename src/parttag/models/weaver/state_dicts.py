"""State dicts of others' networks, read from files that nobody vouches for."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parttag.errors import InputError
from parttag.models.tensor_files import (
    load_tensors,
    refuse_shared_numbers,
    refuse_unusual_tensor,
)

# Weaver's network files hold the network under the first name, torch's data-parallel wrapper under
# the second.
_PREFIXES = ("mod.", "module.")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict on the CPU, without the prefix ``mod.`` or ``module.``.

    Code in the file is never run.

    Raises
    ------
    InputError
        If the file is missing or damaged, or holds anything but plain tensors of finite real
        numbers by name.
    """
    state = _load(path)
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds a {type(state).__name__}, not a state dict")
    stripped: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise InputError(f"{path}: {key!r} is not a named tensor, so this is no state dict")
        refuse_unusual_tensor(tensor, key, path)
        prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), "")
        name = key.removeprefix(prefix)
        if name in stripped:
            raise InputError(
                f"{path} has {name} twice, with and without {prefix or _PREFIXES[0]}; keep one"
            )
        stripped[name] = tensor
    refuse_shared_numbers(stripped, path)
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {key} has NaN or infinity in it; take other weights")
    return stripped


def _load(path: Path) -> Any:
    """Return what ``torch.save`` put into a file, if that is data and no code."""
    try:
        return load_tensors(path)
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
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} is no file that torch.save made of tensors") from error


def translate(
    ours: Mapping[str, Tensor],
    names: Mapping[str, str],
    state: Mapping[str, Tensor],
    path: Path,
    their_shape: Callable[[str, tuple[int, ...]], tuple[int, ...]],
) -> dict[str, Tensor]:
    """Return a program's tensors by our names, in our shapes; refuse what is left over or lacking.

    Parameters
    ----------
    ours
        Our network's state; what is to be filled is on the device ``meta``.
    names
        The program's name of every module, or parameter, of ours that holds weights.
    state
        What the file holds.
    path
        The file, for the message.
    their_shape
        From our name and shape of a tensor to its shape in the file.

    Raises
    ------
    InputError
        If a key is missing, unknown, or of a shape that does not fit the others.
    """
    weights = {}
    unread = dict(state)
    for name, target in ours.items():
        if not target.is_meta:  # the count of calls of a trimmer, which is not kept there
            weights[name] = target
            continue
        module, _, leaf = name.rpartition(".")
        key = names[name] if name in names else f"{names[module]}.{leaf}"
        if key not in unread:
            raise InputError(f"{path}: the key {key} is missing")
        tensor = unread.pop(key)
        fitting = their_shape(name, tuple(target.shape))
        if tensor.shape != fitting:
            raise InputError(
                f"{path}: {key} has the shape {tuple(tensor.shape)}, but {fitting} would fit the "
                "other weights"
            )
        if target.is_floating_point() and not tensor.is_floating_point():
            raise InputError(
                f"{path}: {key} holds {str(tensor.dtype).removeprefix('torch.')}, but "
                f"{str(target.dtype).removeprefix('torch.')} is needed"
            )
        weights[name] = tensor.to(target.dtype).reshape(target.shape)
    if unread:
        raise InputError(
            f"{path}: {next(iter(unread))} belongs to no part of the network as parttag has it; "
            f"{len(unread)} such keys in all"
        )
    return weights
