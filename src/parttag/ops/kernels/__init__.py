"""Triton kernels for CUDA: no padding, no intermediate in memory that need not be there.

They also run on a CPU, slowly, under ``TRITON_INTERPRET=1``: so they are tested without a GPU.
"""

from importlib.util import find_spec
from typing import Literal

import torch

Kernels = Literal["auto", "torch", "triton"]

MAX_LENGTH = 256
"""Particles in a jet that the kernels take."""

_MIN_WIDTH = 16  # of a matrix product on tensor cores


def choose_kernels(
    kernels: Kernels, device: torch.device, dtype: torch.dtype, head_width: int, max_length: int
) -> bool:
    """Return whether a batch goes through the kernels: for ``auto``, on CUDA where they fit.

    They take float32 and shorter, heads of a power of two of channels, at least 16, and jets of up
    to ``MAX_LENGTH`` particles.
    """
    fit = (
        dtype != torch.float64
        and head_width >= _MIN_WIDTH
        and head_width & (head_width - 1) == 0
        and max_length <= MAX_LENGTH
    )
    if kernels == "auto":
        return fit and device.type == "cuda" and find_spec("triton") is not None
    return fit and kernels == "triton"
