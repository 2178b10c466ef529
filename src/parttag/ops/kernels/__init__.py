"""Triton kernels for CUDA: no padding, no intermediate in memory that need not be there.

They also run on a CPU, slowly, under ``TRITON_INTERPRET=1``: so they are tested without a GPU.

Numbers that differ from batch to batch are not specialized: Triton would compile a kernel anew,
amid a run, for one that is a multiple of 16, and again for 1.
"""

import logging
from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch

from parttag.ops.layout import AttentionPath

logger = logging.getLogger(__name__)

Kernels = Literal["auto"] | AttentionPath

MAX_LENGTH = 256
"""Particles in a jet that the kernels take."""

_MIN_WIDTH = 16  # of a matrix product on tensor cores
# Of wider heads, blocks of queries, keys and sums do not fit the registers of a program.
_MAX_WIDTH, _MAX_WIDTH_FLOAT32 = 64, 32


def choose_path(
    kernels: Kernels, device: torch.device, dtype: torch.dtype, head_width: int, max_length: int
) -> AttentionPath:
    """Return what takes a batch: for ``auto``, Triton's kernels on CUDA where they fit.

    They take float32 and shorter, heads of a power of two of channels, from 16 to 64 (in float32,
    to 32), and jets of up to ``MAX_LENGTH`` particles. Where they do not fit, plain torch takes
    over.
    """
    short = torch.is_autocast_enabled(device.type) or dtype not in (torch.float32, torch.float64)
    widest = _MAX_WIDTH if short else _MAX_WIDTH_FLOAT32
    fit = (
        dtype != torch.float64
        and _MIN_WIDTH <= head_width <= widest
        and head_width & (head_width - 1) == 0
        and max_length <= MAX_LENGTH
    )
    path: AttentionPath
    if kernels == "auto":
        on_cuda = device.type == "cuda" and find_spec("triton") is not None
        usable = fit and on_cuda and not (short and _has_no_bfloat16(device))
        path = "triton" if usable and _are_trusted(device) else "torch"
    else:
        path = "torch" if kernels == "triton" and not fit else kernels
    _say_once(path, device.type)
    return path


def _has_no_bfloat16(device: torch.device) -> bool:
    """Return whether a GPU's tensor cores lack bfloat16: kernels of 16 bits spill there."""
    return torch.cuda.get_device_capability(device) < (8, 0)


def _are_trusted(device: torch.device) -> bool:
    """Return whether a trial of the kernels on this GPU, now or before, has come out right."""
    from parttag.ops.kernels.trust import fault_of_kernels

    return fault_of_kernels(device) is None


@cache
def _say_once(path: AttentionPath, device: str) -> None:
    logger.info("attention and pairs on %s: %s", device, path)
