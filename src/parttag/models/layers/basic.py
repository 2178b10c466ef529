"""Layers that are torch's own, faster on a CPU."""

from jaxtyping import Float
from torch import Tensor, nn

from parttag.ops.dropout import drop
from parttag.ops.linear import linear, linear_gelu


class Linear(nn.Linear):
    """As ``torch.nn.Linear``, for rows."""

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:  # noqa: D102
        return linear(x, self.weight, self.bias)


class LinearGELU(nn.Linear):
    """A linear layer and the GELU after it, for rows."""

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:  # noqa: D102
        return linear_gelu(x, self.weight, self.bias)


class Dropout(nn.Dropout):
    """As ``torch.nn.Dropout``, in a fraction of its time on a CPU."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:  # noqa: D102
        return drop(x, self.p) if self.training and self.p > 0 else x
