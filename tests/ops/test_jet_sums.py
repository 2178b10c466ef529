from dataclasses import replace

import torch

from helpers.particles import p4
from parttag.ops.jet_sums import pt_centroids, sum_jets
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64


def batch_of(lengths, momenta):
    """Return jets of these particles, whose momentum and axis are not theirs."""
    batch = toy_batch(lengths=lengths).to("cpu", torch.float64)
    return replace(batch, p4=torch.from_numpy(momenta))


def test_the_centroid_is_the_mean_weighted_by_pt_across_the_seam_of_the_azimuth():
    # 30 GeV at φ = 3.1 and 10 GeV at φ = −3.1, which is 0.0832 further on.
    momenta = p4(pt=[30.0, 10.0, 5.0], eta=[1.0, 2.0, -0.5], phi=[3.1, -3.1, 0.7])
    gap = 2 * torch.pi - 6.2
    expected = torch.tensor([[1.25, 3.1 + gap / 4], [-0.5, 0.7]], dtype=torch.float64)
    torch.testing.assert_close(pt_centroids(batch_of([2, 1], momenta)), expected, **FLOAT64)


def test_centroids_of_jets_without_pt_are_finite():
    beam = p4(pt=[0.0], eta=[0.0], phi=[0.0])
    beam[0, 2:] = 5.0
    centroids = pt_centroids(batch_of([0, 1, 0], beam))
    assert centroids.tolist() == [[0, 0]] * 3


def test_jets_become_the_sums_of_the_particles_that_are_there():
    momenta = p4(pt=[3.0, 4.0, 5.0], eta=[0.0, 0.0, 1.5], phi=[0.0, torch.pi / 2, -2.0])
    batch = batch_of([2, 1, 0], momenta)
    batch = replace(
        batch,
        p4=torch.cat([batch.p4, torch.full((2, 4), torch.nan)]),
        extra=torch.cat([batch.extra, torch.full((2, batch.extra.shape[1]), torch.nan)]),
    )
    summed = sum_jets(batch)
    assert len(summed.p4) == len(summed.extra) == 3
    sums = torch.stack([batch.p4[0] + batch.p4[1], batch.p4[2], torch.zeros(4).double()])
    torch.testing.assert_close(summed.jet_p4, sums, **FLOAT64)
    axis = torch.tensor([[0.0, torch.atan2(torch.tensor(4.0), torch.tensor(3.0))], [1.5, -2.0]])
    torch.testing.assert_close(summed.jet_axis[:2], axis.double(), rtol=1e-6, atol=1e-6)
