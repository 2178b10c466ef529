"""What the class tokens of a network look at, read while it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from parttag.models.layers.particle_blocks import ClassBlock
from parttag.models.layers.swiglu_blocks import SwiGLUClassBlock


@dataclass(frozen=True, eq=False)
class ClassAttention:
    """The attention of one class block for the jets of one call."""

    weights: Float[Tensor, "particles heads"]
    """Of the particles; with that of the token itself, those of a jet sum up to 1."""
    lengths: Int64[np.ndarray, " jets"]
    """Particles of each jet."""


@contextmanager
def reading_class_attention(network: nn.Module) -> Iterator[list[ClassAttention]]:
    """Give a list that gets one entry for each class block that computes inside of the block.

    It stays empty for networks without class tokens.
    """
    found: list[ClassAttention] = []

    def read(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(block, ClassBlock | SwiGLUClassBlock)
        with torch.no_grad():
            found.append(ClassAttention(block.attention(*inputs), inputs[2].lengths))

    blocks = [m for m in network.modules() if isinstance(m, ClassBlock | SwiGLUClassBlock)]
    handles = [block.register_forward_pre_hook(read) for block in blocks]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
