"""Quantiles of any number of values in one pass and bounded memory, the same for any split of them.

Values in single precision are counted by their bits in the order of the values. When there are more
different ones than are kept, the last bit of all is dropped. How many bits are dropped follows from
the set of all values alone: parts of it have no more different values than the whole. So the
counts of parts, merged, are the counts of the whole to the last digit, in whatever order.

As long as there are no more than ``most`` different values the quantiles are exact. Beyond that
they lie within one step, which is a share of the value itself: 1/25,000 where values lie within 40
octaves, 1/2,000 where they fill all that single precision has.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, UInt32

MOST_VALUES = 1 << 20
"""Different values that are kept: 12 MB."""


class ValueCounts:
    """How often each value occurs.

    Parameters
    ----------
    most
        Different values that are kept.

    Attributes
    ----------
    num_missing
        Values that were not finite, which count nowhere else.
    low, high
        The smallest and the largest value.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self.most = most
        self.num_missing = 0
        self.low, self.high = np.inf, -np.inf
        self._keys: UInt32[np.ndarray, " different"] = np.empty(0, dtype=np.uint32)
        self._counts: Int64[np.ndarray, " different"] = np.empty(0, dtype=np.int64)
        self._dropped_bits = 0

    def __len__(self) -> int:
        """Return how many finite values there were."""
        return int(self._counts.sum())

    def add(self, values: Float[np.ndarray, " values"]) -> None:
        """Count more values, in single precision."""
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
        finite = values[np.isfinite(values)] + np.float32(0)  # −0 is 0
        self.num_missing += len(values) - len(finite)
        if not len(finite):
            return
        self.low = min(self.low, float(finite.min()))
        self.high = max(self.high, float(finite.max()))
        keys, counts = np.unique(_keys_of(finite) >> self._dropped_bits, return_counts=True)
        self._join(keys, counts.astype(np.int64))

    def merge(self, other: ValueCounts) -> None:
        """Count the values of another too."""
        self.num_missing += other.num_missing
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        bits = max(self._dropped_bits, other._dropped_bits)
        self._drop(bits)
        keys, counts = _coarser(other._keys, other._counts, bits - other._dropped_bits)
        self._join(keys, counts)

    def quantile(self, share: float) -> float:
        """Return the value below which this share of all lies, as ``numpy.quantile`` does."""
        place = share * (len(self) - 1)
        below = int(np.floor(place))
        after = np.cumsum(self._counts)
        first, second = (
            self._value(int(np.searchsorted(after, rank, side="right")))
            for rank in (below, min(below + 1, len(self) - 1))
        )
        return first + (second - first) * (place - below)

    def to_table(self) -> Int64[np.ndarray, "rows 2"]:
        """Return everything as whole numbers, which can be sent to other ranks."""
        low_high = np.array([self.low, self.high]).view(np.int64)
        head = [[self._dropped_bits, self.num_missing], low_high]
        body = np.stack([self._keys.astype(np.int64), self._counts], axis=1)
        return np.concatenate([np.array(head, dtype=np.int64), body])

    @classmethod
    def of_table(cls, table: Int64[np.ndarray, "rows 2"], most: int = MOST_VALUES) -> ValueCounts:
        """Return what ``to_table`` was made of."""
        counts = cls(most)
        counts._dropped_bits, counts.num_missing = map(int, table[0])
        counts.low, counts.high = table[1].copy().view(np.float64).tolist()
        counts._keys, counts._counts = table[2:, 0].astype(np.uint32), table[2:, 1].copy()
        return counts

    def _join(
        self, keys: UInt32[np.ndarray, " different"], counts: Int64[np.ndarray, " different"]
    ) -> None:
        both = np.concatenate([self._keys, keys])
        self._keys, self._counts = _summed(both, np.concatenate([self._counts, counts]))
        while len(self._keys) > self.most:
            self._drop(self._dropped_bits + 1)

    def _drop(self, bits: int) -> None:
        more = bits - self._dropped_bits
        self._keys, self._counts = _coarser(self._keys, self._counts, more)
        self._dropped_bits = bits

    def _value(self, number: int) -> float:
        """Return the middle of the values that one key stands for."""
        begin = int(self._keys[number]) << self._dropped_bits
        key = np.array([begin + (1 << self._dropped_bits) // 2], dtype=np.uint32)
        negative = key < 0x80000000
        bits = np.where(negative, ~key, key & np.uint32(0x7FFFFFFF)).astype(np.uint32)
        return float(np.clip(bits.view(np.float32)[0], self.low, self.high))


def _keys_of(values: Float[np.ndarray, " values"]) -> UInt32[np.ndarray, " values"]:
    """Return whole numbers in the order of the values, a different one for each."""
    bits = values.view(np.uint32)
    keys: np.ndarray = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    return keys


def _coarser(
    keys: UInt32[np.ndarray, " different"], counts: Int64[np.ndarray, " different"], bits: int
) -> tuple[UInt32[np.ndarray, " fewer"], Int64[np.ndarray, " fewer"]]:
    return _summed(keys >> np.uint32(bits), counts) if bits else (keys, counts)


def _summed(
    keys: UInt32[np.ndarray, " all"], counts: Int64[np.ndarray, " all"]
) -> tuple[UInt32[np.ndarray, " different"], Int64[np.ndarray, " different"]]:
    """Return each key once, in order, with the sum of its counts."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    return keys[first], np.add.reduceat(counts[order], np.flatnonzero(first))
