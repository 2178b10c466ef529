"""Index tensors: every pair once, every particle in one slot, little padding."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parttag.ops.layout import JetLayout, similar_lengths

LENGTHS = np.array([3, 0, 17, 1, 16, 40, 38, 2])


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
        [np.empty(0, dtype=np.int64), *(pairs.numpy() for pairs in layout.cell_pairs)]
    )
    for side in layout.pair_cells.numpy():
        assert cells[side].tolist() == list(range(layout.num_pairs))


def test_groups_hold_jets_of_similar_length():
    lengths = np.random.default_rng(0).integers(5, 128, 500)
    groups = JetLayout(lengths, path="reference").groups
    padded = sum(group.num_jets * group.length**2 for group in groups)
    assert padded < 1.25 * (lengths**2).sum()
    assert len(groups) < 20
    assert sum(group.num_jets for group in groups) == 500


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30),
    st.sampled_from([None, 200]),
)
def test_groups_of_two_lengths_hold_each_jet_once_with_little_padding(pairs, max_cells):
    lengths, others = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    groups = list(similar_lengths(lengths, others, 0.2, max_cells))
    found = sorted(jet for group in groups for jet in group)
    assert found == [jet for jet, (own, other) in enumerate(pairs) if own * other > 0]
    for group in groups:
        cells = len(group) * lengths[group].max() * others[group].max()
        assert (lengths[group] * others[group]).sum() >= 0.8 * cells
        assert max_cells is None or len(group) == 1 or cells <= max_cells


def test_on_a_cpu_a_group_fits_a_cache_or_is_one_jet():
    lengths = np.array([300, 300, 290, *[128] * 10, *[1] * 1000])
    groups = JetLayout(lengths).groups
    assert [(g.num_jets, g.length) for g in groups] == [
        *[(1, 300), (1, 300), (1, 290)],
        *[(4, 128), (4, 128), (2, 128)],
        (1000, 1),
    ]


def test_groups_without_padding_hold_jets_of_one_length():
    layout = JetLayout(np.array([3, 0, 2, 3, 1, 2, 3]), max_padding=0.0)
    assert [(group.num_jets, group.length) for group in layout.groups] == [(3, 3), (2, 2), (1, 1)]
    assert not any(group.key_is_padding.any() for group in layout.groups)


def test_what_is_spread_is_gathered_again():
    particles = torch.arange(LENGTHS.sum(), dtype=torch.float64)[:, None] * torch.ones(3)
    layout = JetLayout(LENGTHS)
    assert torch.equal(layout.gather(layout.spread(particles)), particles)


def test_each_jet_fills_the_first_slots_of_one_place():
    layout = JetLayout(LENGTHS)
    lengths = [group.length - group.key_is_padding.sum(dim=1) for group in layout.groups]
    assert sorted(torch.cat(lengths).tolist()) == sorted(n for n in LENGTHS if n > 0)
    for group, counts in zip(layout.groups, lengths, strict=True):
        assert counts[0] == group.length  # padded to the longest jet, no further
        for rows, is_padding, count in zip(
            group.of(layout.slot_rows), group.key_is_padding, counts, strict=True
        ):
            assert is_padding[count:].all()
            assert (rows[:count].diff() == 1).all()
            assert rows[0] in np.cumsum(LENGTHS) - LENGTHS


def test_padding_points_at_a_particle_of_the_same_jet():
    layout = JetLayout(LENGTHS)
    for group in layout.groups:
        jet = layout.jet_of_particle[group.of(layout.slot_rows)]
        assert (jet == jet[:, :1]).all()


def test_a_batch_without_particles_has_no_groups():
    assert JetLayout(np.array([0, 0])).groups == ()
    assert JetLayout(np.empty(0, dtype=np.int64)).groups == ()
