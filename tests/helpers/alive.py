"""How much of what a function returns is in memory at a time."""

from types import ModuleType

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef


def count_alive(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[int]:
    """Return a list that grows at each call of the function, which returns a tensor.

    It gets the number of tensors so returned that are in memory, in whatever view.
    """
    function = getattr(module, name)
    storages: list[StorageWeakRef] = []
    counts: list[int] = []

    def watched(*args: object) -> torch.Tensor:
        result = function(*args)
        storages.append(StorageWeakRef(result.untyped_storage()))
        counts.append(sum(not storage.expired() for storage in storages))
        return result

    monkeypatch.setattr(module, name, watched)
    return counts
