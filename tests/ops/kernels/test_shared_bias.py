"""The gradient of the bias that layers share is whole, however a network uses the layers."""

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from parttag.ops.attention import attend, spread_bias
from parttag.ops.attention.reference import attend_reference
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import KERNEL_FLOAT32

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LENGTHS = np.array([5, 3, 0, 17])
PAIRS = int((LENGTHS * (LENGTHS + 1) // 2).sum())


@pytest.fixture
def inputs():
    torch.manual_seed(3)
    qkv = torch.randn(LENGTHS.sum(), 3, 2, 16).to(DEVICE).requires_grad_()
    bias = torch.randn(2, PAIRS).to(DEVICE).requires_grad_()
    return qkv, bias


def gradients(inputs, path, function):
    """Return the gradients of queries, keys and values, and of the bias, after two layers."""
    qkv, bias = inputs
    layout = JetLayout(LENGTHS, DEVICE, path=path)
    spread = bias if path == "reference" else spread_bias(bias, layout)
    run = attend_reference if path == "reference" else attend

    def layer(x):
        return run(x, spread, layout, 0.0)

    return torch.autograd.grad(function(layer, qkv).square().sum(), [qkv, bias])


def one_unused(layer, qkv):
    layer(3 * qkv)
    return layer(qkv)


def computed_again(layer, qkv):
    first = checkpoint(layer, qkv, use_reentrant=False)
    return first + checkpoint(layer, 2 * qkv, use_reentrant=False)


def all_at_once_computed_again(layer, qkv):
    return checkpoint(lambda x: layer(x) + layer(2 * x), qkv, use_reentrant=False)


@pytest.mark.parametrize("function", [one_unused, computed_again, all_at_once_computed_again])
def test_no_gradient_is_lost(inputs, function):
    ours = gradients(inputs, "triton", function)
    plain = {computed_again: lambda layer, x: layer(x) + layer(2 * x)}
    plain[all_at_once_computed_again] = plain[computed_again]
    expected = gradients(inputs, "reference", plain.get(function, function))
    for mine, theirs in zip(ours, expected, strict=True):
        assert theirs.norm() > 0
        assert (mine - theirs).norm() <= KERNEL_FLOAT32 * theirs.norm()


def test_what_an_earlier_pass_left_is_not_added(inputs):
    qkv, bias = inputs
    layout = JetLayout(LENGTHS, DEVICE, path="triton")
    spread = spread_bias(bias, layout)
    output = attend(qkv, spread, layout)
    (expected,) = torch.autograd.grad(output.sum(), bias, retain_graph=True)
    torch.autograd.grad(output.sum(), qkv, retain_graph=True)  # the bias is not asked for
    (again,) = torch.autograd.grad(output.sum(), bias)
    assert torch.equal(again, expected)
