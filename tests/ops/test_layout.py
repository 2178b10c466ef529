"""Index tensors: every pair once, every particle in one slot, little padding."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parttag.ops.layout import JetLayout


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=12))
def test_each_particle_and_each_pair_is_found_again(lengths):
    layout = JetLayout(np.array(lengths, dtype=np.int64))
    rows = sum(lengths)
    jet = np.repeat(np.arange(len(lengths)), lengths)
    pairs = {(i, j) for i in range(rows) for j in range(i + 1) if jet[i] == jet[j]}
    assert sorted(zip(layout.first.tolist(), layout.second.tolist(), strict=True)) == sorted(pairs)
    assert (layout.first[layout.diagonal] == layout.second[layout.diagonal]).all()
    assert layout.slot_rows[layout.row_slots].tolist() == list(range(rows))
    cells = np.concatenate(
        [np.empty(0, dtype=np.int64), *(g.cell_pairs.numpy() for g in layout.groups)]
    )
    for side in layout.pair_cells.numpy():
        assert cells[side].tolist() == list(range(layout.num_pairs))


def test_groups_hold_jets_of_similar_length():
    lengths = np.random.default_rng(0).integers(5, 128, 500)
    groups = JetLayout(lengths).groups
    padded = sum(group.num_jets * group.length**2 for group in groups)
    assert padded < 1.25 * (lengths**2).sum()
    assert len(groups) < 20
    assert sum(group.num_jets for group in groups) == 500
