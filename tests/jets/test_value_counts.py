"""Quantiles in one pass: against NumPy's of all values, and the same for any split of them."""

import numpy as np
import pytest

from parttag.jets.value_counts import ValueCounts

SHARES = (0.0, 0.16, 0.5, 0.84, 1.0)


def counted(parts, most=1 << 20):
    counts = ValueCounts(most)
    for part in parts:
        counts.add(part)
    return counts


def columns(number):
    rng = np.random.default_rng(5)
    normal = rng.normal(size=number)
    return {
        "normal": normal.astype(np.float32),
        "far from zero": (250 + 0.5 * normal).astype(np.float32),
        "long tails": np.exp(6 * normal).astype(np.float32),
        "both signs and long tails": np.sinh(4 * normal).astype(np.float32),
        "integers": rng.poisson(3, size=number).astype(np.float32),
    }


@pytest.mark.parametrize("name", columns(1))
def test_quantiles_are_numpys_as_long_as_all_different_values_are_kept(name):
    values = columns(20_000)[name]
    counts = counted(np.array_split(values, 7))
    assert [counts.quantile(share) for share in SHARES] == pytest.approx(
        np.quantile(values.astype(np.float64), SHARES).tolist(), rel=1e-12, abs=1e-12
    )


@pytest.mark.parametrize("name", columns(1))
def test_quantiles_of_more_values_than_are_kept_are_numpys_to_a_share_of_the_width(name):
    # Twenty times more values than are kept, as of 20M particles in a training.
    values = columns(400_000)[name]
    counts = counted(np.array_split(values, 9), most=1 << 15)
    exact = np.quantile(values.astype(np.float64), (0.16, 0.5, 0.84))
    found = np.array([counts.quantile(share) for share in (0.16, 0.5, 0.84)])
    # Of 2¹⁵ values a step is at most 1/64 of an octave, where they fill all; here far less.
    assert np.abs(found - exact).max() < 2e-2 * (exact[2] - exact[0])
    assert len(counts._keys) <= 1 << 15


def test_any_split_in_any_order_gives_the_same_counts():
    values = columns(60_000)["both signs and long tails"]
    values[:10] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1.0, 2.0, 3.0, np.nan]
    whole = counted([values], most=1000)
    parts = [counted([part], most=1000) for part in np.array_split(values, 5)]
    merged = ValueCounts(1000)
    for part in reversed(parts):
        merged.merge(ValueCounts.of_table(part.to_table(), 1000))
    assert np.array_equal(whole.to_table(), merged.to_table())
    in_order = counted(np.array_split(np.sort(values), 11), most=1000)
    assert np.array_equal(whole.to_table(), in_order.to_table())
    assert whole.num_missing == 4
    assert len(whole) == len(values) - 4
