"""The input of a layer of the pair network, for the kernels."""

from typing import NamedTuple

from torch import Tensor


class Source(NamedTuple):
    """Where zₖ comes from: scale · values + shift by channel, or a matrix of the features.

    ``weight`` is (channels, features) and ``shift`` the bias if ``values`` are the features.
    """

    values: Tensor
    shift: Tensor
    scale: Tensor | None = None
    weight: Tensor | None = None
