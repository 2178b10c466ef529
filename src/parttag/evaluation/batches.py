"""How batches of jets are computed for scores: how many at a time, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64

Precision = Literal["fp32", "bf16"]
"""Single precision throughout, or autocast to bfloat16: faster on a GPU, scores to 3 digits."""

Rows = Int64[np.ndarray, " rows"]

CPU_BATCH = 512
"""Jets of a batch on a CPU."""
# Of a batch on a GPU: jets, and pairs of particles, which take some hundred bytes each for a while.
_GPU_JETS, _GPU_PAIRS = 4096, 1 << 23


def for_a_gpu(
    rows: Rows,
    lengths: Int64[np.ndarray, " jets"],
    most_jets: int = _GPU_JETS,
    most_pairs: int = _GPU_PAIRS,
) -> Iterator[Rows]:
    """Yield rows, in order of rising lengths, in parts that fill a GPU, none much emptier."""
    pairs = lengths * (lengths + 1) // 2
    share = np.cumsum(np.maximum(pairs / most_pairs, 1 / most_jets))
    if len(rows):
        number = np.ceil(share / share[-1] * np.ceil(share[-1])).astype(np.int64)
        yield from np.split(rows, np.flatnonzero(np.diff(number)) + 1)


_FLOAT32_PRODUCTS = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul")


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in full single precision, without the shortcuts that training may have allowed."""
    # torch's names since 2.9: the older ones cannot be read once a process has set these.
    settings = [attrgetter(name)(torch.backends) for name in _FLOAT32_PRODUCTS]
    before = [place.fp32_precision for place in settings]
    try:
        for place in settings:
            place.fp32_precision = "ieee"
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        for place, value in zip(settings, before, strict=True):
            place.fp32_precision = value
