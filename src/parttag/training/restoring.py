"""What a checkpoint to continue from must hold: types, shapes and sizes, before anything is used.

A run may come from somebody else. torch takes what it is given: options of the optimizer in place
of the configuration's, states of parameters that there are not, of any shape and size.
"""

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from parttag.errors import InputError
from parttag.models.tensor_files import refuse_unusual_tensor

# What of an optimizer's group may differ from a fresh one's: torch chooses it by the device.
_OF_DEVICE = {"foreach", "fused"}
_SCALARS = {"step"}
_MOMENTS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


class _RefusalError(Exception):
    """Why a part of a checkpoint cannot be used."""


def refuse_foreign_training(
    content: Mapping[str, Any],
    path: Path,
    *,
    groups: list[dict[str, Any]],
    slow_weights: list[Tensor] | None,
    state_class: type,
    num_sums: int,
    num_steps: int,
    num_epochs: int,
) -> None:
    """Refuse a checkpoint whose training cannot be continued by this optimizer and objective.

    Parameters
    ----------
    content
        The checkpoint.
    groups
        Those of the fresh optimizer.
    slow_weights
        Of ``Lookahead``, if the optimizer is one.
    state_class
        The dataclass of ``state``.
    num_sums
        Numbers that are summed over an epoch.
    num_steps, num_epochs
        Of the whole training.

    Raises
    ------
    InputError
        If a part is of another type, shape or size, or an option of another value.
    """
    try:
        optimizer = _mapping(content["optimizer"], "optimizer")
        if slow_weights is not None:
            _check_slow_weights(optimizer, slow_weights, path)
            optimizer = _mapping(optimizer["inner"], "optimizer.inner")
        _check_groups(optimizer, groups)
        _check_moments(optimizer, [p for group in groups for p in group["params"]], path)
        _check_state(_mapping(content["state"], "state"), state_class, num_sums)
        if content["state"]["step"] > num_steps or len(content["state"]["history"]) > num_epochs:
            raise _RefusalError("state is of a longer training")
        _check_random_states(content["random_states"])
    except KeyError as error:
        raise InputError(f"{path}: {error} is missing in this checkpoint; {_ADVICE}") from error
    except _RefusalError as error:
        raise InputError(f"{path}: {error}; {_ADVICE}") from error


_ADVICE = "it cannot be continued, train again under another name"


def _mapping(value: object, name: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise _RefusalError(f"{name} is a {type(value).__name__} and no mapping")
    return value


def _list(value: object, name: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise _RefusalError(f"{name} is no list of {'values' if length is None else length}")
    return value


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _check_groups(optimizer: Mapping[Any, Any], ours: list[dict[str, Any]]) -> None:
    """Compare the groups' options with those that the configuration gave a fresh optimizer."""
    first = 0
    groups = _list(optimizer["param_groups"], "optimizer.param_groups", len(ours))
    for number, (group, own) in enumerate(zip(groups, ours, strict=True)):
        name = f"optimizer.param_groups[{number}]"
        theirs = dict(_mapping(group, name))
        params = _list(theirs.pop("params"), f"{name}.params", len(own["params"]))
        if params != list(range(first, first + len(params))):
            raise _RefusalError(f"{name}.params are not the parameters in their order")
        first += len(params)
        rate = theirs.pop("lr")
        if not _is_number(rate) or rate < 0:
            raise _RefusalError(f"{name}.lr is no learning rate")
        for key, value in theirs.items():
            if key not in own:
                raise _RefusalError(f"{name} has an option {key!r:.50} that the optimizer has not")
            is_choice = key in _OF_DEVICE and (value is None or isinstance(value, bool))
            # Lists for tuples are as good: betas of another library.
            same = type(value) in (type(own[key]), list) and _tuple(value) == _tuple(own[key])
            if not (is_choice or same):
                raise _RefusalError(f"{name}.{key} is not the configuration's")


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value


def _check_moments(optimizer: Mapping[Any, Any], parameters: list[Tensor], path: Path) -> None:
    for number, moments in _mapping(optimizer["state"], "optimizer.state").items():
        name = f"optimizer.state[{number!r:.50}]"
        if isinstance(number, bool) or not isinstance(number, int):
            raise _RefusalError(f"{name} is of no parameter")
        if not 0 <= number < len(parameters):
            raise _RefusalError(f"{name} is of no parameter")
        for key, value in _mapping(moments, name).items():
            if key not in _MOMENTS | _SCALARS:
                raise _RefusalError(f"{name} has a key {key!r:.50} that the optimizer has not")
            shape = parameters[number].shape if key in _MOMENTS else ()
            _check_tensor(value, f"{name}.{key}", tuple(shape), path)


def _check_slow_weights(optimizer: Mapping[Any, Any], ours: list[Tensor], path: Path) -> None:
    weights = _list(optimizer["slow_weights"], "optimizer.slow_weights", len(ours))
    for number, (weight, own) in enumerate(zip(weights, ours, strict=True)):
        _check_tensor(weight, f"optimizer.slow_weights[{number}]", tuple(own.shape), path)
    if not _is_count(optimizer["num_steps"]):
        raise _RefusalError("optimizer.num_steps is no number of steps")


def _check_tensor(value: object, name: str, shape: tuple[int, ...], path: Path) -> None:
    if not isinstance(value, Tensor):
        raise _RefusalError(f"{name} is a {type(value).__name__} and no tensor")
    refuse_unusual_tensor(value, name, path)
    if tuple(value.shape) != shape or not value.is_floating_point():
        raise _RefusalError(f"{name} is of the shape {tuple(value.shape)}, not {shape} of numbers")


def _check_state(state: Mapping[Any, Any], state_class: type, num_sums: int) -> None:
    if not {"step", "sums", "history"} <= state.keys() <= {f.name for f in fields(state_class)}:
        raise _RefusalError(f"state has the keys {', '.join(map(str, state))[:200]}")
    sums = state["sums"]
    if sums is not None:
        is_plain = isinstance(sums, Tensor) and sums.layout == torch.strided
        if not is_plain or sums.shape != (num_sums,) or sums.dtype != torch.float64:
            raise _RefusalError(f"state.sums is no tensor of {num_sums} numbers")
    if not _is_count(state["step"]):
        raise _RefusalError("state.step is no number of steps")
    for key in ("seconds", "cpu_seconds"):
        if not _is_number(state.get(key, 0.0)) or state.get(key, 0.0) < 0:
            raise _RefusalError(f"state.{key} is no time")
    if not isinstance(state.get("is_cut", False), bool):
        raise _RefusalError("state.is_cut is neither true nor false")
    for entry in _list(state["history"], "state.history"):
        for key, value in _mapping(entry, "an entry of state.history").items():
            if not isinstance(key, str) or not isinstance(value, int | float):
                raise _RefusalError("an entry of state.history is no number by name")


def _check_random_states(states: object) -> None:
    for state in _list(states, "random_states"):
        for device, value in _mapping(state, "a state of random_states").items():
            is_bytes = isinstance(value, Tensor) and value.dtype == torch.uint8 and value.ndim == 1
            if device not in ("cpu", "cuda") or not is_bytes or value.layout != torch.strided:
                raise _RefusalError("a state of random_states is no tensor of bytes")
            try:
                if device == "cpu":
                    torch.Generator().set_state(value)
            except RuntimeError as error:
                raise _RefusalError("a state of random_states is none of torch's") from error
