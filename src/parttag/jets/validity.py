"""Bad jets, by one rule, and the name of a jet in messages."""

import numpy as np
from jaxtyping import Bool, Int8

from parttag.jets.arrays import JetArrays, split_index, split_rows

FAULTS = (
    "no particles",
    "non-finite momentum",
    "negative energy",
    "momentum above energy",
    "no transverse momentum",
)
"""What can be wrong with a jet; the first that fits is counted."""

# |p| may exceed E by this share: rounding of massless particles stays far below it.
_MASS_SHELL_TOLERANCE = 1e-4
# In GeV. The squares of larger components are infinite in single precision.
_LARGEST = 1e18
# For tests in single precision, well inside the two.
_HALF_TOLERANCE, _LARGE = np.float32(1 + _MASS_SHELL_TOLERANCE / 2), np.float32(_LARGEST / 2)


def valid_jets(jets: JetArrays) -> Bool[np.ndarray, " jets"]:
    """Return which jets can be used; ``jet_faults`` says what is wrong with the others."""
    return jet_faults(jets) < 0


def jet_faults(jets: JetArrays) -> Int8[np.ndarray, " jets"]:
    """Return the position in ``FAULTS`` of what is wrong with each jet, −1 where nothing is.

    A jet is bad if it has no particles; if a component of a particle's or of its own momentum, or
    its axis, is not finite (or its square would not be); if an energy is negative; if a particle
    has |p| − E > 10⁻⁴·E; or if its own transverse momentum or energy is zero, which the features
    divide by.
    """
    faults = np.full(len(jets), -1, dtype=np.int8)
    rows = np.flatnonzero(_suspects(jets))
    if len(rows):
        faults[rows] = _judge(jets.take(rows))
    return faults


def _suspects(jets: JetArrays) -> Bool[np.ndarray, " jets"]:
    """Return which jets may be bad, by quick tests that all good ones pass but for rounding."""
    with np.errstate(invalid="ignore", over="ignore"):
        energy, jet_energy = jets.p4[:, 3], jets.jet_p4[:, 3]
        square = np.einsum("ij,ij->i", jets.p4[:, :3], jets.p4[:, :3])
        # Written so that what is not a number fails. The momentum is no larger than the energy.
        fine = (square <= (energy * _HALF_TOLERANCE) ** 2) & (energy >= 0) & (energy < _LARGE)
        pt2 = np.einsum("ij,ij->i", jets.jet_p4[:, :2], jets.jet_p4[:, :2])
        finite = np.isfinite(jets.jet_axis).all(axis=1) & _finite(jets.jet_p4)
        suspects: Bool[np.ndarray, " jets"] = ~((pt2 > 0) & (jet_energy > 0) & finite) | (
            jets.lengths == 0
        )
    if not fine.all():
        suspects |= _any_of(jets, ~fine)
    return suspects


def _judge(jets: JetArrays) -> Int8[np.ndarray, " jets"]:
    p4, jet_p4 = jets.p4.astype(np.float64), jets.jet_p4.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        momentum = np.sqrt((p4[:, :3] ** 2).sum(axis=1))
        excess = momentum - p4[:, 3] > _MASS_SHELL_TOLERANCE * p4[:, 3]
        no_pt = (np.hypot(jet_p4[:, 0], jet_p4[:, 1]) == 0) | (jet_p4[:, 3] == 0)
    finite_jet = _finite(jet_p4) & np.isfinite(jets.jet_axis).all(axis=1)
    conditions = (
        jets.lengths == 0,
        _any_of(jets, ~_finite(p4)) | ~finite_jet,
        _any_of(jets, p4[:, 3] < 0) | (jet_p4[:, 3] < 0),
        _any_of(jets, excess),
        no_pt,
    )
    faults = np.full(len(jets), -1, dtype=np.int8)
    for position, condition in reversed(list(enumerate(conditions))):
        faults[condition] = position
    return faults


def source_name(jets: JetArrays, position: int = 0) -> str:
    """Return the file that a jet comes from; any of the files where there are no jets."""
    file, _ = split_index(jets.index[position : position + 1])
    return jets.sources[file[0] if len(file) else 0]


def jet_name(jets: JetArrays, position: int) -> str:
    """Return how a message calls a jet: its file, and its row or event there."""
    _, row = split_index(jets.index[position : position + 1])
    return f"{source_name(jets, position)}, {row_name(int(row[0]))}"


def row_name(row: int) -> str:
    """Return how a message calls a row of ``split_index``."""
    entry, number = split_rows(np.array([row]))
    return f"jet {row}" if number[0] < 0 else f"jet {number[0]} of event {entry[0]}"


def _finite(p4: np.ndarray) -> np.ndarray:
    finite: np.ndarray = (np.abs(p4) < _LARGEST).all(axis=1)
    return finite


def _any_of(
    jets: JetArrays, particles: Bool[np.ndarray, " particles"]
) -> Bool[np.ndarray, " jets"]:
    """Return which jets own one of the marked particles."""
    marked = np.zeros(len(jets), dtype=bool)
    rows = np.flatnonzero(particles)
    marked[np.searchsorted(jets.offsets, rows, side="right") - 1] = True
    return marked
