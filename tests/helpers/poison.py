"""Memory that is not zero by luck when it is new."""

from collections.abc import Callable

import pytest
import torch


def poison_new_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill with NaN every floating-point tensor that is made without values."""
    for module, name in (
        (torch, "empty"),
        (torch, "empty_like"),
        (torch.Tensor, "new_empty"),
    ):
        monkeypatch.setattr(module, name, _poisoned(getattr(module, name)))


def _poisoned(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def make_poisoned(*args: object, **options: object) -> torch.Tensor:
        tensor = make(*args, **options)
        return tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor

    return make_poisoned
