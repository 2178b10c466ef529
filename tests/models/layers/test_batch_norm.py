"""Batch norm over packed rows against torch's own."""

import pytest
import torch

from parttag.models.layers import batch_norm
from parttag.models.layers.batch_norm import PackedBatchNorm


def both_norms():
    torch.manual_seed(0)
    ours, theirs = PackedBatchNorm(5).double(), torch.nn.BatchNorm1d(5).double()
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.uniform_(-1, 1)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("own_formula", [False, True])
def test_it_is_torchs_batch_norm(monkeypatch, own_formula):
    ours, theirs = both_norms()
    if own_formula:  # what several ranks use, on one
        monkeypatch.setattr(batch_norm, "num_ranks", lambda: 2)
    for seed in range(3):
        torch.manual_seed(seed)
        x = torch.randn(40, 5, dtype=torch.float64, requires_grad=True)
        grad = torch.randn(40, 5, dtype=torch.float64)
        results = []
        for norm in (ours, theirs):
            norm.zero_grad()
            y = norm(x)
            results.append([y, *torch.autograd.grad(y, (x, norm.weight, norm.bias), grad)])
        for own, expected in zip(*results, strict=True):
            torch.testing.assert_close(own, expected)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_sums_of_several_ranks_are_not_taken_in_bfloat16(monkeypatch):
    # One rank, by the formula of several, against torch in float32 on the same numbers.
    monkeypatch.setattr(batch_norm, "num_ranks", lambda: 2)
    torch.manual_seed(0)
    values = (3 + torch.randn(4000, 5)).to(torch.bfloat16)
    x, ours = values.clone().requires_grad_(), PackedBatchNorm(5)
    wide, theirs = values.float().requires_grad_(), torch.nn.BatchNorm1d(5)
    y, expected = ours(x), theirs(wide)
    assert y.dtype == torch.bfloat16
    grad = torch.randn_like(expected)
    y.backward(grad.to(y.dtype))
    expected.backward(grad)
    torch.testing.assert_close(y.float(), expected, rtol=2**-8, atol=1e-3)
    torch.testing.assert_close(x.grad.float(), wide.grad, rtol=2**-7, atol=0.01)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row_are_not_errors_and_leave_the_statistics(rows):
    norm = PackedBatchNorm(3)
    output = norm(torch.randn(rows, 3))
    assert output.shape == (rows, 3)
    torch.testing.assert_close(output, norm.bias.expand(rows, 3))
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert torch.equal(norm.running_var, torch.ones(3))
