"""A batch of jets in torch: ``JetBatch``, the only thing that is passed to a network.

Its particles are packed as those of ``JetArrays``. A four-momentum is (px, py, pz, E) in GeV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from parttag.jets.arrays import PER_JET, PER_PARTICLE, JetArrays
from parttag.jets.columns import column_names, torch_column
from parttag.jets.fields import JetFields, rows_per
from parttag.jets.kinds import KindLimits, MaxParticles
from parttag.jets.one_buffer import move_together, pin_together
from parttag.jets.packing import offsets_of, places
from parttag.jets.summary import as_html, as_text, in_words, listed


class PaddedParticles(NamedTuple):
    """The padded view of a batch; padded slots hold zeros."""

    p4: Float[Tensor, "jets slots 4"]
    extra: Float[Tensor, "jets slots extras"]
    mask: Bool[Tensor, "jets slots"]
    """True = real particle."""


@dataclass(frozen=True, eq=False)
class JetBatch(JetFields[Tensor]):
    """A batch of jets in torch: the only thing passed to a model.

    ``p4`` and ``extra`` may have more rows than there are particles (a bucket, so that shapes
    repeat): rows from ``offsets[-1]`` on hold anything and mean nothing. ``lengths`` stays on the
    host, so that padding and grouping never wait for the device. ``labels`` are class indices, −1
    where the class is unknown. The rest is as in ``JetArrays``.
    """

    labels: Int64[Tensor, " jets"] = field(metadata=rows_per("jet", "<i8"))
    lengths: Int64[np.ndarray, " jets"]

    def __post_init__(self) -> None:
        """Take tensors of no columns where none are given."""
        for name in ("columns", "jet_columns"):
            if getattr(self, name) is None:
                empty = self.p4.new_empty((0, 0), dtype=torch.uint8)
                object.__setattr__(self, name, empty)

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return as_text("JetBatch", self._parts())

    def _repr_html_(self) -> str:
        return as_html("JetBatch", self._parts())

    def _parts(self) -> dict[str, str]:
        classes, counts = np.unique(self.labels.cpu().numpy(), return_counts=True)
        found = zip(classes.tolist(), counts.tolist(), strict=True)
        return {
            "": f"{len(self):,} jets, {in_words(self.num_particles)} particles on {self.device}",
            "extra": listed(self.extra_names),
            "classes": listed([f"{name} {number:,}" for name, number in found]),
        }

    @property
    def num_particles(self) -> int:
        """Number of particles, known on the host; at most the number of rows."""
        return int(self.lengths.sum())

    @property
    def has_filling(self) -> bool:
        """Whether there are rows beyond the last particle, or may be."""
        return len(self.p4) > self.num_particles

    @property
    def max_length(self) -> int:
        """Number of particles of the longest jet; 0 for an empty batch."""
        return int(self.lengths.max(initial=0))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.p4.device

    @property
    def particle_column_names(self) -> tuple[str, ...]:
        """All particle columns besides the four-momentum."""
        return (*self.extra_names, *column_names(self.column_types))

    def particle_column(self, name: str) -> Shaped[Tensor, " rows"]:
        """Return a particle column in its own type; there must be one of that name."""
        if name in self.extra_names:
            return self.extra[:, self.extra_names.index(name)]
        return torch_column(self.columns, self.column_types, name)

    def jet_column(self, name: str) -> Shaped[Tensor, " jets"]:
        """Return a column of the jets in its own type; there must be one of that name."""
        return torch_column(self.jet_columns, self.jet_column_types, name)

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
        device = torch.device(device)
        tensors = self._tensors()
        if device.type == "cuda" and self.device.type == "cpu":
            tensors = move_together(tensors, device) or tensors

        def move(tensor: Tensor) -> Tensor:
            target = dtype if tensor.is_floating_point() else None
            return tensor.to(device=device, dtype=target, non_blocking=True)

        changes: dict[str, Any] = {name: move(tensor) for name, tensor in tensors.items()}
        return replace(self, **changes)

    def pin_memory(self) -> JetBatch:
        """Return the batch in one buffer of page-locked memory: one copy takes it to a GPU."""
        changes: dict[str, Any] = dict(pin_together(self._tensors()))
        return replace(self, **changes)

    def _tensors(self) -> dict[str, Tensor]:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def span(self, start: int, stop: int) -> JetBatch:
        """Return jets ``start`` to ``stop`` as views: no particle is copied."""
        before = int(self.lengths[:start].sum())
        own = slice(before, before + int(self.lengths[start:stop].sum()))
        names, of_jets = self.held(PER_PARTICLE), self.held(PER_JET)
        particles: dict[str, Any] = {name: getattr(self, name)[own] for name in names}
        jets: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in of_jets}
        return replace(
            self,
            offsets=self.offsets[start : stop + 1] - before,
            lengths=self.lengths[start:stop],
            **particles,
            **jets,
        )

    def take(self, jets: Int64[np.ndarray, " chosen"]) -> JetBatch:
        """Return these jets, in this order."""
        lengths = self.lengths[jets]
        offsets = offsets_of(lengths)
        first = offsets_of(self.lengths)[jets] - offsets[:-1]
        rows = self._move(np.repeat(first, lengths) + np.arange(offsets[-1]))
        chosen = self._move(jets)
        return replace(
            self,
            offsets=self._move(offsets),
            lengths=lengths,
            **{name: getattr(self, name).index_select(0, rows) for name in self.held(PER_PARTICLE)},
            **{name: getattr(self, name).index_select(0, chosen) for name in self.held(PER_JET)},
        )

    def keep_particles(self, keep: Bool[np.ndarray, " particles"]) -> JetBatch:
        """Return the batch with only the particles where ``keep`` is true."""
        kept = np.flatnonzero(keep)
        offsets = offsets_of(keep.astype(np.int64))[offsets_of(self.lengths)]
        rows = self._move(kept)
        return replace(
            self,
            offsets=self._move(offsets),
            lengths=np.diff(offsets),
            **{name: getattr(self, name)[rows] for name in self.held(PER_PARTICLE)},
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
    starts = offsets_of([part.num_particles for part in parts])[1:-1]
    later = [part.offsets[1:] + int(n) for part, n in zip(parts[1:], starts, strict=True)]
    tensors: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in parts[0].held((*PER_PARTICLE, *PER_JET))
    }
    offsets = torch.cat([parts[0].offsets, *later])
    return replace(parts[0], lengths=lengths, offsets=offsets, **tensors)


def make_batch(
    jets: JetArrays,
    class_labels: Int64[np.ndarray, " jets"] | None = None,
    max_particles: MaxParticles = None,
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
    of_kinds = isinstance(max_particles, KindLimits)
    if of_kinds or (max_particles is not None and lengths.max(initial=0) > max_particles):
        jets = jets.take(np.arange(len(jets)), max_particles)
        lengths = jets.lengths
    if class_labels is None:
        class_labels = np.full(len(jets), -1, dtype=np.int64)
    tensor = _owned if copy else torch.from_numpy
    names = jets.held((*PER_PARTICLE, "offsets", *PER_JET))
    arrays: dict[str, np.ndarray] = {name: getattr(jets, name) for name in names}
    tensors: dict[str, Any] = {
        name: tensor(values) for name, values in (arrays | {"labels": class_labels}).items()
    }
    return JetBatch(
        extra_names=jets.extra_names,
        column_types=jets.column_types,
        jet_column_types=jets.jet_column_types,
        kinds=jets.kinds,
        lengths=lengths,
        **tensors,
    )


def _owned(values: np.ndarray) -> Tensor:
    """Return a copy as a tensor, made by NumPy.

    Torch would copy on many threads; a second team of threads, in the loader's, makes OpenMP put
    the first one to sleep between operations, which halves the rate of a training on a CPU.
    """
    return torch.from_numpy(values.copy())
