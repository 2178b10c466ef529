import numpy as np
import torch

from parttag.ops.groups import make_groups

LENGTHS = np.array([3, 0, 17, 1, 16, 40, 38, 2])


def test_what_is_spread_is_gathered_again():
    particles = torch.arange(LENGTHS.sum(), dtype=torch.float64)[:, None] * torch.ones(3)
    groups = make_groups(LENGTHS)
    assert torch.equal(groups.gather(groups.spread(particles)), particles)


def test_each_jet_fills_the_first_slots_of_one_place():
    groups = make_groups(LENGTHS).groups
    lengths = np.concatenate([group.is_real.sum(dim=1) for group in groups])
    assert sorted(lengths) == sorted(n for n in LENGTHS if n > 0)
    for group in groups:
        assert group.is_real[0].all()  # padded to the longest jet, no further
        for rows, is_real in zip(group.rows, group.is_real, strict=True):
            count = int(is_real.sum())
            assert is_real[:count].all()
            assert (rows[:count].diff() == 1).all()
            assert rows[0] in np.cumsum(LENGTHS) - LENGTHS


def test_padding_points_at_a_particle_of_the_same_jet():
    start = torch.from_numpy(np.cumsum(LENGTHS) - LENGTHS)
    for group in make_groups(LENGTHS).groups:
        jet = torch.searchsorted(
            start[start.diff(append=start[-1:] + 2) > 0], group.rows, right=True
        )
        assert (jet == jet[:, :1]).all()


def test_a_batch_without_particles_has_no_groups():
    assert make_groups(np.array([0, 0])).groups == ()
    assert make_groups(np.empty(0, dtype=np.int64)).groups == ()
