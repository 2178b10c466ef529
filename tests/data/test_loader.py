"""Batches: every jet once an epoch, in an order that seed and epoch fix."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.jets import toy_arrays
from parttag.data import JetDataset, JetLoader


def dataset(num_jets: int = 23) -> JetDataset:
    toys = toy_arrays(num_jets)
    return JetDataset([toys], toys.labels.argmax(axis=1).astype(np.int64))


def order(loader: JetLoader, epoch: int, start: int = 0) -> list[int]:
    return [int(i) for batch in loader.epoch(epoch, start) for i in batch.index]


def test_batches_hold_the_jets_of_the_data_set():
    data = dataset()
    loader = JetLoader(data, 4, shuffle=True)
    for batch in loader.epoch(0):
        jets = data.take(batch.index.numpy())
        np.testing.assert_array_equal(batch.p4, jets.p4)
        np.testing.assert_array_equal(batch.extra, jets.extra)
        np.testing.assert_array_equal(batch.labels, data.classes[batch.index])


def test_without_shuffling_jets_come_in_order():
    assert order(JetLoader(dataset(), 5, shuffle=False), 3) == list(range(23))


def test_each_epoch_has_its_order_and_the_same_one_again():
    first, second = (order(JetLoader(dataset(), 5, shuffle=True), epoch) for epoch in (0, 1))
    assert first == order(JetLoader(dataset(), 5, shuffle=True), 0)
    assert first != second != sorted(second)
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != order(JetLoader(dataset(), 5, shuffle=True, seed=1), 0)


def test_the_order_does_not_depend_on_the_batch_size():
    loaders = (JetLoader(dataset(), size, shuffle=True) for size in (1, 5, 100))
    assert len({tuple(order(loader, 2)) for loader in loaders}) == 1


def test_an_epoch_continues_at_any_batch():
    loader = JetLoader(dataset(), 4, shuffle=True)
    for start in range(len(loader) + 1):
        assert order(loader, 1, start) == order(loader, 1)[4 * start :]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [10, 10, 3]), (True, [10, 10])])
def test_a_smaller_last_batch_is_kept_unless_asked_otherwise(drop_last, sizes):
    loader = JetLoader(dataset(), 10, shuffle=True, drop_last=drop_last)
    assert [len(batch) for batch in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


@given(num_jets=st.integers(1, 30), batch_size=st.integers(1, 12), world_size=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_ranks_share_each_batch_without_overlap_or_loss(num_jets, batch_size, world_size):
    data = dataset(num_jets)
    whole = list(JetLoader(data, batch_size, shuffle=True).epoch(5))
    shares = [
        list(JetLoader(data, batch_size, shuffle=True, rank=rank, world_size=world_size).epoch(5))
        for rank in range(world_size)
    ]
    for number, batch in enumerate(whole):
        own = [share[number].index.numpy() for share in shares]
        assert sorted(np.concatenate(own)) == sorted(batch.index.tolist())
        assert max(map(len, own)) - min(map(len, own)) <= 1


def test_a_rank_may_get_an_empty_batch():
    loader = JetLoader(dataset(9), 4, shuffle=False, rank=1, world_size=2)
    assert [len(batch) for batch in loader.epoch(0)] == [2, 2, 0]


def test_particles_are_limited_to_the_hardest():
    loader = JetLoader(dataset(), 30, shuffle=False, max_particles=7)
    (batch,) = loader.epoch(0)
    (whole,) = JetLoader(dataset(), 30, shuffle=False).epoch(0)
    assert batch.max_length == 7
    np.testing.assert_array_equal(batch.pad(7).p4, whole.pad(7).p4)
    np.testing.assert_array_equal(batch.jet_p4, whole.jet_p4)


def test_the_next_batches_are_prepared_in_the_background():
    data = dataset()
    taken, ahead = [], threading.Event()
    take = data.take

    def recorded(rows):
        taken.append(threading.current_thread())
        if len(taken) == 3:
            ahead.set()
        return take(rows)

    data.take = recorded
    batches = JetLoader(data, 4, shuffle=False).epoch(0)
    next(batches)
    assert ahead.wait(timeout=10)
    assert threading.current_thread() not in taken
    batches.close()


def test_the_thread_ends_when_the_iterator_is_closed():
    batches = JetLoader(dataset(), 2, shuffle=True).epoch(0)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()


def test_what_goes_wrong_in_the_background_is_raised_at_its_batch():
    data = dataset()
    take = data.take

    def broken(rows):
        if 9 in rows:
            raise OSError("the disk is gone")
        return take(rows)

    data.take = broken
    batches = JetLoader(data, 4, shuffle=False).epoch(0)
    assert [len(next(batches)) for _ in range(2)] == [4, 4]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not loader_threads()


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("JetLoader")]
