"""Readers, the store on disk, and the loader that turns jets into batches."""

from parttag.data.dataset import JetDataset, open_dataset
from parttag.data.loader import JetLoader
from parttag.data.preparation import PrepareReport, prepare
from parttag.data.store import JetStore

__all__ = ["JetDataset", "JetLoader", "JetStore", "PrepareReport", "open_dataset", "prepare"]
