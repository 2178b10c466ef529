"""Jets in NumPy, as readers return them and stores hold them: ``JetArrays``. Needs no torch.

Particles are *packed*: those of all jets one after the other, without padding, jet ``b`` owning the
rows ``offsets[b]:offsets[b + 1]``. Within a jet, particles are in order of falling pT. A
four-momentum is (px, py, pz, E) in GeV. ``JetBatch`` is the same in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int, Int64, UInt8

from parttag.jets.packing import offsets_of, take_packed

# A jet's index packs where it came from into one integer: file number above, row below.
_ROW_BITS = 40


def make_index(file_number: int, rows: Int64[np.ndarray, " jets"]) -> Int64[np.ndarray, " jets"]:
    """Return the index of the given rows of the file that is number ``file_number`` of its set."""
    return (np.int64(file_number) << _ROW_BITS) | rows


def split_index(
    index: Int64[np.ndarray, " jets"],
) -> tuple[Int64[np.ndarray, " jets"], Int64[np.ndarray, " jets"]]:
    """Return file numbers and rows of an index."""
    return index >> _ROW_BITS, index & ((1 << _ROW_BITS) - 1)


@dataclass(frozen=True, eq=False)
class JetArrays:
    """Jagged jets in NumPy: what readers return and a JetStore holds.

    ``labels`` has one column a label branch of the file (1 where the jet carries it), named by
    ``label_names``; a configuration's classes turn it into one class index a jet. ``extra`` has one
    column for each of ``extra_names``: charge, particle-identity flags, and impact parameters with
    their errors in mm. ``jet_p4`` and ``jet_axis`` (η, φ) belong to the whole jet, before any
    truncation. ``index`` names source file and row; ``sources`` are the files it counts.
    """

    p4: Float32[np.ndarray, "particles 4"]
    extra: Float32[np.ndarray, "particles extras"]
    extra_names: tuple[str, ...]
    offsets: Int64[np.ndarray, " jets_and_one"]
    jet_p4: Float32[np.ndarray, "jets 4"]
    jet_axis: Float32[np.ndarray, "jets 2"]
    labels: UInt8[np.ndarray, "jets labels"]
    label_names: tuple[str, ...]
    jet_weights: Float32[np.ndarray, " jets"]
    index: Int64[np.ndarray, " jets"]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of particles of each jet."""
        return np.diff(self.offsets)

    def take(self, rows: Int[np.ndarray, " chosen"], max_particles: int | None = None) -> JetArrays:
        """Return the jets at ``rows``, in that order; repeats are allowed.

        With ``max_particles`` only so many of a jet's hardest particles are taken; the quantities
        of the jet stay those of all.
        """
        columns = (self.p4, self.extra)
        offsets, (p4, extra) = take_packed(columns, self.offsets, rows, max_particles)
        return replace(self, p4=p4, extra=extra, offsets=offsets, **self._per_jet(rows))

    def span(self, start: int, stop: int) -> JetArrays:
        """Return jets ``start`` to ``stop`` as views: no particle is copied."""
        offsets = self.offsets[start : stop + 1]
        particles = slice(int(offsets[0]), int(offsets[-1]))
        return replace(
            self,
            p4=self.p4[particles],
            extra=self.extra[particles],
            offsets=offsets - offsets[0],
            **self._per_jet(slice(start, stop)),
        )

    def without_extras(self) -> JetArrays:
        """Return the jets without the particle columns besides the four-momentum, as views."""
        return replace(self, extra=self.extra[:, :0], extra_names=())

    def _per_jet(self, rows: Int[np.ndarray, " chosen"] | slice) -> dict[str, Any]:
        return {name: getattr(self, name)[rows] for name in PER_JET}


PER_JET = ("jet_p4", "jet_axis", "labels", "jet_weights", "index")
"""The fields that have one entry a jet, besides the offsets."""


@runtime_checkable
class TakesJets(Protocol):
    """Whatever jets can be taken from by row."""

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: int | None = None, /
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order."""
        ...


def concatenate(parts: Sequence[JetArrays]) -> JetArrays:
    """Return the jets of all parts, one after the other.

    The parts must agree in ``extra_names``, ``label_names`` and ``sources``: a reader that makes
    parts from several files gives them all the same list of sources.

    Raises
    ------
    ValueError
        If there is no part, or two parts disagree in a name.
    """
    if not parts:
        raise ValueError("no jets to concatenate")
    head = parts[0]
    for name in ("extra_names", "label_names", "sources"):
        if any(getattr(part, name) != getattr(head, name) for part in parts):
            raise ValueError(f"the parts disagree in {name}")
    if len(parts) == 1:
        return head
    lengths = np.concatenate([part.lengths for part in parts])
    return replace(head, offsets=offsets_of(lengths), **_joined(parts))


def take_from_parts(
    part: Callable[[int], TakesJets],
    starts: Int[np.ndarray, " parts_and_one"],
    rows: Int[np.ndarray, " chosen"],
    max_particles: int | None = None,
) -> JetArrays:
    """Return the jets at ``rows`` of a set in several parts, in that order; repeats are allowed.

    Parameters
    ----------
    part
        Returns the part of a number; asked for those only that hold some of the rows.
    starts
        Number of the first jet of each part, and the number of all jets at the end.
    """
    part_of_row = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(part_of_row, kind="stable")
    numbers, begins = np.unique(part_of_row[order], return_index=True)
    if len(numbers) < 2:
        number = int(numbers[0]) if len(numbers) else 0
        return part(number).take(rows - starts[number], max_particles)
    # Gather part by part, then put the jets back into the order asked for.
    pieces = [
        part(int(number)).take(own - starts[number], max_particles)
        for number, own in zip(numbers, np.split(rows[order], begins[1:]), strict=True)
    ]
    return concatenate(pieces).take(np.argsort(order))


def _joined(parts: Sequence[JetArrays]) -> dict[str, Any]:
    names = ("p4", "extra", *PER_JET)
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
