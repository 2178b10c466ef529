"""Training in torch's deterministic mode."""

import os

import pytest
import torch

from parttag.errors import InputError
from parttag.training.determinism import deterministic


def test_the_mode_is_on_within_and_as_before_after_it(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    fills = torch.utils.deterministic.fill_uninitialized_memory
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert torch.index_select(torch.arange(3), 0, torch.tensor([1])).item() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory == fills


def test_what_torch_refuses_is_said_in_a_sentence_and_other_errors_go_on(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # One that torch refuses on a CPU, too.
    with pytest.raises(InputError, match=r"training\.deterministic: .*put_"), deterministic(True):
        torch.zeros(4).put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="another"), deterministic(True):
        raise RuntimeError("another")
    assert not torch.are_deterministic_algorithms_enabled()
