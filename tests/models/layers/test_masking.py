import numpy as np
import torch

from parttag.models.layers.masking import pairs_in_full, visible_jets
from parttag.ops.layout import JetLayout
from parttag.testing import toy_batch

LENGTHS = [5, 1, 0, 7, 2]
HIDDEN = np.isin(np.arange(15), [0, 3, 5, 9, 12, 13, 14])  # all of one jet and of another


def test_visible_jets_are_the_sums_of_their_particles_and_lie_along_them():
    batch = toy_batch(lengths=LENGTHS, seed=3)
    visible = visible_jets(batch, HIDDEN)
    assert visible.lengths.tolist() == [3, 0, 0, 5, 0]
    torch.testing.assert_close(visible.p4, batch.p4[~HIDDEN])
    torch.testing.assert_close(visible.jet_p4[3], batch.p4[[6, 7, 8, 10, 11]].sum(dim=0))
    assert not visible.jet_p4[[1, 2, 4]].any()
    assert not visible.jet_axis.equal(batch.jet_axis)
    assert visible.jet_axis.isfinite().all()


def test_a_pair_of_visible_particles_has_the_place_of_the_same_two_among_all():
    visible, full = (JetLayout(n) for n in (np.array([3, 0, 0, 5, 0]), np.array(LENGTHS)))
    rows = torch.from_numpy(np.flatnonzero(~HIDDEN))
    places = pairs_in_full(rows, visible, full)
    assert len(places) == 6 + 15
    assert full.first[places].equal(rows[visible.first])
    assert full.second[places].equal(rows[visible.second])
