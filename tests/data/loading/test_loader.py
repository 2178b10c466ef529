"""Batches: every jet once an epoch, in an order that seed and epoch fix."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.files import write_jetclass_root
from parttag.data import JetDataset, JetLoader, open_dataset, prepare
from parttag.data.loading.resident import resident_device
from parttag.jets.batch import make_batch
from parttag.models.layers.trimmer import ParticleTrimmer
from parttag.testing import toy_jets

# Few jets in a window, so that small sets have several: four in memory, about 16 in a store.
WINDOW_JETS = 4
WINDOWS = {"window_jets": WINDOW_JETS, "window_bytes": 16 * 1100}


def dataset(num_jets: int = 23) -> JetDataset:
    toys = toy_jets(num_jets)
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


def test_the_next_window_is_prepared_in_the_background():
    data = dataset()
    taken, ahead = [], threading.Event()
    take = data.take

    def recorded(rows, *args):
        taken.append(threading.current_thread())
        if len(taken) == 2:
            ahead.set()
        return take(rows, *args)

    data.take = recorded
    batches = JetLoader(data, 4, shuffle=True, **WINDOWS).epoch(0)
    next(batches)
    assert ahead.wait(timeout=10)
    assert threading.current_thread() not in taken
    batches.close()


def test_the_threads_end_when_the_iterator_is_closed():
    batches = JetLoader(dataset(), 2, shuffle=True, **WINDOWS, num_workers=2).epoch(0)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()


def test_what_goes_wrong_in_the_background_is_raised_at_its_window():
    data = dataset()
    take = data.take

    def broken(rows, *args):
        if 9 in rows:
            raise OSError("the disk is gone")
        return take(rows, *args)

    data.take = broken
    window = order(JetLoader(dataset(), 1, shuffle=True, **WINDOWS), 0).index(9) // WINDOW_JETS
    batches = JetLoader(data, 1, shuffle=True, **WINDOWS).epoch(0)
    assert len(list(islice(batches, window * WINDOW_JETS))) == window * WINDOW_JETS
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not loader_threads()


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("JetLoader")]


# ----------------------------------------------------------------------------------- from stores


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two shuffled stores, of 70 tops and 50 QCD jets."""
    directory = tmp_path_factory.mktemp("stores")
    toys = toy_jets(140)
    for name, rows in (("top", np.arange(0, 140, 2)), ("QCD", np.arange(1, 101, 2))):
        file = write_jetclass_root(directory / f"{name}.root", toys.take(rows))
        prepare([file], directory / name, shard_bytes=20_000)
    return [directory / "top", directory / "QCD"]


CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def assert_same(batch, other):
    for name in ("p4", "extra", "offsets", "jet_p4", "jet_axis", "labels", "jet_weights", "index"):
        assert torch.equal(getattr(batch, name), getattr(other, name)), name
    np.testing.assert_array_equal(batch.lengths, other.lengths)
    assert batch.extra_names == other.extra_names


def test_streamed_batches_hold_the_jets_of_the_stores(stores):
    data = open_dataset(stores, CLASSES)
    everything = data.take(np.arange(len(data)))
    row_of = {int(index): row for row, index in enumerate(everything.index)}
    assert data.is_streamed
    for batch in JetLoader(data, 16, **WINDOWS, shuffle=True).epoch(1):
        rows = np.array([row_of[int(index)] for index in batch.index])
        assert_same(batch, make_batch(everything.take(rows), data.classes[rows].astype(np.int64)))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_jet_of_a_store_comes_once_an_epoch(stores, world_size):
    data = open_dataset(stores, CLASSES)
    expected = sorted(data.take(np.arange(120)).index.tolist())
    for epoch in (0, 1):
        seen = [
            index
            for rank in range(world_size)
            for index in order(
                JetLoader(data, 13, **WINDOWS, shuffle=True, rank=rank, world_size=world_size),
                epoch,
            )
        ]
        assert sorted(seen) == expected


def test_ranks_share_the_batches_of_a_store(stores):
    data = open_dataset(stores, CLASSES)
    whole = [b.index.tolist() for b in JetLoader(data, 13, **WINDOWS, shuffle=True).epoch(0)]
    for rank in range(3):
        loader = JetLoader(data, 13, **WINDOWS, shuffle=True, rank=rank, world_size=3)
        assert [b.index.tolist() for b in loader.epoch(0)] == [b[rank::3] for b in whole]


def test_the_order_does_not_depend_on_workers_extras_or_batch_size(stores):
    data = open_dataset(stores, CLASSES)
    orders = {
        tuple(order(JetLoader(data, size, **WINDOWS, shuffle=True, **choices), 2))
        for size in (5, 16, 200)
        for choices in ({}, {"num_workers": 3}, {"extras": False})
    }
    assert len(orders) == 1
    assert orders != {tuple(order(JetLoader(data, 5, **WINDOWS, shuffle=True, seed=1), 2))}


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_of_a_store_continues_at_any_batch(stores, shuffle):
    loader = JetLoader(open_dataset(stores, CLASSES), 7, **WINDOWS, shuffle=shuffle)
    whole = order(loader, 1)
    for start in (0, 1, 5, len(loader) - 1, len(loader)):
        assert order(loader, 1, start) == whole[7 * start :]


def test_a_saved_position_continues_as_if_nothing_had_happened(stores):
    data = open_dataset(stores, CLASSES)
    straight = JetLoader(data, 16, **WINDOWS, shuffle=True)
    expected = [b.index.tolist() for _ in range(2) for b in straight]
    first = JetLoader(data, 16, **WINDOWS, shuffle=True)
    seen = [b.index.tolist() for b in islice(first, 5)]
    state = json.loads(json.dumps(first.state_dict()))
    assert state == {"epoch": 0, "batch": 5}
    second = JetLoader(data, 16, **WINDOWS, shuffle=True, num_workers=2)
    second.load_state_dict(state)
    seen += [b.index.tolist() for _ in range(2) for b in second]
    assert seen == expected
    assert second.state_dict() == {"epoch": 2, "batch": 0}


def test_a_killed_process_is_continued_without_loss_or_repetition(stores):
    """The position is written before each batch is used; the process dies in mid-epoch."""
    code = f"""
        import json, os
        from parttag.data import JetLoader, open_dataset
        data = open_dataset({list(map(str, stores))!r}, {CLASSES!r})
        loader = JetLoader(data, 16, shuffle=True, window_bytes={WINDOWS["window_bytes"]})
        for number, batch in enumerate(loader):
            print(json.dumps([loader.state_dict(), batch.index.tolist()]), flush=True)
            if number == 3:
                os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    lines = [json.loads(line) for line in killed.stdout.splitlines()]
    data = open_dataset(stores, CLASSES)
    loader = JetLoader(data, 16, **WINDOWS, shuffle=True)
    loader.load_state_dict(lines[-1][0])
    seen = [index for _, indices in lines for index in indices]
    seen += [index for batch in loader for index in batch.index.tolist()]
    assert len(seen) == 120
    assert sorted(seen) == sorted(data.take(np.arange(120)).index.tolist())


def test_jets_of_no_class_are_left_out_of_the_stream(tmp_path):
    toys = toy_jets(60)
    prepare([write_jetclass_root(tmp_path / "a.root", toys)], tmp_path / "store")
    data = open_dataset([tmp_path / "store"], {"top": ["label_top"]})
    assert data.is_streamed
    batches = list(JetLoader(data, 7, **WINDOWS, shuffle=True).epoch(0))
    rows = np.concatenate([batch.index.numpy() for batch in batches])
    assert sorted(rows) == list(range(0, 60, 2))
    expected = toys.take(rows)
    np.testing.assert_array_equal(torch.cat([b.p4 for b in batches]), expected.p4)


def test_a_store_that_is_not_shuffled_is_drawn_from_at_random(tmp_path):
    file = write_jetclass_root(tmp_path / "a.root", toy_jets(40))
    prepare([file], tmp_path / "store", shuffle=False)
    data = open_dataset([tmp_path / "store"], CLASSES)
    assert not data.is_streamed
    in_memory = JetLoader(dataset(40), 9, shuffle=True)
    assert order(JetLoader(data, 9, **WINDOWS, shuffle=True), 4) == order(in_memory, 4)


def test_without_extras_batches_have_only_momenta(stores):
    data = open_dataset(stores, CLASSES)
    whole = JetLoader(data, 50, **WINDOWS, shuffle=True).epoch(0)
    momenta = JetLoader(data, 50, **WINDOWS, shuffle=True, extras=False).epoch(0)
    for batch, expected in zip(momenta, whole, strict=True):
        assert batch.extra_names == ()
        assert_same(batch, replace(expected, extra=expected.extra[:, :0], extra_names=()))


# --------------------------------------------------------------------------------------- resident


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rank", [0, 1])
def test_resident_jets_come_in_the_same_batches(stores, shuffle, rank):
    for data in (open_dataset(stores, CLASSES), dataset(50)):
        choices = {
            "shuffle": shuffle,
            "max_particles": 9,
            "rank": rank,
            "world_size": 2,
        }
        streamed = list(JetLoader(data, 16, **WINDOWS, **choices).epoch(1, start=1))
        resident = list(JetLoader(data, 16, **WINDOWS, **choices, resident="cpu").epoch(1, start=1))
        assert len(streamed) == len(resident)
        for one, other in zip(streamed, resident, strict=True):
            assert_same(one, other)


def test_a_set_is_resident_if_asked_for_or_on_a_gpu():
    cpu = torch.device("cpu")
    assert resident_device("auto", dataset(), cpu) is None
    assert resident_device(False, dataset(), cpu) is None
    assert resident_device(True, dataset(), cpu) == cpu


def test_a_loader_says_what_it_is(stores):
    assert repr(JetLoader(dataset(), 5, shuffle=True, seed=3)) == (
        "JetLoader: 5 batches of 5 of 23 jets, shuffled, seed 3"
    )
    loader = JetLoader(dataset(), 30, shuffle=False, rank=1, world_size=2)
    assert repr(loader) == "JetLoader: 1 batch of 30 of 23 jets, in order, rank 1 of 2"
    assert repr(open_dataset(stores[0], {"top": ["label_top"]})).startswith(
        "JetDataset: 70 jets of 1 classes, streamed from stores, 1 file, extra: charge, "
    )
    assert repr(dataset()).startswith("JetDataset: 23 jets of 2 classes, in memory, 1 file, ")


@pytest.mark.parametrize("rank", [0, 1])
def test_particles_are_dropped_in_threads_as_seed_and_step_have_it(stores, rank):
    trimmer = ParticleTrimmer()
    data = open_dataset(stores, CLASSES)
    common = {**WINDOWS, "shuffle": True, "seed": 3, "rank": rank, "world_size": 2}
    loaders = [
        JetLoader(data, 16, **common, trim=trimmer.kept, num_workers=workers, resident=resident)
        for workers, resident in ((1, None), (3, None), (1, "cpu"))
    ]
    untrimmed = JetLoader(data, 16, **common)
    dropped = 0
    for epoch, start in ((0, 0), (1, 1)):
        epochs = (loader.epoch(epoch, start) for loader in (untrimmed, *loaders))
        for number, (whole, batch, *others) in enumerate(zip(*epochs, strict=True), start):
            assert torch.equal(batch.index, whole.index)
            assert (batch.lengths <= whole.lengths).all()
            if epoch == 0 and number < 5:  # which the trimmer leaves alone
                np.testing.assert_array_equal(batch.lengths, whole.lengths)
            dropped += int((whole.lengths - batch.lengths).sum())
            for other in others:
                assert_same(other, batch)
    assert dropped > 0
