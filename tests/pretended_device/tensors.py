"""Tensors that say they are on ``cuda:0`` and hold the numbers of a CPU tensor.

Every operation on them passes ``__torch_dispatch__``, on the way back too: one that is given a CPU
tensor beside them raises, as it would on a GPU. (Fake tensors are of no use here: without a GPU the
autograd engine of torch has no backward pass for them.)
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from pretended_device.chance import is_refused
from pretended_device.ledger import Ledger, caller

aten = torch.ops.aten
GPU = torch.device("cuda", 0)
LEDGER = Ledger()


class DeviceMixError(RuntimeError):
    """An operation was given tensors of the host and of the device."""


class DeviceTensor(torch.Tensor):
    """A tensor of the pretended device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held):
        # Of the CPU for torch's core, whose autograd asks the GPU's runtime otherwise.
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=held.device,
            layout=held.layout,
            requires_grad=False,
        )

    def __init__(self, held):
        assert not isinstance(held, DeviceTensor)
        self.held = held

    device = property(lambda _: GPU)
    is_cuda = property(lambda _: True)
    is_cpu = property(lambda _: False)

    def __repr__(self, **_):
        return f"DeviceTensor({self.held.detach()})"

    def get_device(self):
        return 0

    def data_ptr(self):
        return self.held.data_ptr()

    def is_pinned(self, *_):
        return False

    def tolist(self):
        LEDGER.wait("tolist")
        return self.held.tolist()

    def numpy(self, *_, **__):
        raise TypeError("a tensor of cuda:0 is no NumPy array; copy it to the host first")

    def __array__(self, *_, **__):
        return self.numpy()

    def record_stream(self, _):
        """Do nothing: there is one stream."""

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        del types
        return dispatch(function, args, kwargs or {})


def held(value: Any) -> Any:
    """Return what a tensor of the device holds, anything else as it is."""
    return value.held if isinstance(value, DeviceTensor) else value


def on_device(value: Any) -> Any:
    """Return a tensor as one of the device, anything else as it is."""
    is_other = isinstance(value, torch.Tensor) and not isinstance(value, DeviceTensor)
    return DeviceTensor(value) if is_other else value


# Their result has a size that only the device knows.
_OF_UNKNOWN_SIZE = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
_READ_BY_THE_HOST = {
    aten.equal.default,
    aten.is_nonzero.default,
    aten._local_scalar_dense.default,
}
_INDEXING = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index_put.default,
}
_COPYING = {aten.copy_.default, aten._to_copy.default, aten.copy.default}


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))


def dispatch(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation on what its tensors hold; write down what it would cost the host."""
    tensors = list(_tensors((args, kwargs)))
    on_gpu = any(isinstance(t, DeviceTensor) for t in tensors)
    # A number of the host may meet any device.
    strangers = [t for t in tensors if not isinstance(t, DeviceTensor) and t.ndim > 0]
    if on_gpu:
        LEDGER.operation(str(function))
        if is_refused(function, args, kwargs):
            LEDGER.refused.add(f"{function} @ {caller()}")
        if strangers:
            _refuse_mixture(function, args, tensors)
        _note_waits(function, args, kwargs)
    plain_kwargs = tree_map(held, kwargs)
    if plain_kwargs.get("device") is not None:
        plain_kwargs["device"] = torch.device("cpu")
    result = function(*tree_map(held, args), **plain_kwargs)
    if function is aten.copy_.default:
        on_gpu = isinstance(args[0], DeviceTensor)
    if not on_gpu or function in _READ_BY_THE_HOST:
        return result
    return return_and_correct_aliasing(function, args, kwargs, tree_map(on_device, result))


def _refuse_mixture(function: Any, args: tuple[Any, ...], tensors: list[torch.Tensor]) -> None:
    """Raise unless torch itself would copy between the devices, and write that down."""
    if function in _INDEXING and isinstance(args[0], DeviceTensor):
        LEDGER.wait(f"index of the host in {function}")
    elif function in _COPYING:
        source = args[1] if len(args) > 1 and isinstance(args[1], torch.Tensor) else args[0]
        to_host = isinstance(source, DeviceTensor)
        non_blocking = len(args) > 2 and bool(args[2])
        what = f"copy_ to the {'host' if to_host else 'device'}"
        LEDGER.copy(what)
        if not non_blocking:
            LEDGER.wait(what)
    else:
        found = [(tuple(t.shape), str(t.device)) for t in tensors]
        raise DeviceMixError(f"{function} is given {found} @ {caller()}")


def _note_waits(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    size_is_known = kwargs.get("output_size") is not None
    if function in _READ_BY_THE_HOST or (function in _OF_UNKNOWN_SIZE and not size_is_known):
        LEDGER.wait(str(function))
    elif function in _INDEXING:
        # A mask is first made to indices, whose number the host asks for.
        masks = (t for t in _tensors(args[1]) if t.dtype in (torch.bool, torch.uint8))
        if any(True for _ in masks):
            LEDGER.wait(f"{function} with a mask")


class ToDevice(torch.autograd.Function):
    """A copy to the device, whose gradient goes back to the host."""

    @staticmethod
    def forward(ctx, x):
        return DeviceTensor(x.detach().clone())

    @staticmethod
    def backward(ctx, grad):
        return grad.held


class ToHost(torch.autograd.Function):
    """A copy to the host, whose gradient goes back to the device."""

    @staticmethod
    def forward(ctx, x):
        return x.held.detach().clone()

    @staticmethod
    def backward(ctx, grad):
        return DeviceTensor(grad)
