"""Averages of a network's weights over the last steps, which are what is validated and kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from parttag.errors import InputError


class WeightAverage:
    """The exponential moving average of a network's parameters and statistics.

    After step n (from 1) the average goes 1 − d of the way to the weights, d being the smaller of
    ``decay`` and n/(n + 9): so early on it is of few steps, and the first weights are forgotten.

    Parameters
    ----------
    model
        The network, which goes on being trained as if there were no average.
    decay
        What of the average a step leaves: it is of the last 1/(1 − decay) steps or so.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._weights = {
            name: tensor.detach() for name, tensor in state.items() if tensor.is_floating_point()
        }
        self._average = {name: tensor.clone() for name, tensor in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step; nothing waits for the device."""
        decay = min(self._decay, step / (step + 9))
        torch._foreach_lerp_(list(self._average.values()), list(self._weights.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the average for a while."""
        own = {name: tensor.clone() for name, tensor in self._weights.items()}
        self._copy(self._average)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        torch._foreach_copy_(list(self._weights.values()), list(values.values()))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average."""
        return dict(self._average)

    @torch.no_grad()
    def load_state_dict(self, state: object, path: Path) -> None:
        """Continue from what ``state_dict`` returned.

        Raises
        ------
        InputError
            If it is of another network.
        """
        shapes = {name: tensor.shape for name, tensor in self._average.items()}
        if not isinstance(state, dict) or shapes != {
            name: value.shape for name, value in state.items() if isinstance(value, Tensor)
        }:
            raise InputError(f"{path}: its average of weights is of another network; train again")
        for name, tensor in self._average.items():
            tensor.copy_(state[name])
