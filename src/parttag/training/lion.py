"""Lion: steps by the sign of a running mean of gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """A step of size lr against the sign of β₁m + (1 − β₁)g; then m ← β₂m + (1 − β₂)g.

    Weights are shrunk by lr times the weight decay before it.

    References
    ----------
    arXiv:2302.06675, algorithm 2.
    """

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": 1e-4, "weight_decay": 0.0, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the parameters that have gradients."""
        del closure
        for group in self.param_groups:
            moved: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            gradients = [p.grad for p in moved if p.grad is not None]
            means = [self._mean(p) for p in moved]
            lr, (beta1, beta2) = group["lr"], group["betas"]
            directions = torch._foreach_lerp(means, gradients, 1 - beta1)
            torch._foreach_sign_(directions)
            if group["weight_decay"] != 0:
                torch._foreach_mul_(moved, 1 - lr * group["weight_decay"])
            torch._foreach_add_(moved, directions, alpha=-lr)
            torch._foreach_lerp_(means, gradients, 1 - beta2)

    def _mean(self, parameter: Tensor) -> Tensor:
        """Return the running mean of a parameter's gradients, at first 0."""
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
        mean: Tensor = state["exp_avg"]
        return mean
