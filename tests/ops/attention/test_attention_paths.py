"""Every implementation of attention in plain torch against the float64 definition, ‖a − b‖/‖b‖."""

import numpy as np
import pytest
import torch

from helpers.poison import poison_new_memory
from parttag.ops.attention import attend, class_attend, spread_bias
from parttag.ops.attention.reference import attend_reference
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import KERNEL_BFLOAT16, KERNEL_FLOAT32

PATHS = ["reference", "torch", "padded"]
PRECISIONS = [(torch.float32, KERNEL_FLOAT32), (torch.bfloat16, KERNEL_BFLOAT16)]
LENGTHS = [[1], [2], [16], [17], [127], [128], [200], [256], [3, 0, 17, 1, 40, 0, 2, 16, 128], [0]]
HEADS, WIDTH = 2, 16


def random_inputs(lengths, dtype):
    """Return queries, keys and values in this precision; a bias is float32 whatever they are."""
    generator = torch.Generator().manual_seed(0)
    rows, pairs = sum(lengths), sum(n * (n + 1) // 2 for n in lengths)
    qkv = torch.randn(rows, 3, HEADS, WIDTH, generator=generator).to(dtype)
    return [x.requires_grad_() for x in (qkv, torch.randn(HEADS, pairs, generator=generator))]


def output_and_gradients(function, inputs):
    output = function(*inputs)
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    gradients = torch.autograd.grad(output, inputs, weights.to(output.dtype), allow_unused=True)
    return [output, *(g for g in gradients if g is not None)]


def two_layers(path, lengths, dropout=0.0):
    layout = JetLayout(np.array(lengths), path=path)

    def run(qkv, bias):
        spread = spread_bias(bias, layout)
        return sum(attend(qkv * scale, spread, layout, dropout) for scale in (1.0, 0.5))

    return run


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float32", "bfloat16"])
def test_outputs_and_gradients_are_those_of_the_definition(path, lengths, dtype, tolerance):
    inputs = random_inputs(lengths, dtype)
    layout = JetLayout(np.array(lengths))

    def definition(qkv, bias):
        # The scaled queries are rounded as the network rounds them.
        halves = (qkv * 0.5).to(dtype).double()
        return sum(attend_reference(x, bias, layout) for x in (qkv, halves))

    wide = [x.detach().double().requires_grad_() for x in inputs]
    expected = output_and_gradients(definition, wide)
    for ours, theirs in zip(
        output_and_gradients(two_layers(path, lengths), inputs), expected, strict=False
    ):
        assert (ours.double() - theirs).norm() <= tolerance * theirs.norm()


@pytest.mark.parametrize("lengths", [[1], [17], [200], [3, 0, 17, 1], [0]], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float32", "bfloat16"])
def test_class_attention_keeps_its_precision(lengths, dtype, tolerance):
    layout = JetLayout(np.array(lengths))
    torch.manual_seed(0)
    shapes = ((len(lengths), 2, 16), (len(lengths), 2, 2, 16), (sum(lengths), 2, 2, 16))
    inputs = [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]
    wide = [x.detach().double().requires_grad_() for x in inputs]
    results = (output_and_gradients(lambda *x: class_attend(*x, layout), x) for x in (inputs, wide))
    for ours, theirs in zip(*results, strict=True):
        assert (ours.double() - theirs).norm() <= tolerance * theirs.norm()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_two_runs_with_one_seed_agree(path, dropout):
    lengths = [3, 0, 17, 40]
    runs = []
    for _ in range(2):
        torch.manual_seed(4)
        inputs = random_inputs(lengths, torch.float32)
        runs.append(output_and_gradients(two_layers(path, lengths, dropout), inputs))
    assert all(first.equal(second) for first, second in zip(*runs, strict=True))


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_read_before_it_is_written(path, monkeypatch):
    poison_new_memory(monkeypatch)
    lengths = [3, 0, 17, 18]
    inputs = random_inputs(lengths, torch.float32)
    results = output_and_gradients(two_layers(path, lengths, 0.2), inputs)
    assert all(value.isfinite().all() for value in results)
