"""The tensors of a batch in one buffer, which one copy takes to a device."""

import pytest
import torch

from parttag.jets.one_buffer import move_together, pin_together
from parttag.testing import toy_batch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_to_pin(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())


TENSORS = {
    "p4": torch.randn(5, 4),
    "none": torch.zeros(0, 3),
    "kind": torch.tensor([3, 1, 2], dtype=torch.uint8),
    "labels": torch.tensor([1, -1]),
}


def test_they_are_the_same_in_one_buffer_and_out_of_it():
    pinned = pin_together(TENSORS)
    storages = {t.untyped_storage().data_ptr() for t in pinned.values() if t.numel()}
    assert len(storages) == 1
    moved = move_together(pinned, CPU)
    for name, tensor in TENSORS.items():
        for other in (pinned[name], moved[name]):
            assert other.dtype == tensor.dtype
            assert torch.equal(other, tensor)
    assert all(t.data_ptr() % 16 == 0 for t in pinned.values() if t.numel())


def test_tensors_of_their_own_and_parts_of_larger_ones_are_not_taken_together():
    assert move_together(TENSORS, CPU) is None
    window = torch.zeros(100, 4)
    assert move_together({"p4": window[3:5], "other": window[7:8]}, CPU) is None
    assert move_together({"p4": torch.zeros(4, 6).t()}, CPU) is None


def test_a_batch_is_the_same_when_pinned():
    batch = toy_batch(lengths=[3, 0, 4])
    pinned = batch.pin_memory()
    for name, tensor in batch._tensors().items():
        assert torch.equal(getattr(pinned, name), tensor), name
