"""Ranger's two parts: rectified Adam, which counts its steps once, and Lookahead around it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

aten = torch.ops.aten
Number = float | Tensor
"""A number of the host, or of the device for steps that are captured."""


class Factors(NamedTuple):
    """What a step of rectified Adam multiplies by; they depend on the rate and the step alone."""

    shrink: Number
    """Of the weights: 1 − lr · weight decay."""
    rectified: Number
    """Of m/(√v + ε), with the sign of the step; 0 while v is of too few steps."""
    unrectified: Number
    """Of m, with the sign of the step; 0 once ``rectified`` is not."""


class RectifiedAdam(torch.optim.RAdam):
    """torch's, bit for bit, with decoupled decay; it asks once which step parameters are at.

    torch asks each parameter's own tensor, which takes milliseconds a step for some hundred of
    them. Here those that have taken the same steps share one.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the parameters that have gradients."""
        del closure
        for group in self.param_groups:
            for step, parameters in self._by_step(group):
                self._update(group, parameters, factors(group, step))

    def _by_step(self, group: dict[str, Any]) -> list[tuple[int, list[Tensor]]]:
        """Return the steps that parameters with gradients now take, and count them."""
        chosen: list[Tensor] = []
        steps: list[Tensor] = []
        self._init_group(group, chosen, [], [], [], steps)
        of_tensor = {id(step): step for step in steps}
        number = {key: round(step.item()) + 1 for key, step in of_tensor.items()}
        together = defaultdict(list)
        for parameter, step in zip(chosen, steps, strict=True):
            together[number[id(step)]].append(parameter)
        for count, parameters in together.items():
            shared = torch.tensor(float(count), dtype=steps[0].dtype)
            for parameter in parameters:
                self.state[parameter]["step"] = shared
        return list(together.items())

    def update_at(self, all_factors: Sequence[Factors]) -> None:
        """Take a step whose factors, of every group, are given; steps are not counted."""
        for group, of_group in zip(self.param_groups, all_factors, strict=True):
            moved = [p for p in group["params"] if p.grad is not None]
            self._update(group, moved, of_group)

    def _update(self, group: dict[str, Any], parameters: list[Tensor], by: Factors) -> None:
        beta1, beta2 = group["betas"]
        gradients = [p.grad for p in parameters if p.grad is not None]
        means = [self.state[p]["exp_avg"] for p in parameters]
        squares = [self.state[p]["exp_avg_sq"] for p in parameters]
        if group["weight_decay"] != 0:
            _of_number(aten._foreach_mul_, parameters, by.shrink)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        # One over: where ``rectified`` is 0 an infinity, whose reciprocal is 0 again.
        direction = torch._foreach_sqrt(squares)
        torch._foreach_add_(direction, group["eps"])
        _of_number(aten._foreach_div_, direction, by.rectified)
        torch._foreach_reciprocal_(direction)
        _of_number(aten._foreach_add_, direction, by.unrectified)
        torch._foreach_addcmul_(parameters, means, direction)

    def count(self) -> list[Factors]:
        """Count a step of all parameters that have moments; return the factors of each group."""
        found = []
        for group in self.param_groups:
            known = [p for p in group["params"] if "step" in self.state[p]]
            step = 1 + max((round(self.state[p]["step"].item()) for p in known[:1]), default=0)
            shared = torch.tensor(float(step))
            for parameter in known:
                self.state[parameter]["step"] = shared
            found.append(factors(group, step))
        return found


def _of_number(operation: Any, tensors: Sequence[Tensor], number: Number) -> None:
    # By its name alone torch would take a number of the device to the host, and wait.
    (operation.Tensor if isinstance(number, Tensor) else operation.Scalar)(tensors, number)


def factors(group: dict[str, Any], step: int) -> Factors:
    """Return the factors of a step, counted from 1, as torch computes them.

    References
    ----------
    arXiv:1908.03265, algorithm 2.
    """
    lr, (beta1, beta2) = group["lr"], group["betas"]
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * (beta2**step) / (1 - beta2**step)
    rectification = 0.0
    if length > 5:
        rectification = (
            (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        ) ** 0.5
    bias = 1 - beta1**step
    return Factors(
        shrink=1 - lr * group["weight_decay"],
        rectified=((1 - beta2**step) ** 0.5) * (lr * rectification / bias) * -1,
        unrectified=(lr * (0 if rectification > 0 else 1.0) / bias) * -1,
    )


class Lookahead:
    """After every ``steps`` steps of an optimizer, go a part of the way back.

    Slow weights start at the initial weights. Every ``steps`` steps they go the fraction ``alpha``
    of the way to the fast weights, which the inner optimizer moves, and these continue from there;
    running means of the gradients are left alone. The network always holds the fast weights.

    References
    ----------
    arXiv:1907.08610
    """

    def __init__(self, inner: RectifiedAdam, steps: int, alpha: float) -> None:
        self.inner = inner
        self.steps = steps
        self.alpha = alpha
        self._num_steps = 0
        self._fast: list[Tensor] = [p for group in inner.param_groups for p in group["params"]]
        self._slow = [weight.detach().clone() for weight in self._fast]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The inner optimizer's groups."""
        return self.inner.param_groups

    @property
    def slow_weights(self) -> list[Tensor]:
        """The slow weights, in the order of the groups' parameters."""
        return self._slow

    def step(self) -> None:
        """Step the inner optimizer and, at every ``steps``-th call, update the slow weights."""
        self.inner.step()
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Count a step that the inner optimizer has taken, and update the slow weights if due."""
        self._num_steps += 1
        if self._num_steps % self.steps == 0:
            torch._foreach_lerp_(self._slow, self._fast, self.alpha)
            torch._foreach_copy_(self._fast, self._slow)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.inner.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the inner optimizer's state, the slow weights and the number of steps done."""
        return {
            "inner": self.inner.state_dict(),
            "slow_weights": self._slow,
            "num_steps": self._num_steps,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned."""
        self.inner.load_state_dict(state["inner"])
        self._num_steps = state["num_steps"]
        for mine, saved in zip(self._slow, state["slow_weights"], strict=True):
            mine.copy_(saved)
