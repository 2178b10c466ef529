"""torch's functions where "cuda" is asked for: tensors made there, copies, and CUDA's autocast.

As torch's core takes the tensors for ones of the CPU, the lists of CUDA's autocast, which are not
those of the CPU, are applied here.

Source of the lists: https://docs.pytorch.org/docs/stable/amp.html, "CUDA Ops that can autocast".
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from pretended_device.tensors import GPU, LEDGER, DeviceTensor, ToDevice, ToHost, on_device

# fmt: off
_SHORT_NAMES = [
    "linear", "matmul", "mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm",
    "chain_matmul", "conv1d", "conv2d", "einsum", "scaled_dot_product_attention", "prelu",
    "__matmul__", "__rmatmul__",
]
# fmt: on
# fmt: off
_WIDE_NAMES = [
    "__pow__", "__rpow__", "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10",
    "log2", "log1p", "reciprocal", "rsqrt", "sinh", "tan", "pow", "softplus", "layer_norm",
    "group_norm", "norm", "cosine_similarity", "nll_loss", "l1_loss", "smooth_l1_loss",
    "mse_loss", "dist", "cdist", "pdist", "renorm", "logsumexp",
    "binary_cross_entropy_with_logits", "kl_div", "soft_margin_loss", "huber_loss", "prod",
    "softmax", "softmin", "log_softmax", "cumprod", "cumsum", "sum", "cross_entropy",
]
# fmt: on
_PLACES = (torch, torch.Tensor, F)
SHORT = {getattr(p, n) for n in _SHORT_NAMES for p in _PLACES if hasattr(p, n)}
WIDE = {getattr(p, n) for n in _WIDE_NAMES for p in _PLACES if hasattr(p, n)}
# Pageable memory up to this size is staged by the driver without a wait.
_STAGED_BYTES = 1 << 16


class PinnedMemory:
    """The storages that are page-locked, all of which are kept."""

    def __init__(self) -> None:
        self._kept: dict[int, torch.Tensor] = {}

    def pin(self, tensor: torch.Tensor, *_: Any) -> torch.Tensor:
        """Return the tensor in page-locked memory."""
        if isinstance(tensor, DeviceTensor):
            raise TypeError("cannot pin a tensor of cuda:0")
        if self.holds(tensor):
            return tensor
        with torch._C.DisableTorchFunction():
            copy = tensor.clone()
        self._kept[copy.untyped_storage().data_ptr()] = copy
        return copy

    def holds(self, tensor: torch.Tensor) -> bool:
        """Return whether the tensor is in page-locked memory."""
        return tensor.untyped_storage().data_ptr() in self._kept


class DeviceFunctions(TorchFunctionMode):
    """Makes, moves and casts tensors as if there were a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.short: torch.dtype | None = None
        """What autocast takes products in; ``None`` outside it."""
        self.pinned = PinnedMemory()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        del types
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        first = args[0] if args else None
        if function is torch.Tensor.to:
            return self._to(*args, **kwargs)
        if function is torch.Tensor.cuda:
            return self._to(first, GPU)
        if function is torch.Tensor.cpu:
            return self._to(first, "cpu")
        if function is torch.Tensor.type_as:
            return self._to(first, args[1].device, args[1].dtype)
        if isinstance(first, DeviceTensor):
            if function is torch.Tensor.__deepcopy__:
                return DeviceTensor(first.held.detach().clone())
            if function is F.embedding_bag and first.ndim == 2:
                return _embedding_bag(*args, **kwargs)
            if name == "new_tensor":
                LEDGER.wait("new_tensor of the host's values")
                kwargs.pop("device", None)
                return DeviceTensor(first.held.new_tensor(*args[1:], **kwargs))
        if kwargs.get("device") is not None:
            return self._made(function, args, kwargs)
        return self._computed(function, args, kwargs)

    def _computed(self, function, args, kwargs):
        """Call a function, as autocast does within it."""
        if self.short is not None and "out" not in kwargs:
            if function in SHORT:
                return self._cast(function, args, kwargs, self.short)
            if function in WIDE:
                return self._cast(function, args, kwargs, torch.float32)
        return function(*args, **kwargs)

    def _made(self, function, args, kwargs):
        """Make a tensor on the device that is asked for."""
        first = args[0] if args else None
        if torch.device(kwargs["device"]).type == "cuda":
            kwargs["device"] = "cpu"
            if function in (torch.tensor, torch.as_tensor) and not isinstance(first, DeviceTensor):
                LEDGER.wait(f"{function.__name__} of the host's values")
            # Of a tensor of the device, the dispatcher wraps the result.
            return on_device(function(*args, **kwargs))
        if isinstance(first, DeviceTensor):
            with torch._C.DisableTorchFunction():
                return function(first.held, *args[1:], **kwargs)
        return function(*args, **kwargs)

    def _cast(self, function, args, kwargs, dtype):
        def cast(value: Any) -> Any:
            fits = (
                isinstance(value, DeviceTensor)
                and value.is_floating_point()
                and value.dtype not in (torch.float64, dtype)
            )
            return value.to(dtype) if fits else value

        short, self.short = self.short, None
        try:
            return function(*tree_map(cast, args), **tree_map(cast, kwargs))
        finally:
            self.short = short

    def _to(self, tensor, *args, device=None, dtype=None, non_blocking=False, copy=False, **rest):
        for value in args:
            if isinstance(value, torch.Tensor):
                device, dtype = value.device, value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, bool):
                non_blocking = value
            elif value is not None:
                device = value
        is_here = isinstance(tensor, DeviceTensor)
        stays = is_here if device is None else (torch.device(device).type == "cuda") == is_here
        if stays:
            with torch._C.DisableTorchFunction():
                return tensor.to(dtype or tensor.dtype, copy=copy, **rest)
        self._note_copy(tensor, non_blocking=non_blocking)
        if tensor.requires_grad and torch.is_grad_enabled():
            moved = (ToHost if is_here else ToDevice).apply(tensor)
        elif is_here:
            moved = tensor.held.detach().clone()
        else:
            moved = DeviceTensor(tensor.detach().clone())
        return moved if dtype is None else moved.to(dtype)

    def _note_copy(self, tensor: torch.Tensor, *, non_blocking: bool) -> None:
        if isinstance(tensor, DeviceTensor):
            # Without blocking, torch makes page-locked memory for it.
            LEDGER.copy("copy to the host")
            if not non_blocking:
                LEDGER.wait("copy to the host")
            return
        LEDGER.copy("copy to the device")
        is_large = tensor.numel() * tensor.element_size() > _STAGED_BYTES
        if not non_blocking:
            LEDGER.wait("copy to the device")
        elif is_large and not self.pinned.holds(tensor):
            LEDGER.wait("copy of more than 64 KiB of pageable memory to the device")


def _embedding_bag(indices, weight, *args, **kwargs):
    """Call it with the offsets that it would make itself, without this mode."""
    rows, bag = indices.shape
    kwargs["offsets"] = DeviceTensor(torch.arange(0, rows * bag, bag))
    return F.embedding_bag(indices.reshape(-1), weight, *args[1:], **kwargs)
