"""Orders: every jet once, and neighbors have nothing in common, whatever the files were like."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from helpers.files import write_jetclass_root
from parttag.data import JetLoader, open_dataset, prepare
from parttag.data.loading.order import BlockShuffle, FullShuffle, Sequential, rows_of
from parttag.testing import toy_jets

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4).filter(any),
    window_jets=st.integers(1, 80),
    seed=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_every_jet_comes_once_in_windows_of_one_size(sizes, window_jets, seed):
    order = BlockShuffle(sizes, window_jets, seed, epoch=1)
    num_windows = -(-order.num_jets // order.window_jets)
    windows = [order.window(number) for number in range(num_windows)]
    rows = np.concatenate([window.rows_of_all() for window in windows])
    assert sorted(rows) == list(range(sum(sizes)))
    assert {len(window.rows) for window in windows[:-1]} <= {order.window_jets}
    assert order.window_jets <= window_jets
    bounds = np.cumsum([0, *sizes])
    for start, stop in (pair for window in windows for pair in window.ranges):
        part = np.searchsorted(bounds, start, side="right") - 1
        assert start < stop <= bounds[part + 1]


@given(start=st.integers(0, 130), length=st.integers(0, 130))
@settings(max_examples=30, deadline=None)
def test_any_run_of_an_order_can_be_had(start, length):
    for order in (
        Sequential(100, window_jets=7),
        FullShuffle(100, 0, 0),
        BlockShuffle([60, 40], 9, 0, 0),
    ):
        whole = rows_of(order, 0, 100)
        np.testing.assert_array_equal(
            rows_of(order, start, start + length), whole[start : start + length]
        )


def test_a_window_holds_few_blocks_and_differs_each_epoch():
    orders = [BlockShuffle([10_000], 1000, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    windows = [order.window(3) for order in orders]
    assert all(len(window.ranges) <= 18 for window in windows)
    assert len({window.ranges for window in windows}) == 3
    assert len({tuple(window.rows) for window in windows}) == 3


def test_parts_come_in_every_window_by_chance_alone():
    """The number of jets of a part in a window is hypergeometric: mean and variance."""
    counts = np.array(
        [
            (BlockShuffle([300, 700], 100, seed, 0).window(4).rows_of_all() < 300).sum()
            for seed in range(400)
        ]
    )
    variance = 100 * 0.3 * 0.7 * 900 / 999
    assert abs(counts.mean() - 30) < 4 * np.sqrt(variance / 400)
    assert abs(counts.var() / variance - 1) < 4 * np.sqrt(2 / 400)


# ------------------------------------------------------------------- from files to batches


NUM_JETS = 6000
BATCH_SIZE = 100


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files, one a class, each in order of falling pT."""
    directory = tmp_path_factory.mktemp("sorted")
    toys = toy_jets(lengths=[1] * NUM_JETS, extra_names=())
    scale = np.random.default_rng(0).uniform(1, 2, NUM_JETS).astype(np.float32)[:, None]
    toys.p4[:] *= scale
    toys.jet_p4[:] *= scale
    paths = []
    for number, name in enumerate(("top", "QCD")):
        jets = toys.take(np.arange(number, NUM_JETS, 2))
        falling = np.argsort(-np.hypot(jets.jet_p4[:, 0], jets.jet_p4[:, 1]))
        paths.append(write_jetclass_root(directory / f"{name}.root", jets.take(falling)))
    return paths


@pytest.fixture(scope="module")
def stores(files, tmp_path_factory):
    """The store of both files, in ten shards, and one store of each."""
    directory = tmp_path_factory.mktemp("stores")
    total = NUM_JETS * 16
    sizes = {"shard_bytes": total // 10, "piece_bytes": total // 20, "chunk_jets": 250}
    for name, inputs in (("both", files), ("top", files[:1]), ("QCD", files[1:])):
        prepare(inputs, directory / name, **sizes)
    prepare(files, directory / "sorted", shuffle=False, **sizes)
    return directory


def stream(paths, epoch, *, shuffle=True):
    """Return class and source position of the jets of an epoch, in windows of some 700 jets."""
    data = open_dataset(paths, CLASSES)
    assert data.is_streamed == shuffle
    batches = list(JetLoader(data, BATCH_SIZE, shuffle=shuffle, window_bytes=700 * 16).epoch(epoch))
    position = np.concatenate([batch.index.numpy() for batch in batches])
    return np.concatenate([batch.labels.numpy() for batch in batches]), np.argsort(
        np.argsort(position)
    )


def composition_pvalue(classes):
    """Return how likely batches as unlike one another as these are, if classes fall by chance.

    The χ² of a batch's number of tops against the hypergeometric mean and variance.
    """
    tops = (classes == 0).reshape(-1, BATCH_SIZE).sum(axis=1)
    share = (classes == 0).mean()
    drawn_without_return = (NUM_JETS - BATCH_SIZE) / (NUM_JETS - 1)
    variance = BATCH_SIZE * share * (1 - share) * drawn_without_return
    statistic = ((tops - BATCH_SIZE * share) ** 2).sum() / variance
    return chi2.sf(statistic, len(tops) - 1)


def neighbor_correlation(position):
    return np.corrcoef(position[:-1], position[1:])[0, 1]


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("names", [["both"], ["top", "QCD"]])
def test_batches_of_sorted_files_are_drawn_as_if_by_lot(stores, names, epoch):
    classes, position = stream([stores / name for name in names], epoch)
    assert 1e-3 < composition_pvalue(classes) < 1 - 1e-3
    assert abs(neighbor_correlation(position)) < 4 / np.sqrt(NUM_JETS)
    # Nor within a class, where the files are in order of pT.
    tops = position[classes == 0]
    assert abs(neighbor_correlation(tops)) < 4 / np.sqrt(len(tops))


def test_these_tests_see_files_that_are_sorted(stores):
    classes, position = stream([stores / "sorted"], 0, shuffle=False)
    assert composition_pvalue(classes) < 1e-100
    assert neighbor_correlation(position) > 0.99
