import numpy as np
import pytest
import torch

from parttag.ops.attention.causal import KeyValues, attend_causally, attend_next
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import FLOAT64

LENGTHS = np.array([3, 1, 0, 12, 7, 12, 2])
HEADS, WIDTH = 2, 4


def random_qkv(number: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (number, 3, HEADS, WIDTH)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def restatement(qkv: torch.Tensor, lengths: np.ndarray) -> torch.Tensor:
    """Query by query: the softmax over what is not later."""
    rows = []
    for start, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
        for query in range(start, start + length):
            q, (k, v) = qkv[query, 0], qkv[start : query + 1, 1:].unbind(dim=1)
            weights = ((q * k).sum(dim=-1) / WIDTH**0.5).softmax(dim=0)
            rows.append((weights[..., None] * v).sum(dim=0))
    return torch.stack(rows)


def test_attention_and_its_gradient_are_those_of_the_restatement():
    qkv = random_qkv(LENGTHS.sum())
    results = []
    for attend in (
        lambda x: attend_causally(x, JetLayout(LENGTHS)),
        lambda x: restatement(x, LENGTHS),
    ):
        x = qkv.clone().requires_grad_()
        output = attend(x)
        output.sin().sum().backward()
        results.append((output.detach(), x.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_later_tokens_change_nothing_before_them(dtype):
    qkv = random_qkv(24).to(dtype)
    groups = JetLayout(np.array([10, 14]))
    changed = qkv.clone()
    changed[6:10], changed[20:] = -3.0, 1e10
    before, after = (attend_causally(x, groups) for x in (qkv, changed))
    kept = [*range(6), *range(10, 20)]
    torch.testing.assert_close(after[kept], before[kept], rtol=0, atol=0)


def test_without_tokens_there_is_nothing_but_a_gradient():
    qkv = random_qkv(0).requires_grad_()
    output = attend_causally(qkv, JetLayout(np.array([0, 0])))
    assert output.shape == (0, HEADS, WIDTH)
    output.sum().backward()
    assert qkv.grad.shape == qkv.shape


def test_token_by_token_is_all_at_once_and_jets_may_leave():
    lengths = np.array([5, 5, 5])
    qkv = random_qkv(15)
    together = attend_causally(qkv, JetLayout(lengths)).unflatten(0, (3, 5))
    qkv = qkv.unflatten(0, (3, 5))
    past = KeyValues(3, 5, HEADS, WIDTH, qkv)
    for place in range(3):
        torch.testing.assert_close(attend_next(qkv[:, place], past), together[:, place], **FLOAT64)
    past.keep(torch.tensor([2, 0]))
    for place in (3, 4):
        torch.testing.assert_close(
            attend_next(qkv[[2, 0], place], past), together[[2, 0], place], **FLOAT64
        )
