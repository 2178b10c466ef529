"""Linear layers by oneDNN against float64, and what happens where it does not take them."""

import pytest
import torch
import torch.nn.functional as F

from parttag.models.layers.basic import Linear, LinearGELU
from parttag.ops.linear import linear_gelu
from parttag.testing.tolerances import FLOAT64, KERNEL_BFLOAT16, KERNEL_FLOAT32

LAYERS = {Linear: lambda y: y, LinearGELU: F.gelu}


def layer_and_input(kind, rows=70):
    torch.manual_seed(0)
    return kind(24, 40), torch.randn(rows, 24)


def near(value, expected, tolerance=KERNEL_FLOAT32):
    return (value.double() - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("kind", LAYERS)
def test_output_and_gradients_are_those_of_float64(kind):
    layer, x = layer_and_input(kind)
    x.requires_grad_()
    output = layer(x)
    weights = torch.randn_like(output)
    gradients = torch.autograd.grad(output, (x, layer.weight, layer.bias), weights)
    wide = [v.detach().double().requires_grad_() for v in (x, layer.weight, layer.bias)]
    expected = LAYERS[kind](F.linear(*wide))
    assert near(output, expected)
    for ours, theirs in zip(
        gradients, torch.autograd.grad(expected, wide, weights.double()), strict=True
    ):
        assert near(ours, theirs)
    with torch.no_grad():
        assert near(layer(x), expected)


@pytest.mark.parametrize("kind", LAYERS)
def test_autocast_gives_bfloat16(kind):
    layer, x = layer_and_input(kind)
    expected = LAYERS[kind](F.linear(x.double(), layer.weight.double(), layer.bias.double()))
    with torch.autocast("cpu", torch.bfloat16):
        training = layer(x)
        with torch.no_grad():
            inference = layer(x)
    for output in (training, inference):
        assert output.dtype == torch.bfloat16
        assert near(output, expected, KERNEL_BFLOAT16)


@pytest.mark.parametrize("kind", LAYERS)
def test_autocast_to_float16_is_torchs(kind):
    layer, x = layer_and_input(kind)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        output = layer(x)
        assert output.equal(LAYERS[kind](F.linear(x, layer.weight, layer.bias)))
    assert output.dtype == torch.float16


def test_float64_is_torchs():
    layer, x = layer_and_input(LinearGELU)
    layer, x = layer.double(), x.double()
    with torch.no_grad():
        expected = F.gelu(F.linear(x, layer.weight, layer.bias))
        torch.testing.assert_close(layer(x), expected, **FLOAT64)


def test_no_rows_and_expanded_gradients():
    layer, x = layer_and_input(Linear, rows=0)
    assert layer(x).shape == (0, 40)
    layer, x = layer_and_input(Linear, rows=5)
    layer(x).sum().backward()  # whose gradient is one number, expanded
    torch.testing.assert_close(layer.bias.grad, torch.full((40,), 5.0))


def test_what_needs_no_gradient_gets_none():
    layer, x = layer_and_input(Linear)
    layer.requires_grad_(False)
    x.requires_grad_()
    layer(x).sum().backward()
    assert layer.weight.grad is None
    expected = layer.weight.sum(dim=0).expand_as(x)
    torch.testing.assert_close(x.grad, expected)
    with torch.no_grad():
        assert linear_gelu(x, layer.weight, layer.bias).isfinite().all()
