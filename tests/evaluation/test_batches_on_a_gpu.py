"""How many jets a GPU scores at a time, and what comes when."""

import numpy as np
import pytest
import torch

from parttag.evaluation.batches import for_a_gpu
from parttag.evaluation.late_reads import Sent, one_behind, prepared_ahead


@pytest.mark.parametrize("longest", [1, 40, 200])
def test_batches_hold_every_jet_and_neither_too_many_nor_too_long_ones(longest):
    lengths = np.sort(np.random.default_rng(longest).integers(0, longest + 1, 731))
    rows = np.arange(731)[::-1].copy()
    parts = list(for_a_gpu(rows, lengths, most_jets=100, most_pairs=20_000))
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    of_row = dict(zip(rows.tolist(), lengths.tolist(), strict=True))
    for part in parts:
        own = np.array([of_row[row] for row in part.tolist()])
        # One jet more than a share, where shares are rounded.
        assert len(part) <= 101
        assert (own[:-1] * (own[:-1] + 1) // 2).sum() <= 20_000 + longest**2
    assert min(map(len, parts[:-1]), default=0) > 0
    assert not list(for_a_gpu(rows[:0], lengths[:0]))


def test_an_item_comes_when_the_next_has_been_asked_for():
    asked = []
    items = one_behind(asked.append(number) or number for number in range(3))
    assert next(items) == 0
    assert asked == [0, 1]
    assert list(items) == [1, 2]
    assert not list(one_behind(()))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_prepared_items_come_in_order_and_faults_are_raised(device):
    place = torch.device(device)
    assert list(prepared_ahead(lambda n: n + 1, range(7), place)) == list(range(1, 8))
    assert not list(prepared_ahead(lambda n: n, (), place))
    found = prepared_ahead(lambda n: 1 // (2 - n), range(5), place)
    assert next(found) == 0
    with pytest.raises(ZeroDivisionError):
        list(found)


def test_what_was_sent_is_what_arrives():
    assert torch.equal(Sent(torch.arange(3)).read(), torch.arange(3))
