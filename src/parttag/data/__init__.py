"""Readers, the store on disk, and the loader that turns jets into batches.

The names below are loaded when first used: simulation's processes start without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parttag.data.loading.dataset import JetDataset, open_dataset
    from parttag.data.loading.loader import JetLoader
    from parttag.data.preparation.prepare import PrepareReport, prepare
    from parttag.data.store.store import JetStore

__all__ = ["JetDataset", "JetLoader", "JetStore", "PrepareReport", "open_dataset", "prepare"]

_HOMES = {
    "JetDataset": "loading.dataset",
    "JetLoader": "loading.loader",
    "JetStore": "store.store",
    "PrepareReport": "preparation.prepare",
    "open_dataset": "loading.dataset",
    "prepare": "preparation.prepare",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
