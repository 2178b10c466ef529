"""Small versions of scripts/coverage.py: intervals hold what they claim, on toys."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "coverage.py"


def load_script():
    spec = importlib.util.spec_from_file_location("coverage_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Data classes look their module up.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


coverage = load_script()


@pytest.mark.parametrize(
    ("num_signal", "num_background", "eps_s", "passing", "weights"),
    [
        (250, 5000, 0.5, 100, "equal"),  # .34 without what the signal jets leave open
        (250, 5000, 0.3, 5, "moderate"),
        (2000, 2000, 0.99, 300, "equal"),
        (5000, 5000, 0.5, 600, "equal"),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    num_signal, num_background, eps_s, passing, weights
):
    toys = coverage.Toys(num_signal, num_background, eps_s, passing, weights)
    found = coverage.cover(toys, 300)
    # Three standard deviations of 300 toys about what is asked for, 0.64 to 0.78, 0.93 to 0.98.
    assert 0.60 < found.one_sigma / found.toys < 0.84
    assert found.two_sigma / found.toys > 0.90


@pytest.mark.parametrize("weights", ["equal", "rising", "falling"])
def test_limits_are_true(weights):
    found = coverage.cover(coverage.Toys(1000, 1000, 0.5, 2, weights), 400)
    assert found.limits > 0
    # 5 % are allowed, and three standard deviations of 400 toys.
    assert found.false_limits / found.toys < 0.083


def test_intervals_hold_the_truth_in_bins_of_pt():
    for counts in coverage.cover_bins(40).values():
        assert 0.58 < counts.one_sigma / counts.toys < 0.80  # 200 bins


def test_a_table_over_seeds_is_hardly_biased_and_its_limits_are_true():
    bias, _ = coverage.tables(20, 60)
    # 6 % are allowed; R of one table varies by 25 %, its mean over 60 tables by 3 %.
    assert bias < 0.06 + 0.09
    _, false = coverage.tables(3, 100)
    assert false < 0.05 + 0.07


def test_sculpting_is_not_seen_where_there_is_none():
    for weights in ("equal", "falling"):
        assert coverage.false_alarms(weights, 100, 50) <= 0.12  # 2.4 % and three deviations
    truth, raw, excess = coverage.sculpting_bias(60, 30)
    assert abs(excess) < 0.05 < raw
    assert truth > 0.2
