"""Attention between two packed lists against the definition, jet by jet."""

import numpy as np
import pytest
import torch

from parttag.ops.attention.cross import cross_attend, make_cross_layout
from parttag.testing.tolerances import FLOAT64

QUERIES = np.array([1, 4, 0, 9, 3, 3, 2])
KEYS = np.array([5, 30, 4, 1, 0, 3, 28])


def lists(num_queries, num_keys, seed=0):
    """Return random queries, and keys with values, of two heads of width three."""
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64, "requires_grad": True}
    query = torch.randn(int(num_queries.sum()), 2, 3, **options)
    return query, torch.randn(int(num_keys.sum()), 2, 2, 3, **options)


def by_definition(query, keys, num_queries, num_keys, causal):
    outputs = []
    splits = zip(query.split(num_queries.tolist()), keys.split(num_keys.tolist()), strict=True)
    for q, kv in splits:
        logits = torch.einsum("qhw,khw->hqk", q, kv[:, 0]) / 3**0.5
        if causal:
            later = torch.ones(len(q), len(kv)).triu(diagonal=1).bool()
            logits = logits.masked_fill(later, -torch.inf)
        weights = logits.softmax(dim=2) if len(kv) else logits
        outputs.append(torch.einsum("hqk,khw->qhw", weights, kv[:, 1]))
    return torch.cat(outputs)


@pytest.mark.parametrize(
    ("num_queries", "num_keys", "causal"),
    [(QUERIES, KEYS, False), (KEYS, KEYS, True), (QUERIES, QUERIES, False)],
    ids=["two lists", "causal", "one list"],
)
def test_outputs_and_gradients_are_those_of_the_definition(num_queries, num_keys, causal):
    query, keys = lists(num_queries, num_keys)
    layout = make_cross_layout(num_queries, num_keys, causal=causal)
    results = []
    for output in (
        cross_attend(query, keys, layout),
        by_definition(query, keys, num_queries, num_keys, causal),
    ):
        gradients = torch.autograd.grad(output.square().sum(), (query, keys))
        results.append([output, *gradients])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, **FLOAT64)


def test_a_query_with_nothing_to_look_at_gets_zeros():
    query, keys = lists(QUERIES, KEYS)
    output = cross_attend(query, keys, make_cross_layout(QUERIES, KEYS))
    of_jet = output.split(QUERIES.tolist())
    assert not of_jet[4].any()
    assert all(part.ne(0).all() for number, part in enumerate(of_jet) if number != 4)


@pytest.mark.parametrize(("num_queries", "num_keys"), [([], []), ([2, 0], [0, 0])])
def test_without_anything_to_look_at_there_is_still_a_gradient(num_queries, num_keys):
    num_queries, num_keys = (np.array(n, dtype=np.int64) for n in (num_queries, num_keys))
    query, keys = lists(num_queries, num_keys)
    output = cross_attend(query, keys, make_cross_layout(num_queries, num_keys))
    assert output.shape == query.shape
    output.sum().backward()
    assert query.grad is not None and not query.grad.any()
    assert keys.grad is not None and not keys.grad.any()


def test_only_jets_of_similar_numbers_are_padded_together():
    rng = np.random.default_rng(0)
    num_queries, num_keys = rng.integers(1, 60, (2, 2000))
    groups = make_cross_layout(num_queries, num_keys).groups
    padded = sum(g.query_rows.numel() * g.key_rows.shape[1] for g in groups)
    assert (num_queries * num_keys).sum() > 0.8 * padded
    assert len(groups) < 500


def test_jets_whose_numbers_go_together_make_few_groups():
    lengths = np.arange(1, 129).repeat(8)
    groups = make_cross_layout(lengths, lengths, causal=True).groups
    assert len(groups) < 40


def test_a_causal_list_has_as_many_keys_as_queries():
    with pytest.raises(ValueError, match="as many keys as queries"):
        make_cross_layout(QUERIES, KEYS, causal=True)
