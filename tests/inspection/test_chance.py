"""Distances by chance: two samples of one distribution lie within them, others beyond."""

import numpy as np

from parttag.inspection.chance import by_chance
from parttag.inspection.compare import distance


def test_samples_of_one_distribution_are_as_far_apart_as_by_chance():
    rng = np.random.default_rng(0)
    pulls = []
    for seed in range(40):
        first, second = rng.exponential(2.0, 400), rng.exponential(2.0, 700)
        both = np.concatenate([first, second])
        found = distance("x", first, second, np.ones(400), np.ones(700))
        chance = by_chance(both, np.ones(1100), (400, 700), spread=second.std(), seed=seed)
        pulls.append(
            [
                (found.wasserstein - chance.wasserstein.value) / chance.wasserstein.error,
                (found.kolmogorov_smirnov - chance.kolmogorov_smirnov.value)
                / chance.kolmogorov_smirnov.error,
            ]
        )
    assert (np.abs(np.mean(pulls, axis=0)) < 4 / np.sqrt(40)).all()
    assert (np.abs(np.std(pulls, axis=0) - 1) < 0.5).all()


def test_many_jets_are_scaled_from_fewer():
    values = np.random.default_rng(1).normal(size=40_000)
    chance = by_chance(values, np.ones(40_000), (40_000, 40_000), spread=1.0)
    # The mean of √n D is √(π/2) ln 2 (Kolmogorov), of two samples with n/2.
    expected = np.sqrt(np.pi / 2) * np.log(2) / np.sqrt(20_000)
    np.testing.assert_allclose(chance.kolmogorov_smirnov.value, expected, rtol=0.1)


def test_weights_make_chance_larger():
    values, weights = np.random.default_rng(2).normal(size=(2, 2000))
    equal = by_chance(values, np.ones(2000), (1000, 1000), spread=1.0)
    heavy = by_chance(values, np.exp(weights), (1000, 1000), spread=1.0)
    assert heavy.wasserstein.value > 1.2 * equal.wasserstein.value
