"""The device of a launch: Triton launches on the current one, whatever its tensors' is."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output")


def on_its_device(function: Callable[Inputs, Output]) -> Callable[Inputs, Output]:
    """Make the GPU of a function's first tensor the current one while the function runs."""

    @wraps(function)
    def run(*args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        tensor = _first_tensor([*args, *kwargs.values()])
        on_gpu = tensor is not None and tensor.device.type == "cuda"
        with torch.cuda.device(tensor.device) if tensor is not None and on_gpu else nullcontext():
            return function(*args, **kwargs)

    return run


def _first_tensor(values: Iterable[object]) -> Tensor | None:
    for value in values:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, tuple) and (found := _first_tensor(value)) is not None:
            return found
    return None
