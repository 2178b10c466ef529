"""Kernels of attention against its definition in float64, under the interpreter or on CUDA."""

from functools import partial

import numpy as np
import pytest
import torch

from helpers.poison import poison_new_memory
from parttag.ops.attention import attend, class_attend, spread_bias
from parttag.ops.attention.reference import attend_reference
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import KERNEL_BFLOAT16, KERNEL_FLOAT32

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Triton's interpreter has no matrix product of bfloat16.
SHORT = torch.bfloat16 if DEVICE == "cuda" else torch.float16
PRECISIONS = [(torch.float32, KERNEL_FLOAT32), (SHORT, KERNEL_BFLOAT16)]
LENGTHS = {
    "short and empty": [3, 1, 0, 16, 17, 2],
    "two blocks": [127, 1],
    "four blocks": [200],
    "whole blocks": [128],
    "the longest": [256],
    "no particles": [0, 0],
}


def random_inputs(lengths, width=16):
    heads = 1 if max(lengths) > 100 else 2  # the interpreter is slow
    generator = torch.Generator().manual_seed(0)
    rows, pairs = sum(lengths), sum(n * (n + 1) // 2 for n in lengths)
    shapes = {"qkv": (rows, 3, heads, width), "bias": (heads, pairs)}
    shapes |= {"query": (len(lengths), heads, width), "own": (len(lengths), 2, heads, width)}
    shapes |= {"particles": (rows, 2, heads, width)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").to(DEVICE)
        for name, shape in shapes.items()
    }


def results(function, inputs, dtype):
    """Return output and gradients of a function of tensors in this precision."""
    leaves = [value.to(dtype).requires_grad_() for value in inputs]
    output = function(*leaves)
    weights = torch.linspace(-1, 1, output.numel(), device=DEVICE).view(output.shape)
    return [output, *torch.autograd.grad(output, leaves, weights.to(output.dtype))]


def assert_near(values, expected, tolerance):
    for ours, theirs in zip(values, expected, strict=True):
        assert ours.isfinite().all()
        assert (ours.double() - theirs).norm() <= tolerance * theirs.norm()


def layouts(lengths):
    lengths = np.array(lengths)
    return JetLayout(lengths, DEVICE), JetLayout(lengths, DEVICE, path="triton")


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float32", "short"])
def test_attention_of_two_layers_is_its_definition(lengths, dtype, tolerance):
    reference, layout = layouts(lengths)
    inputs = [value.to(dtype) for value in map(random_inputs(lengths).get, ("qkv", "bias"))]

    def definition(qkv, bias):
        return sum(attend_reference(qkv * scale, bias, reference) for scale in (1.0, 0.5))

    def kernels(qkv, bias):
        spread = spread_bias(bias, layout)
        return sum(attend(qkv * scale, spread, layout) for scale in (1.0, 0.5))

    expected = results(definition, inputs, torch.float64)
    assert_near(results(kernels, inputs, dtype), expected, tolerance)


def test_attention_without_bias():
    reference, layout = layouts([5, 70])
    qkv = random_inputs([5, 70])["qkv"]
    zero = torch.zeros(2, layout.num_pairs, dtype=torch.float64, device=DEVICE)
    expected = results(lambda x: attend_reference(x, zero, reference), [qkv], torch.float64)
    kernels = results(lambda x: attend(x, None, layout), [qkv], torch.float32)
    assert_near(kernels, expected, KERNEL_FLOAT32)


@pytest.mark.parametrize("lengths", [[3, 1, 0, 65], [0]])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float32", "short"])
def test_class_attention_is_that_of_torch(lengths, dtype, tolerance):
    reference, layout = layouts(lengths)
    names = ("query", "own", "particles")
    inputs = [value.to(dtype) for value in map(random_inputs(lengths).get, names)]
    expected = results(lambda *x: class_attend(*x, reference), inputs, torch.float64)
    kernels = results(lambda *x: class_attend(*x, layout), inputs, dtype)
    assert_near(kernels, expected, tolerance)


def test_dropped_weights_are_the_same_on_the_way_back():
    # The output is linear in the values: its gradient, with any weights, is what was applied.
    _, layout = layouts([70])
    inputs = random_inputs([70])
    qkv = inputs["qkv"].float().requires_grad_()
    spread = spread_bias(inputs["bias"].float(), layout)
    torch.manual_seed(3)
    output = attend(qkv, spread, layout, 0.4)
    weights = torch.randn_like(output)
    (grad,) = torch.autograd.grad((output * weights).sum(), qkv)
    total = (grad[:, 2] * qkv[:, 2]).sum()
    torch.testing.assert_close(total, (output * weights).sum(), rtol=1e-4, atol=1e-4)


def test_dropout_keeps_the_mean_and_drops_its_share():
    _, layout = layouts([64])
    inputs = random_inputs([64])
    qkv = inputs["qkv"].float()
    qkv[:, 1] = 0.0  # every weight is 1/64, and a kept one 1/64/(1 − p)
    qkv[:, 2] = torch.eye(64, device=DEVICE)[:, None, :16].expand(-1, 2, -1)
    torch.manual_seed(4)
    output = attend(qkv, None, layout, 0.25) * 64
    values = output.unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 4 / 3], device=DEVICE))
    assert abs((output == 0).float().mean().item() - 0.25) < 0.03  # 2048 draws: 3 σ


def test_nothing_is_read_before_it_is_written(monkeypatch):
    poison_new_memory(monkeypatch)
    _, layout = layouts([3, 0, 18])
    inputs = [value.float() for value in map(random_inputs([3, 0, 18]).get, ("qkv", "bias"))]

    def kernels(qkv, bias):
        spread = spread_bias(bias, layout)
        return attend(qkv, spread, layout) + attend(2 * qkv, spread, layout)

    assert all(value.isfinite().all() for value in results(kernels, inputs, torch.float32))


def test_a_use_without_gradients_is_not_waited_for():
    _, layout = layouts([5, 3])
    inputs = [value.float() for value in map(random_inputs([5, 3]).get, ("qkv", "bias"))]

    def kernels(qkv, bias, *, looked_at):
        spread = spread_bias(bias, layout)
        if looked_at:
            with torch.no_grad():
                attend(qkv, spread, layout)
        return attend(qkv, spread, layout)

    expected = results(partial(kernels, looked_at=False), inputs, torch.float32)
    assert_near(results(partial(kernels, looked_at=True), inputs, torch.float32), expected, 1e-7)


def test_a_bias_can_be_used_again_after_its_gradient():
    _, layout = layouts([5, 3])
    inputs = [value.float() for value in map(random_inputs([5, 3]).get, ("qkv", "bias"))]
    qkv, bias = (value.requires_grad_() for value in inputs)
    spread = spread_bias(bias, layout)

    def gradient():
        output = attend(qkv, spread, layout) + attend(2 * qkv, spread, layout)
        (grad,) = torch.autograd.grad(output.square().sum(), bias)
        return grad

    torch.testing.assert_close(gradient(), gradient())


def test_draws_of_dropout_do_not_depend_on_one_another():
    _, layout = layouts([64])
    qkv = torch.zeros(64, 3, 2, 64, device=DEVICE)  # every weight is 1/64
    qkv[:, 2] = torch.eye(64, device=DEVICE)[:, None]  # outputs are the weights

    def kept(seed):
        torch.manual_seed(seed)
        return (attend(qkv, None, layout, 0.5) > 0).double() * 2 - 1  # query, head, key

    first, second = kept(5), kept(6)
    products = {
        "queries": first[1:] * first[:-1],
        "heads": first[:, 0] * first[:, 1],
        "keys": first[..., 1:] * first[..., :-1],
        "three keys": first[..., 2:] * first[..., 1:-1] * first[..., :-2],
        "four keys": first[..., ::4] * first[..., 1::4] * first[..., 2::4] * first[..., 3::4],
        "seeds": first * second,
    }
    for name, product in products.items():
        assert product.mean().abs() * product.numel() ** 0.5 < 4, name  # standard deviations
