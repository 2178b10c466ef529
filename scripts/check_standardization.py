"""Standardization measured on many particles, against NumPy's quantiles of all values.

    python scripts/check_standardization.py --particles 6000000

Columns of several shapes are counted in chunks, as a training does, and compared in units of the
width of the middle 68 %: the median and both ends of that width. The memory that the counts take is
shown beside.
"""

import argparse

import numpy as np

from parttag.jets.value_counts import ValueCounts

SHARES = (0.16, 0.5, 0.84)
CHUNK = 500_000


def columns(number: int) -> dict[str, np.ndarray]:
    """Return columns as detectors have them, in single precision."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=number)
    values = {
        "normal": normal,
        "far from zero (250 ± 0.5)": 250 + 0.5 * normal,
        "impact parameter, long tails of both signs": np.sinh(3 * normal) * 1e-2,
        "momentum, seven decades": np.exp(4 * normal),
        "number of hits": rng.poisson(12, size=number),
    }
    return {name: column.astype(np.float32) for name, column in values.items()}


def main() -> None:
    """Compare, and say the largest difference of each column."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--particles", type=int, default=6_000_000)
    number = parser.parse_args().particles
    for name, values in columns(number).items():
        counts = ValueCounts()
        for start in range(0, number, CHUNK):
            counts.add(values[start : start + CHUNK])
        exact = np.quantile(values.astype(np.float64), SHARES)
        found = np.array([counts.quantile(share) for share in SHARES])
        difference = np.abs(found - exact).max() / (exact[2] - exact[0])
        size = counts.to_table().nbytes / 1e6
        print(f"{name}: {difference:.1e} of the width, {size:.1f} MB")


if __name__ == "__main__":
    main()
