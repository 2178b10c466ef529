import os

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Let files be written as always, but not synced: no test outlives a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
