import numpy as np
import pytest
import torch

from parttag.ops.knn import nearest_neighbours
from parttag.ops.layout import JetLayout

LENGTHS = np.array([5, 0, 1, 17, 6, 30, 2])


def brute_force(points, k, with_self):
    """Return the neighbours by sorting all differences within each jet."""
    rows, start = [], 0
    for length in LENGTHS:
        jet = points[start : start + length]
        distances = (jet[:, None] - jet).square().sum(dim=2)
        if not with_self:
            distances.fill_diagonal_(torch.inf)
        for row in range(length):
            found = [
                start + j for j in distances[row].argsort().tolist() if distances[row, j] < 1e9
            ]
            rows.append((found[:k] + [len(points)] * k)[:k])
        start += length
    return torch.tensor(rows)


@pytest.mark.parametrize("k", [1, 5, 16])
@pytest.mark.parametrize("with_self", [False, True])
def test_neighbours_are_those_of_a_search_through_all_pairs(k, with_self):
    points = torch.randn(LENGTHS.sum(), 3, dtype=torch.float64)
    found = nearest_neighbours(points, k, JetLayout(LENGTHS), with_self=with_self)
    assert torch.equal(found, brute_force(points, k, with_self))


def test_of_two_particles_at_one_place_each_is_the_others_neighbour_or_its_own():
    points = torch.tensor([[1.0, 2.0], [1.0, 2.0], [5.0, 5.0]])
    found = nearest_neighbours(points, 1, JetLayout(np.array([3])))
    assert set(found[:2].flatten().tolist()) <= {0, 1}


def test_bfloat16_points_are_compared_in_float32():
    points = torch.tensor([[1.0], [1.0078125], [1.015625]]).bfloat16()  # squares are not distinct
    assert nearest_neighbours(points, 1, JetLayout(np.array([3])))[0].item() == 1


def test_no_particles_have_no_neighbours():
    found = nearest_neighbours(torch.zeros(0, 2), 4, JetLayout(np.array([0, 0])))
    assert found.shape == (0, 4)
