"""Attention on packed jets against its definition, torch's own, and finite differences."""

import numpy as np
import pytest
import torch

from helpers.alive import count_alive
from parttag.ops.attention import attend, class_attend, grouped, spread_bias
from parttag.ops.attention.reference import attend_reference
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import FLOAT64

LENGTHS = {
    "mixed": [3, 1, 0, 16, 17, 5, 40, 2],
    "one jet": [7],
    "single particles": [1, 1, 1],
    "long and short": [200, 128, 127, 1, 2],
}


def random_inputs(lengths, heads=4, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    layout = JetLayout(np.array(lengths))
    rows = int(sum(lengths))
    shape = (rows, 3, heads, width)
    qkv = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(
        heads, layout.num_pairs, generator=generator, dtype=torch.float64, requires_grad=True
    )
    return layout, qkv, bias


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_attention_is_its_definition_forwards_and_backwards(lengths):
    layout, qkv, bias = random_inputs(lengths)
    expected = attend_reference(qkv, bias, layout)
    output = attend(qkv, spread_bias(bias, layout), layout)
    torch.testing.assert_close(output, expected, **FLOAT64)
    grad = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(output, (qkv, bias), grad),
        torch.autograd.grad(expected, (qkv, bias), grad),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, **FLOAT64)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_attention_without_bias_is_that_with_a_bias_of_zero(lengths):
    layout, qkv, bias = random_inputs(lengths)
    expected = attend_reference(qkv, torch.zeros_like(bias), layout)
    output = attend(qkv, None, layout)
    torch.testing.assert_close(output, expected, **FLOAT64)
    grad = torch.randn_like(expected)
    (ours,), (theirs,) = (torch.autograd.grad(x, qkv, grad) for x in (output, expected))
    torch.testing.assert_close(ours, theirs, **FLOAT64)


def test_the_definition_is_torchs_attention():
    layout, qkv, bias = random_inputs([9])
    dense = torch.zeros(4, 9, 9, dtype=torch.float64)
    i, j = torch.tril_indices(9, 9)
    dense[:, i, j] = dense[:, j, i] = bias.detach()
    q, k, v = qkv.detach().permute(1, 2, 0, 3)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=dense)
    output = attend_reference(qkv.detach(), bias.detach(), layout)
    torch.testing.assert_close(output, expected.transpose(0, 1), **FLOAT64)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_those_of_finite_differences(dropout):
    layout, qkv, bias = random_inputs([3, 1, 0, 4], heads=2, width=2)

    def function(qkv, bias):
        torch.manual_seed(1)  # the same attention weights are dropped at every call
        return attend(qkv, spread_bias(bias, layout), layout, dropout)

    assert torch.autograd.gradcheck(function, (qkv, bias))


def test_dropout_keeps_the_mean():
    layout, qkv, bias = random_inputs([12], heads=1, width=1)
    with torch.no_grad():
        spread = spread_bias(bias, layout)
        expected = attend(qkv, spread, layout)
        torch.manual_seed(2)
        draws = torch.stack([attend(qkv, spread, layout, 0.2) for _ in range(2000)])
    error = draws.std(dim=0) / 2000**0.5
    assert ((draws.mean(dim=0) - expected).abs() < 5 * error).all()


def test_without_gradients_no_group_is_kept(monkeypatch):
    layout, qkv, bias = random_inputs([40, 40, 20, 20, 10, 10, 5, 5])
    alive = count_alive(monkeypatch, grouped, "_by_head")
    output = attend(qkv, spread_bias(bias, layout), layout)
    assert max(alive) == len(layout.groups)  # for the way back
    del output
    alive.clear()
    with torch.no_grad():
        attend(qkv, spread_bias(bias, layout), layout)
    assert max(alive) <= 2 < len(layout.groups)


def test_padded_keys_get_no_weight_and_pairs_go_to_both_their_cells():
    layout = JetLayout(np.array([2, 3, 3, 3]))
    bias = torch.arange(21, dtype=torch.float64)[None]
    (cells,) = spread_bias(bias, layout)  # the longest jets come first
    assert cells[0, 0].tolist() == [[3, 4, 6], [4, 5, 7], [6, 7, 8]]
    assert cells[0, 3, :2, :2].tolist() == [[0, 1], [1, 2]]
    assert cells[0, 3, :, 2].tolist() == [-torch.inf] * 3


def test_a_batch_without_particles_has_no_groups():
    layout, qkv, bias = random_inputs([0, 0])
    spread = spread_bias(bias, layout)
    assert spread == ()
    assert attend(qkv, spread, layout).shape == (0, 4, 6)


def test_a_class_query_sees_itself_and_the_particles_of_its_jet():
    lengths, heads, width = [4, 0, 7], 3, 5
    layout = JetLayout(np.array(lengths))
    torch.manual_seed(0)
    query = torch.randn(3, heads, width, dtype=torch.float64)
    own = torch.randn(3, 2, heads, width, dtype=torch.float64)
    particles = torch.randn(11, 2, heads, width, dtype=torch.float64)
    output = class_attend(query, own, particles, layout)
    for jet, rows in enumerate((particles[:4], particles[4:4], particles[4:])):
        keys, values = torch.cat([own[jet : jet + 1], rows]).permute(1, 2, 0, 3)
        expected = torch.nn.functional.scaled_dot_product_attention(
            query[jet][:, None], keys, values
        )[:, 0]
        torch.testing.assert_close(output[jet], expected, **FLOAT64)


def test_class_attention_has_the_gradients_of_finite_differences():
    layout = JetLayout(np.array([2, 0, 3]))
    torch.manual_seed(0)
    inputs = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 2, 2), (3, 2, 2, 2), (5, 2, 2, 2))
    ]
    assert torch.autograd.gradcheck(lambda *x: class_attend(*x, layout), inputs)
