"""Logits that are divided by a temperature and shifted, wherever a network is called."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class LogitScaling:
    """What becomes of the logits of a network: ``logits / temperature + shifts``."""

    temperature: float
    shifts: tuple[float, ...]
    """One a class."""

    def __call__(
        self, _network: nn.Module, _inputs: object, logits: Float[Tensor, "jets classes"]
    ) -> Float[Tensor, "jets classes"]:
        """Return the logits that the network gives from now on, as a forward hook does."""
        scaled: Tensor = logits.float() / self.temperature
        return scaled + scaled.new_tensor(self.shifts)


def scale_logits(network: nn.Module, scaling: LogitScaling) -> None:
    """Let ``network(batch)`` return scaled logits; its weights and ``encode`` stay as they are."""
    network.register_forward_hook(scaling)


def scaling_of(network: nn.Module) -> LogitScaling | None:
    """Return what becomes of the logits of a network, for those who compute them without it."""
    hooks = network._forward_hooks.values()
    return next((hook for hook in hooks if isinstance(hook, LogitScaling)), None)
