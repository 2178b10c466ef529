"""Tensors one after the other in one buffer, so that one copy takes all of them to a device."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

# Kernels read 16 bytes at a time where they may.
_ALIGNMENT = 16


class _Place(NamedTuple):
    start: int
    dtype: torch.dtype
    shape: torch.Size

    def of(self, buffer: Tensor) -> Tensor:
        size = self.dtype.itemsize * math.prod(self.shape)
        return buffer[self.start : self.start + size].view(self.dtype).view(self.shape)


def pin_together(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of the host in page-locked memory, in one buffer."""
    places, size = {}, 0
    for name, tensor in tensors.items():
        places[name] = _Place(size, tensor.dtype, tensor.shape)
        size += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
    buffer = torch.empty(size, dtype=torch.uint8)
    for name, place in places.items():
        place.of(buffer).copy_(tensors[name])
    pinned = buffer.pin_memory()
    return {name: place.of(pinned) for name, place in places.items()}


def move_together(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor] | None:
    """Return tensors on a device by one copy that nobody waits for.

    ``None`` if they are not in one buffer that holds little else.
    """
    parts = [tensor for tensor in tensors.values() if tensor.numel()]
    if len({tensor.untyped_storage().data_ptr() for tensor in parts}) != 1:
        return None
    storage = parts[0].untyped_storage()
    own = sum(tensor.nbytes + _ALIGNMENT for tensor in parts)
    if storage.nbytes() > own or not all(t.is_contiguous() for t in tensors.values()):
        return None
    buffer = torch.empty(0, dtype=torch.uint8).set_(storage)
    copied = buffer.to(device, non_blocking=True)
    starts = {
        n: int(t.storage_offset()) * t.itemsize if t.numel() else 0 for n, t in tensors.items()
    }
    return {n: _Place(starts[n], t.dtype, t.shape).of(copied) for n, t in tensors.items()}
