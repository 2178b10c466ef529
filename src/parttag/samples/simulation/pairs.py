"""All pairs of rows that belong together, without loops over groups."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def ranges(
    first: Int64[np.ndarray, " groups"], end: Int64[np.ndarray, " groups"]
) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
    """Return the numbers from ``first`` up to ``end`` of each group, after the group's number."""
    lengths = end - first
    group = np.repeat(np.arange(len(first)), lengths)
    return group, np.arange(len(group)) + (first - np.cumsum(lengths) + lengths)[group]


def matches(
    one: Int64[np.ndarray, " ones"], other: Int64[np.ndarray, " others"]
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Return the rows of all pairs of equal numbers, for example of the same event.

    ``other`` must be sorted. Pairs are in the order of ``one``, then of ``other``.
    """
    return ranges(*(np.searchsorted(other, one, side) for side in ("left", "right")))
