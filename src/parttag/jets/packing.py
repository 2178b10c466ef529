"""Values of jets packed one after the other, without padding: where they lie, and how to take some.

Jet ``b`` owns the rows ``offsets[b]:offsets[b + 1]``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Integer, Shaped

from parttag.jets import kinematics

# If more of the jets than this share are taken, their particles are copied jet by jet.
_MANY = 0.1
# Files are sorted by a pT of more digits than the components they store: a step up by no more than
# this share is rounding, and leaves the file's order as it is.
_ORDER_TOLERANCE = 1e-6


def offsets_of(
    lengths: Integer[np.ndarray, " jets"] | Sequence[int],
) -> Int64[np.ndarray, " jets_and_one"]:
    """Return where each jet of these lengths begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def places(lengths: Int64[np.ndarray, " jets"]) -> Int64[np.ndarray, " particles"]:
    """Return the place of each particle in its jet: 0 for the one of highest pT."""
    starts = np.cumsum(lengths) - lengths
    place: np.ndarray = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return place


def falling_pt(
    p4: Float[np.ndarray, "particles 4"], offsets: Int64[np.ndarray, " jets_and_one"]
) -> Int64[np.ndarray, " particles"] | slice:
    """Return the rows that put each jet's particles in order of falling pT.

    Equal particles keep their order, and so do whole jets that are in order already; if all are,
    the answer is a slice over everything, so that nothing is copied.
    """
    pt = kinematics.pt(p4)
    rises = pt[1:] > pt[:-1] * (1 + _ORDER_TOLERANCE)
    ends = offsets[1:-1]
    rises[ends[(ends > 0) & (ends < len(pt))] - 1] = False  # from one jet to the next
    if not rises.any():
        return slice(None)
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    unsorted = np.zeros(len(offsets) - 1, dtype=bool)
    unsorted[jet[1:][rises]] = True
    rows = np.flatnonzero(unsorted[jet])
    order = np.arange(len(p4))
    order[rows] = rows[np.lexsort((-pt[rows], jet[rows]))]
    return order


def padding(p4: Float[np.ndarray, "slots 4"]) -> Bool[np.ndarray, " slots"]:
    """Return which slots hold no particle: neither momentum nor energy."""
    empty: np.ndarray = p4[:, 3] == 0
    if empty.any():  # of most files none is: one column is enough to see it
        empty[empty] = ~p4[empty].any(axis=1)
    return empty


def without(
    slots: Bool[np.ndarray, " slots"], offsets: Int64[np.ndarray, " jets_and_one"]
) -> Int64[np.ndarray, " jets_and_one"]:
    """Return where each jet begins once these slots are left out, and where the last one ends."""
    left_out = offsets_of(slots.astype(np.int64))
    kept: np.ndarray = offsets - left_out[offsets]
    return kept


def jet_sums(
    p4: Float[np.ndarray, "particles 4"], offsets: Int64[np.ndarray, " jets_and_one"]
) -> Float64[np.ndarray, "jets 4"]:
    """Return the sum of each jet's particles, added in double precision."""
    num_jets = len(offsets) - 1
    jet = np.repeat(np.arange(num_jets), np.diff(offsets))
    sums = [np.bincount(jet, weights=p4[:, i], minlength=num_jets) for i in range(4)]
    return np.stack(sums, axis=1).astype(np.float64, copy=False)  # integers where there is nothing


def jet_medians(
    values: Float64[np.ndarray, " particles"], offsets: Int64[np.ndarray, " jets_and_one"]
) -> Float64[np.ndarray, " jets"]:
    """Return the median of each jet's values; infinite for a jet without particles."""
    lengths = np.diff(offsets)
    # Sorting the padded table is several times faster than sorting the jagged values.
    table = np.full((len(lengths), int(lengths.max(initial=1))), np.inf)
    table[np.arange(table.shape[1]) < lengths[:, None]] = values
    table.sort(axis=1)
    jet = np.arange(len(lengths))
    median: np.ndarray = (table[jet, (lengths - 1) // 2] + table[jet, lengths // 2]) / 2
    return median


def take_packed(
    columns: Sequence[Shaped[np.ndarray, "particles ..."]],
    offsets: Int64[np.ndarray, " jets_and_one"],
    rows: Int[np.ndarray, " chosen"],
    max_particles: int | None = None,
) -> tuple[Int64[np.ndarray, " chosen_and_one"], list[Shaped[np.ndarray, "taken ..."]]]:
    """Return the offsets and the columns of the jets at ``rows``, in that order.

    With ``max_particles`` only so many of a jet's particles are taken, the first ones.
    """
    # Not the lengths of all jets: that would read the offsets of every one, chosen or not.
    starts = offsets[:-1][rows]
    lengths = offsets[1:][rows] - starts
    if max_particles is not None:
        lengths = np.minimum(lengths, max_particles)
    taken_offsets = offsets_of(lengths)
    if len(rows) > _MANY * (len(offsets) - 1):
        runs = _Runs(offsets, rows, max_particles, int(taken_offsets[-1]))
        return taken_offsets, [runs.take(column) for column in columns]
    particles = np.repeat(starts - taken_offsets[:-1], lengths)
    particles += np.arange(taken_offsets[-1])
    # Of contiguous rows, ``np.take`` is ten times faster than indexing.
    return taken_offsets, [np.take(column, particles, axis=0) for column in columns]


class _Runs:
    """Copies the particles of some jets, a jet at a time, as Arrow copies texts of any length.

    That takes half the time of a copy particle by particle.
    """

    def __init__(
        self,
        offsets: Int64[np.ndarray, " jets_and_one"],
        rows: Int[np.ndarray, " chosen"],
        max_particles: int | None,
        num_particles: int,
    ) -> None:
        import pyarrow as pa  # in a tenth of a second, which those who take few jets save

        lengths = np.diff(offsets)
        if max_particles is not None and lengths.max(initial=0) > max_particles:
            # A jet that is too long counts as two, of which the second is not taken.
            long = lengths > max_particles
            rows = rows + (np.cumsum(long) - long)[rows]
            at = np.flatnonzero(long)
            offsets = np.insert(offsets, at + 1, offsets[at] + max_particles)
        self._offsets, self._num_particles = offsets, num_particles
        # From its bytes: of an array of NumPy, Arrow asks pandas, which takes a second to import.
        chosen = pa.py_buffer(np.ascontiguousarray(rows, dtype=np.int64))
        self._rows = pa.Array.from_buffers(pa.int64(), len(rows), [None, chosen])

    def take(self, values: Shaped[np.ndarray, "particles ..."]) -> Shaped[np.ndarray, "taken ..."]:
        """Return the particles of the jets, one after the other."""
        import pyarrow as pa

        shape = (self._num_particles, *values.shape[1:])
        if 0 in shape:
            return np.empty(shape, dtype=values.dtype)
        values = np.ascontiguousarray(values)
        buffers = [None, pa.py_buffer(self._offsets * values.strides[0]), pa.py_buffer(values)]
        jets = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self._offsets) - 1, buffers)
        _, _, data = jets.take(self._rows).buffers()
        taken = np.frombuffer(data, dtype=values.dtype, count=math.prod(shape))
        return taken.reshape(shape)
