"""Optimizers: Ranger as the Particle Transformer was trained with, AdamW and Adam."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from parttag.models import Tagger
from parttag.options import Options
from parttag.training.ranger import Lookahead, RectifiedAdam

Beta = Annotated[float, Field(ge=0, lt=1)]
_NO_MULTIPLIERS: Mapping[str, float] = MappingProxyType({})


class _CommonOptions(Options):
    name: str
    lr: PositiveFloat = 1e-3
    """Learning rate, which the schedule multiplies."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Strength of the decay; biases and other one-dimensional parameters are spared."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running means of gradients and of their squares."""
    eps: PositiveFloat = 1e-8
    """Added to the root mean square of the gradient."""
    lr_multipliers: dict[str, PositiveFloat] = Field(default_factory=dict)
    """The learning rate of parameters by pattern, in units of ``lr``; of several patterns that fit
    a parameter, the first one counts. Those of ``init_from`` come on top."""


class AdamOptions(_CommonOptions):
    """Adam; its weight decay is the gradient of an L2 penalty."""

    name: Literal["adam"] = "adam"
    amsgrad: bool = False
    """Divide by the largest running mean of squared gradients so far, not by the present one."""


class AdamWOptions(_CommonOptions):
    """Adam with decoupled weight decay: a step shrinks a weight by ``lr`` times the decay."""

    name: Literal["adamw"] = "adamw"


class RangerOptions(_CommonOptions):
    """Lookahead around rectified Adam with decoupled weight decay, as in weaver."""

    name: Literal["ranger"] = "ranger"
    betas: tuple[Beta, Beta] = (0.95, 0.999)
    """Decay of the running means of gradients and of their squares."""
    eps: PositiveFloat = 1e-5
    """Added to the root mean square of the gradient."""
    lookahead_steps: PositiveInt = 6
    """Steps between two updates of the slow weights."""
    lookahead_alpha: float = Field(default=0.5, gt=0, le=1)
    """Fraction of the way that slow weights go towards fast ones."""


OptimizerOptions = Annotated[
    RangerOptions | AdamWOptions | AdamOptions, Field(discriminator="name")
]
"""The options of any optimizer, told apart by ``name``."""


@runtime_checkable
class Optimizer(Protocol):
    """What the training loop asks of an optimizer."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters, each with its ``lr`` and its ``base_lr``."""
        ...

    def step(self) -> None:
        """Update the parameters from their gradients."""
        ...

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next steps depend on, besides the parameters."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned."""
        ...


def parameter_groups(
    model: Tagger, weight_decay: float, lr_multipliers: Mapping[str, float] = _NO_MULTIPLIERS
) -> list[dict[str, Any]]:
    """Return the groups that differ in weight decay or in the multiplier of the learning rate.

    One-dimensional parameters (scales of norms, biases), those named ``*.bias`` and those of
    ``model.no_weight_decay()`` are not decayed. Parameters that take no gradient are left out.

    Parameters
    ----------
    lr_multipliers
        By the names of parameters; of the others it is 1.
    """
    undecayed = model.no_weight_decay()
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        spared = parameter.ndim <= 1 or name.endswith(".bias") or name in undecayed
        multiplier = lr_multipliers.get(name, 1.0)
        groups.setdefault((0.0 if spared else weight_decay, multiplier), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_multiplier": multiplier}
        for (decay, multiplier), parameters in groups.items()
    ]


def build_optimizer(
    model: Tagger,
    options: OptimizerOptions,
    lr_multipliers: Mapping[str, float] = _NO_MULTIPLIERS,
) -> Optimizer:
    """Return the optimizer of the model's parameters, with groups as ``parameter_groups`` has them.

    A step updates many tensors at once (``foreach``, ``fused``), and never waits for a GPU.
    """
    groups = parameter_groups(model, options.weight_decay, lr_multipliers)
    for group in groups:
        group["lr"] = group["base_lr"] = options.lr * group.pop("lr_multiplier")
    moments: dict[str, Any] = {"betas": options.betas, "eps": options.eps}
    if options.name == "ranger":
        inner = RectifiedAdam(groups, **moments, decoupled_weight_decay=True, foreach=True)
        return Lookahead(inner, options.lookahead_steps, options.lookahead_alpha)
    if options.name == "adamw":
        return torch.optim.AdamW(groups, **moments, fused=True)
    return torch.optim.Adam(groups, **moments, fused=True, amsgrad=options.amsgrad)


def multiply_learning_rates(optimizer: Optimizer, multiplier: float) -> None:
    """Set every group's learning rate to its configured one times ``multiplier``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * multiplier
