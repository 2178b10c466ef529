"""Normalization of rows with the mean and variance of a batch."""

import torch
from torch import Tensor


class BatchStatistics:
    """Mean and variance over the rows of all ranks, and what normalizes with them."""

    def __init__(self, mean: Tensor, var: Tensor, eps: float, weight: Tensor, bias: Tensor) -> None:
        self.mean, self.var = mean.to(weight.dtype), var.to(weight.dtype)
        self.inverse_std = (self.var + eps).rsqrt()
        self.scale = self.inverse_std * weight
        self.shift = bias - self.mean * self.scale

    def normalized(self, y: Tensor) -> Tensor:
        """Return ŷ, of mean 0 and variance 1."""
        return torch.addcmul(-self.mean * self.inverse_std, y, self.inverse_std)
