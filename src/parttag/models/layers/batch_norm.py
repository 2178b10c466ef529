"""Batch norm over packed rows: the particles or pairs that exist, on all ranks together."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from parttag.ops.collectives import num_ranks, sum_over_ranks


class PackedBatchNorm(nn.Module):
    """Batch norm over the rows of a (rows, channels) tensor.

    It differs from ``torch.nn.BatchNorm1d`` in two ways: ranks may hold unequal numbers of rows,
    even none, and are normalized together by count, sum and squared deviations, with exact
    gradients; and a batch of one row or none is not an error.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def forward(self, x: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows channels"]:
        """Return the normalized rows; in training, update the running statistics."""
        return self.normalize(x, None)

    def normalize(
        self, x: Float[Tensor, "rows channels"], is_real: Bool[Tensor, " rows"] | None
    ) -> Float[Tensor, "rows channels"]:
        """Return the normalized rows; those that are not real have no part in the statistics.

        ``None`` stands for rows that are all real.
        """
        if not self.training:
            scale, shift = self.affine(self.running_mean, self.running_var)
            return x * scale + shift
        if num_ranks() == 1 and len(x) > 1 and is_real is None:
            return self.normalize_alone(x)
        # As torch does for one rank: sums of many numbers are not taken in bfloat16.
        wide = x.to(torch.promote_types(x.dtype, self.weight.dtype))
        own = wide.new_full((1,), len(x))
        if is_real is not None:
            wide, own = _only(wide, is_real), is_real.sum(dtype=wide.dtype)[None]
        count = sum_over_ranks(own).clamp(min=1)
        mean = sum_over_ranks(wide.sum(dim=0)) / count
        centred = wide - mean
        if is_real is not None:
            centred = _only(centred, is_real)
        var = sum_over_ranks(centred.square().sum(dim=0)) / count
        self.update(mean.detach(), var.detach(), count)
        return (centred * ((var + self.eps).rsqrt() * self.weight) + self.bias).to(x.dtype)

    def normalize_alone(self, x: Float[Tensor, "rows channels *rest"]) -> Tensor:
        """Return what a training step of a single rank gives for more than one row."""
        self.num_batches_tracked += 1
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=True,
            momentum=self.momentum,
            eps=self.eps,
        )

    @torch.no_grad()
    def update(
        self,
        mean: Float[Tensor, " channels"],
        var: Float[Tensor, " channels"],
        count: Float[Tensor, "1"],
    ) -> None:
        """Move the running statistics towards those of a batch of ``count`` rows.

        ``var`` is that of the batch (divided by the count); the running variance follows the
        unbiased one, as in torch. A batch of fewer than two rows has none and changes nothing.
        """
        momentum = self.momentum * (count > 1).to(mean.dtype)
        self.running_mean += momentum * (mean - self.running_mean)
        unbiased = var * count / (count - 1).clamp(min=1)
        self.running_var += momentum * (unbiased - self.running_var)
        self.num_batches_tracked += 1

    def affine(
        self, mean: Float[Tensor, " channels"], var: Float[Tensor, " channels"]
    ) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
        """Return the scale and the shift that normalize with the given statistics."""
        scale = self.weight * (var + self.eps).rsqrt()
        return scale, self.bias - mean * scale


def _only(rows: Tensor, is_real: Tensor) -> Tensor:
    return torch.where(is_real[:, None], rows, 0.0)
