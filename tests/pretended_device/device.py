"""A CUDA device that is not there, in ``with pretended_device() as ledger``."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.utils._pytree import tree_leaves, tree_map

from pretended_device.functions import DeviceFunctions
from pretended_device.ledger import Ledger, caller
from pretended_device.tensors import GPU, LEDGER, DeviceMixError, DeviceTensor, held


class Event(torch.cuda.Event):
    """An event of a stream that has always come to its end."""

    def __new__(cls, *_: Any, **__: Any) -> "Event":
        """Return one without the runtime, which makes real ones."""
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what a real one takes."""

    def record(self, *_: Any) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Write down that the host waits."""
        LEDGER.wait("synchronize of an event")

    def query(self) -> bool:
        """Return that it has been reached."""
        return True


class _Current:
    """The current device: another GPU but within this context."""

    now: torch.device | None = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> None:
        self.before, _Current.now = _Current.now, self.device

    def __exit__(self, *_: object) -> None:
        _Current.now = self.before


class GraphCapture:
    """Makes CUDA graphs: the function is called again each time, and may neither wait nor copy."""

    def __call__(self, function: Any) -> Any:
        """Return what calls the function."""

        def replay() -> torch.Tensor:
            LEDGER.launch("graph")
            LEDGER.is_captured = True
            try:
                return function()
            finally:
                LEDGER.is_captured = False

        return replay


@contextlib.contextmanager
def pretended_device() -> Iterator[Ledger]:
    """Let torch have a GPU within the context; the ledger is closed, and empty, to begin with."""
    LEDGER.__init__()
    mode = DeviceFunctions()
    with contextlib.ExitStack() as stack:
        for patch in (
            *_of_autocast(mode),
            *_of_the_runtime(mode),
            *_of_networks(mode),
            *_of_kernels(mode),
        ):
            stack.enter_context(patch)
        stack.enter_context(mode)
        yield LEDGER


def _of_autocast(mode: DeviceFunctions) -> Iterator[Any]:
    is_enabled, dtype_of = torch.is_autocast_enabled, torch.get_autocast_dtype
    real = torch.autocast

    class Autocast(contextlib.ContextDecorator):
        """CUDA's by the mode, the CPU's by torch."""

        def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
            self.real = None
            if torch.device(device_type).type != "cuda":
                self.real = real(device_type, dtype, enabled, cache_enabled)
            self.short = (dtype or torch.float16) if enabled else None

        def __enter__(self):
            if self.real is not None:
                return self.real.__enter__()
            self.before, mode.short = mode.short, self.short
            return self

        def __exit__(self, *error):
            if self.real is not None:
                return self.real.__exit__(*error)
            mode.short = self.before
            return False

    def enabled(device_type=None):
        if device_type is None or device_type == "cuda":
            return mode.short is not None
        return is_enabled(device_type)

    def short(device_type):
        return (mode.short or torch.float16) if device_type == "cuda" else dtype_of(device_type)

    yield mock.patch.object(torch, "autocast", Autocast)
    yield mock.patch.object(torch.amp, "autocast", Autocast)
    yield mock.patch.object(torch, "is_autocast_enabled", enabled)
    yield mock.patch.object(torch, "get_autocast_dtype", short)


def _of_the_runtime(mode: DeviceFunctions) -> Iterator[Any]:
    values: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda *_: None,
        "synchronize": lambda *_: LEDGER.wait("synchronize"),
        "mem_get_info": lambda *_: (1 << 37, 1 << 37),
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda *_: None,
        "manual_seed_all": lambda *_: None,
        "get_device_name": lambda *_: "pretended",
        "get_device_capability": lambda *_: (9, 0),
        "is_bf16_supported": lambda *_, **__: True,
        "device": _Current,
        "Event": Event,
    }
    for name, value in values.items():
        yield mock.patch.object(torch.cuda, name, value)
    # The loader's threads have no mode.
    pin = lambda tensor, *_: mode.pinned.pin(tensor)  # noqa: E731
    yield mock.patch.object(torch.Tensor, "pin_memory", pin)
    # A wrapper is no inference tensor.
    yield mock.patch.object(torch, "inference_mode", torch.no_grad)
    save = torch.save
    on_host = lambda t: held(t).detach() if isinstance(t, DeviceTensor) else t  # noqa: E731
    saved = lambda value, *a, **k: save(tree_map(on_host, value), *a, **k)  # noqa: E731
    yield mock.patch.object(torch, "save", saved)


def _of_networks(mode: DeviceFunctions) -> Iterator[Any]:
    hooks = torch.autograd.graph.saved_tensors_hooks
    initialize = hooks.__init__

    def with_mode(self, pack, unpack):
        def unpack_in_mode(saved):
            # The autograd engine, which asks for what a checkpoint recomputes, has no mode.
            with mode:
                return unpack(saved)

        initialize(self, pack, unpack_in_mode)

    yield mock.patch.object(hooks, "__init__", with_mode)
    group = torch.nn.utils.clip_grad._group_tensors_by_device_and_dtype

    def grouped(tensors, with_indices=False):
        # torch's core takes them for ones of the CPU.
        found = group(tensors, with_indices).items()
        return {((first[0][0].device), dtype): (first, i) for (_, dtype), (first, i) in found}

    for module in (torch.nn.utils.clip_grad, sys.modules["torch.optim.optimizer"]):
        yield mock.patch.object(module, "_group_tensors_by_device_and_dtype", grouped)
    yield mock.patch.object(torch.nn.Module, "to", _module_to)
    yield mock.patch.object(torch.nn.Module, "cuda", lambda self, *_: _module_to(self, GPU))


def _module_to(self, *args, device=None, dtype=None, **_):
    """Move a network: with new parameters, as torch would put the wrappers' data into the old."""
    for value in args:
        if isinstance(value, torch.dtype):
            dtype = value
        else:
            device = value
    for module in self.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                moved = parameter.detach().to(device or parameter.device).to(dtype)
                module._parameters[name] = torch.nn.Parameter(moved, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                wanted = dtype if buffer.is_floating_point() else None
                module._buffers[name] = buffer.to(device or buffer.device).to(wanted)
    return self


def _of_kernels(mode: DeviceFunctions) -> Iterator[Any]:
    apply = torch.autograd.function.BackwardCFunction.apply

    def apply_in_mode(self, *args):
        # Autograd calls it from where the mode may be off.
        with mode, _Current(GPU):  # the engine's threads have their device
            return apply(self, *args)

    yield mock.patch.object(torch.autograd.function.BackwardCFunction, "apply", apply_in_mode)
    # The trial before their first use, which costs seconds, has tests of its own.
    yield mock.patch("parttag.ops.kernels.trust.fault_of_kernels", lambda _: None)
    yield mock.patch("parttag.training.speedups._fault_of_compiling", lambda *_: "pretended")
    yield mock.patch("parttag.training.speedups._fault", lambda *_, **__: None)
    yield mock.patch("parttag.training.graph.GraphCapture", GraphCapture)
    try:
        from triton.runtime.interpreter import GridExecutor
    except ImportError:
        return
    run = GridExecutor.__call__

    def launch(self, *args, **kwargs):
        tensors = [a for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        if not all(isinstance(t, DeviceTensor) for t in tensors):
            raise DeviceMixError(f"{self.fn.__name__} is given a tensor of the host @ {caller()}")
        if _Current.now != GPU:
            raise DeviceMixError(f"{self.fn.__name__} is launched on another GPU @ {caller()}")
        LEDGER.launch(f"{self.fn.__module__.rsplit('.', 1)[-1]}.{self.fn.__name__}")
        with torch._C.DisableTorchFunction():
            return run(self, *tree_map(held, args), **tree_map(held, kwargs))

    yield mock.patch.object(GridExecutor, "__call__", launch)
