"""What a set of jets is: ``JetArrays`` in NumPy, on disk and on the way; ``JetBatch`` in torch.

Both hold particles *packed*: those of all jets one after the other, without padding, jet ``b``
owning the rows ``offsets[b]:offsets[b + 1]``. Within a jet, particles are in order of falling pT.
A four-momentum is (px, py, pz, E) in GeV.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64, UInt8
from torch import Tensor

from parttag.packing import offsets_of, take_packed
from parttag.packing import places as places

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
        return {name: getattr(self, name)[rows] for name in _PER_JET}


_PER_JET = ("jet_p4", "jet_axis", "labels", "jet_weights", "index")


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
    names = ("p4", "extra", *_PER_JET)
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}


class PaddedParticles(NamedTuple):
    """The padded view of a batch; padded slots hold zeros."""

    p4: Float[Tensor, "jets slots 4"]
    extra: Float[Tensor, "jets slots extras"]
    mask: Bool[Tensor, "jets slots"]
    """True = real particle."""


@dataclass(frozen=True, eq=False)
class JetBatch:
    """A batch of jets in torch: the only thing passed to a model.

    ``p4`` and ``extra`` may have more rows than there are particles (a bucket, so that shapes
    repeat): rows from ``offsets[-1]`` on hold anything and mean nothing. ``lengths`` stays on the
    host, so that padding and grouping never wait for the device.
    """

    p4: Float[Tensor, "rows 4"]
    extra: Float[Tensor, "rows extras"]
    extra_names: tuple[str, ...]
    offsets: Int64[Tensor, " jets_and_one"]
    lengths: Int64[np.ndarray, " jets"]
    jet_p4: Float[Tensor, "jets 4"]
    jet_axis: Float[Tensor, "jets 2"]
    labels: Int64[Tensor, " jets"]
    jet_weights: Float[Tensor, " jets"]
    index: Int64[Tensor, " jets"]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def num_particles(self) -> int:
        """Number of particles, known on the host; at most the number of rows."""
        return int(self.lengths.sum())

    @property
    def max_length(self) -> int:
        """Number of particles of the longest jet; 0 for an empty batch."""
        return int(self.lengths.max(initial=0))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.p4.device

    @property
    def jet_of_particle(self) -> Int64[Tensor, " rows"]:
        """Number of the jet that owns each row; the number of jets for rows beyond the last."""
        if self.device.type == "cpu":  # where searching takes five times as long
            ends = torch.cat([self.offsets, self.offsets.new_tensor([len(self.p4)])])
            jets = torch.arange(len(self) + 1)
            return torch.repeat_interleave(jets, ends.diff(), output_size=len(self.p4))
        rows = torch.arange(len(self.p4), device=self.device)
        return torch.searchsorted(self.offsets[1:], rows, right=True)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> JetBatch:
        """Return the batch on ``device``, its floating-point fields in ``dtype`` if given."""

        def move(tensor: Tensor) -> Tensor:
            target = dtype if tensor.is_floating_point() else None
            return tensor.to(device=device, dtype=target, non_blocking=True)

        return self._map(move)

    def pin_memory(self) -> JetBatch:
        """Return the batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> JetBatch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changes: dict[str, Any] = {
            name: function(value) for name, value in values.items() if isinstance(value, Tensor)
        }
        return replace(self, **changes)

    def span(self, start: int, stop: int) -> JetBatch:
        """Return jets ``start`` to ``stop`` as views: no particle is copied."""
        before = int(self.lengths[:start].sum())
        particles = slice(before, before + int(self.lengths[start:stop].sum()))
        return replace(
            self,
            p4=self.p4[particles],
            extra=self.extra[particles],
            offsets=self.offsets[start : stop + 1] - before,
            lengths=self.lengths[start:stop],
            **self._jets_between(start, stop),
        )

    def _jets_between(self, start: int, stop: int) -> dict[str, Any]:
        return {name: getattr(self, name)[start:stop] for name in _PER_JET}

    def take(self, jets: Int64[np.ndarray, " chosen"]) -> JetBatch:
        """Return these jets, in this order."""
        lengths = self.lengths[jets]
        offsets = offsets_of(lengths)
        first = offsets_of(self.lengths)[jets] - offsets[:-1]
        rows = self._move(np.repeat(first, lengths) + np.arange(offsets[-1]))
        chosen = self._move(jets)
        return replace(
            self,
            p4=self.p4.index_select(0, rows),
            extra=self.extra.index_select(0, rows),
            offsets=self._move(offsets),
            lengths=lengths,
            **{name: getattr(self, name).index_select(0, chosen) for name in _PER_JET},
        )

    def keep_particles(self, keep: Bool[np.ndarray, " particles"]) -> JetBatch:
        """Return the batch with only the particles where ``keep`` is true."""
        kept = np.flatnonzero(keep)
        offsets = offsets_of(keep.astype(np.int64))[offsets_of(self.lengths)]
        rows = self._move(kept)
        return replace(
            self,
            p4=self.p4[rows],
            extra=self.extra[rows],
            offsets=self._move(offsets),
            lengths=np.diff(offsets),
        )

    def _move(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)

    def leading(self, number: int) -> JetBatch:
        """Return the batch with at most ``number`` particles of each jet, those of highest pT."""
        if self.max_length <= number:
            return self
        return self.keep_particles(places(self.lengths) < number)

    def pad(self, length: int | None = None) -> PaddedParticles:
        """Return p4, extra and mask with ``length`` slots a jet, by default the longest jet's.

        Longer jets are cut: as particles are in order of falling pT, the softest go.
        """
        rows, mask = self._slots(length)
        return PaddedParticles(_fill(self.p4, rows, mask), _fill(self.extra, rows, mask), mask)

    def pad_values(
        self, values: Float[Tensor, "_rows width"], length: int | None = None
    ) -> Float[Tensor, "jets slots width"]:
        """Return values of the particles, one row each, padded with zeros as ``pad`` does."""
        return _fill(values, *self._slots(length))

    def _slots(
        self, length: int | None
    ) -> tuple[Int64[Tensor, "jets slots"], Bool[Tensor, "jets slots"]]:
        """Return the row that fills each padded slot, and where there is one."""
        slots = torch.arange(self.max_length if length is None else length, device=self.device)
        rows = self.offsets[:-1, None] + slots
        mask = rows < self.offsets[1:, None]
        return torch.where(mask, rows, 0), mask


def _fill(values: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
    if len(values) == 0:  # nothing to gather from: every slot is padding
        return values.new_zeros(*mask.shape, values.shape[1])
    return torch.where(mask[..., None], values[rows], 0)


def join_batches(parts: Sequence[JetBatch]) -> JetBatch:
    """Return the jets of all parts, at least one, which agree in columns and device, as one batch.

    No part may have rows beyond its last particle.
    """
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([part.lengths for part in parts])
    starts = np.cumsum([part.num_particles for part in parts[:-1]])
    later = [part.offsets[1:] + int(n) for part, n in zip(parts[1:], starts, strict=True)]
    tensors: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("p4", "extra", *_PER_JET)
    }
    offsets = torch.cat([parts[0].offsets, *later])
    return replace(parts[0], lengths=lengths, offsets=offsets, **tensors)


def make_batch(
    jets: JetArrays,
    class_labels: Int64[np.ndarray, " jets"] | None = None,
    max_particles: int | None = None,
    *,
    copy: bool = True,
) -> JetBatch:
    """Return the batch of these jets on the CPU.

    Parameters
    ----------
    jets
        The jets, all of them.
    class_labels
        Class index of each jet; −1 (unknown) where not given.
    max_particles
        Keep only so many particles of the highest pT. Jet quantities stay those of the whole jet.
    copy
        If false, the batch shares the memory of the arrays, which must be writable.
    """
    lengths = jets.lengths
    if max_particles is not None and lengths.max(initial=0) > max_particles:
        jets = jets.take(np.arange(len(jets)), max_particles)
        lengths = jets.lengths
    if class_labels is None:
        class_labels = np.full(len(jets), -1, dtype=np.int64)
    tensor = _owned if copy else torch.from_numpy
    return JetBatch(
        p4=tensor(jets.p4),
        extra=tensor(jets.extra),
        extra_names=jets.extra_names,
        offsets=tensor(jets.offsets),
        lengths=lengths,
        jet_p4=tensor(jets.jet_p4),
        jet_axis=tensor(jets.jet_axis),
        labels=tensor(class_labels),
        jet_weights=tensor(jets.jet_weights),
        index=tensor(jets.index),
    )


def _owned(values: np.ndarray) -> Tensor:
    """Return a copy as a tensor, made by NumPy.

    Torch would copy on many threads; a second team of threads, in the loader's, makes OpenMP put
    the first one to sleep between operations, which halves the rate of a training on a CPU.
    """
    return torch.from_numpy(values.copy())
