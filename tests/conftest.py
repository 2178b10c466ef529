import os

import pytest
import torch

if not torch.cuda.is_available():  # before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Let files be written as always, but not synced: no test outlives a power cut."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
