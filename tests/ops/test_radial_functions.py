"""Mixtures of bell curves against their definition and finite differences."""

import pytest
import torch

from parttag.ops.radial_functions import bell_mixture, bell_mixture_reference
from parttag.testing.tolerances import FLOAT64


def inputs(num_pairs, num_curves=5, num_outputs=3):
    generator = torch.Generator().manual_seed(0)
    s = torch.rand(num_pairs, generator=generator, dtype=torch.float64) * 10
    s[::7] = 0.0
    shapes = [(num_curves,), (num_outputs, num_curves + 1), (num_outputs,)]
    parameters = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]
    return s, *parameters


@pytest.mark.parametrize("num_pairs", [0, 1, 4096, 9000])
def test_mixture_is_its_definition_forwards_and_backwards(num_pairs):
    s, *parameters = inputs(num_pairs)
    ours, expected = bell_mixture(s, *parameters), bell_mixture_reference(s, *parameters)
    torch.testing.assert_close(ours, expected, **FLOAT64)
    grad = torch.randn_like(expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours, parameters, grad),
        torch.autograd.grad(expected, parameters, grad),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_finite_differences():
    s, *parameters = inputs(20, 3, 2)
    assert torch.autograd.gradcheck(lambda *p: bell_mixture(s, *p), parameters)


def test_one_curve_by_hand():
    s = torch.tensor([0.0, 3.0])
    values = bell_mixture(s, torch.tensor([2.0]), torch.tensor([[26.0, 5.0]]), torch.tensor([1.0]))
    assert values.tolist() == [[1.0, 26 / 13 + 5 + 1]]
