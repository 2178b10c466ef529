"""Readers, the store on disk, and the loader that turns jets into batches.

The names below are loaded when first used: simulation's processes start without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parttag.data.dataset import JetDataset, open_dataset
    from parttag.data.loader import JetLoader
    from parttag.data.preparation import PrepareReport, prepare
    from parttag.data.store import JetStore

__all__ = ["JetDataset", "JetLoader", "JetStore", "PrepareReport", "open_dataset", "prepare"]

_HOMES = {
    "JetDataset": "dataset",
    "JetLoader": "loader",
    "JetStore": "store",
    "PrepareReport": "preparation",
    "open_dataset": "dataset",
    "prepare": "preparation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
