"""Dropout on a CPU: how often, what is kept, and that the seed of torch decides."""

import pytest
import torch

from parttag.models.layers.basic import Dropout
from parttag.ops.dropout import draw_kept, dropped_share

CPU = torch.device("cpu")


def test_elements_are_dropped_as_often_as_asked_and_independently():
    torch.manual_seed(0)
    kept = draw_kept((1000, 1001), 0.1, CPU).double()
    assert kept.unique().tolist() == [0, 1]
    sigma = (0.1 * 0.9 / kept.numel()) ** 0.5
    assert abs(1 - kept.mean().item() - 0.1) < 4 * sigma
    # Neighbours come from the same 64 bits, or from the next.
    for shift in (1, 2, 3, 4):
        both = (1 - kept[:, :-shift]) * (1 - kept[:, shift:])
        assert abs(both.mean().item() - 0.01) < 5 * (0.01 / both.numel()) ** 0.5


def test_what_is_kept_is_scaled_and_goes_back_the_same_way():
    torch.manual_seed(1)
    layer = Dropout(0.25)
    x = torch.randn(300, 7, dtype=torch.float64, requires_grad=True)
    output = layer(x)
    weights = torch.randn_like(x)
    (grad,) = torch.autograd.grad(output, x, weights)
    applied = torch.where(output != 0, 1 / (1 - dropped_share(0.25)), 0.0)
    torch.testing.assert_close(output, x * applied)
    torch.testing.assert_close(grad, weights * applied)
    assert 0.7 < (applied > 0).double().mean() < 0.8


def test_the_same_seed_drops_the_same_and_another_draw_does_not():
    x, layer = torch.ones(1000), Dropout(0.5)
    torch.manual_seed(2)
    first, second = layer(x), layer(x)
    torch.manual_seed(2)
    assert layer(x).equal(first)
    assert not second.equal(first)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_precision_stays(dtype):
    assert Dropout(0.1)(torch.ones(5, 3, dtype=dtype)).dtype == dtype


def test_nothing_happens_in_evaluation_nor_to_nothing():
    x = torch.randn(9)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5)(torch.empty(0, 4)).shape == (0, 4)


def test_a_probability_is_rounded_to_what_16_bits_can_tell():
    assert abs(dropped_share(0.1) - 0.1) < 1e-5
    assert dropped_share(1 - 1e-9) < 1
    assert not draw_kept((999,), 1e-9, CPU).eq(0).any()
