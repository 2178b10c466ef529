"""What every reader does with packed particles: directions, order, sums and medians by jet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from parttag.jets.arrays import JetArrays
from parttag.jets.kinematics import TINY

# Files are sorted by a pT of more digits than the components they store: a step up by no more than
# this share is rounding, and leaves the file's order as it is.
_ORDER_TOLERANCE = 1e-6


def pack_jets(
    p4: Float[np.ndarray, "particles 4"],
    offsets: Int64[np.ndarray, " jets_and_one"],
    *,
    extra: Float[np.ndarray, "particles extras"],
    extra_names: Sequence[str],
    labels: UInt8[np.ndarray, "jets labels"],
    label_names: Sequence[str],
    path: Path,
    first_row: int,
    jet_p4: Float64[np.ndarray, "jets 4"] | None = None,
    jet_axis: Float64[np.ndarray, "jets 2"] | None = None,
    jet_weights: Float[np.ndarray, " jets"] | None = None,
) -> JetArrays:
    """Return the jets of these particles, put in order of falling pT, in single precision.

    Numbers beyond single precision become infinite, which makes their jet a bad one: no warning.

    Parameters
    ----------
    jet_p4
        The jets' own momenta; by default the sums of their particles.
    jet_axis
        η and φ that the particles' angles are relative to; by default those of ``jet_p4``.
    jet_weights
        By default 1.
    path, first_row
        The file, and the row of it that the first jet is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if jet_p4 is None:
            jet_p4 = jet_sums(p4, offsets)
        if jet_axis is None:
            jet_axis = np.stack(eta_phi(jet_p4), axis=1)
        if jet_weights is None:
            jet_weights = np.ones(len(jet_p4))
        order = falling_pt(p4, offsets)
        return JetArrays(
            p4=p4.astype(np.float32, copy=False)[order],
            extra=extra.astype(np.float32, copy=False)[order],
            extra_names=tuple(extra_names),
            offsets=offsets,
            jet_p4=jet_p4.astype(np.float32),
            jet_axis=jet_axis.astype(np.float32),
            labels=labels,
            label_names=tuple(label_names),
            jet_weights=jet_weights.astype(np.float32),
            index=first_row + np.arange(len(jet_p4), dtype=np.int64),
            sources=(str(path),),
        )


def eta_phi(
    p4: Float64[np.ndarray, "rows 4"],
) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
    """Return pseudorapidity and azimuth; finite for every finite momentum, as in ``kinematics``."""
    pt = np.maximum(np.hypot(p4[:, 0], p4[:, 1]), TINY)
    return np.arcsinh(p4[:, 2] / pt), np.arctan2(p4[:, 1], p4[:, 0])


def offsets_of(lengths: Int64[np.ndarray, " jets"]) -> Int64[np.ndarray, " jets_and_one"]:
    """Return the offsets of jets with these numbers of particles."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def falling_pt(
    p4: Float[np.ndarray, "particles 4"], offsets: Int64[np.ndarray, " jets_and_one"]
) -> Int64[np.ndarray, " particles"] | slice:
    """Return the rows that put each jet's particles in order of falling pT.

    Equal particles keep their order, and so do whole jets that are in order already; if all are,
    the answer is a slice over everything, so that nothing is copied.
    """
    pt = np.hypot(p4[:, 0], p4[:, 1])
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
