"""A whole data set on one device, where batches are gathered."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64

from parttag.data.loading.dataset import JetDataset
from parttag.jets.arrays import PER_JET, PER_PARTICLE
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.kinds import KindLimits, MaxParticles
from parttag.jets.packing import offsets_of

Resident = bool | Literal["auto"]
"""Whether a data set is kept on the device; ``auto``: if that is a GPU with enough free memory."""

_CHUNK_JETS = 100_000
# Of a GPU's free memory, for ``auto``: the rest is for the network.
_SHARE_OF_MEMORY = 0.4
# Rows that are kept free for jets still to come, which may have more particles.
_ROOM = 1.05


class ResidentJets:
    """All jets of a data set as tensors on a device.

    Where in them a jet's particles lie is known on the host too, at 8 bytes a jet, so that nobody
    waits for the device: it is sent where a batch's jets and particles are, and gathers them.

    Parameters
    ----------
    dataset
        The jets.
    device
        Where they are kept.
    max_particles
        Keep so many particles of each jet, if a number for each kind is given: of which kind a
        particle is, the host does not know later.

    Raises
    ------
    InputError
        If a block of a store is not what was written.
    """

    def __init__(
        self, dataset: JetDataset, device: torch.device, max_particles: MaxParticles = None
    ) -> None:
        self.device = device
        sample = dataset.read([])
        self.extra_names = sample.extra_names
        self.column_types, self.jet_column_types = sample.column_types, sample.jet_column_types
        self.kinds = sample.kinds
        limits = max_particles if isinstance(max_particles, KindLimits) else None
        self._most = None if isinstance(max_particles, KindLimits) else max_particles
        self._per_particle, self._per_jet = sample.held(PER_PARTICLE), sample.held(PER_JET)
        self._tensors: dict[str, torch.Tensor] = {}
        lengths: list[np.ndarray] = []
        first = dict.fromkeys(self._per_particle + self._per_jet, 0)
        for start in range(0, len(dataset), _CHUNK_JETS):
            stop = min(start + _CHUNK_JETS, len(dataset))
            classes = dataset.classes[start:stop].astype(np.int64)
            batch = make_batch(dataset.read([(start, stop)]), classes, limits)
            lengths.append(batch.lengths)
            for name in first:
                first[name] = self._write(
                    name, first[name], getattr(batch, name), stop / len(dataset)
                )
        self._tensors = {name: tensor[: first[name]] for name, tensor in self._tensors.items()}
        self._offsets = offsets_of(np.concatenate(lengths))

    def _write(self, name: str, start: int, values: torch.Tensor, share: float) -> int:
        """Put the next values into their place; return where they end.

        There is no second copy of all of them, unless what is left has far more particles a jet
        than the ``share`` of the jets that has come.
        """
        stop = start + len(values)
        place = self._tensors.get(name)
        if place is None or len(place) < stop:
            rows = round(stop / share) if name in self._per_jet else int(_ROOM * stop / share) + 1
            larger = values.new_empty((rows, *values.shape[1:]), device=self.device)
            if place is not None:
                larger[:start] = place[:start]
            self._tensors[name] = place = larger
        place[start:stop].copy_(values)
        return stop

    def plan(
        self,
        rows: Int[np.ndarray, " chosen"],
        trim: Callable[[Int64[np.ndarray, " jets"]], Bool[np.ndarray, " particles"] | None]
        | None = None,
    ) -> "BatchPlan":
        """Return where in all jets a batch lies: the host's part of ``batch``, for any thread.

        Parameters
        ----------
        rows
            The jets, in order.
        trim
            Returns which of the particles are kept, from how many each jet has; ``None`` for all.
        """
        starts = self._offsets[rows]
        lengths = self._offsets[rows + 1] - starts
        if self._most is not None:
            lengths = np.minimum(lengths, self._most)
        offsets = offsets_of(lengths)
        particles = np.repeat(starts - offsets[:-1], lengths)
        particles += np.arange(offsets[-1])
        kept = None if trim is None else trim(lengths)
        if kept is not None:
            particles = particles[kept]
            offsets = offsets_of(kept.astype(np.int64))[offsets]
        numbers = torch.from_numpy(np.concatenate([offsets, rows, particles]))
        if self.device.type == "cuda":
            numbers = numbers.pin_memory()
        return BatchPlan(numbers, np.diff(offsets))

    def batch(self, plan: "BatchPlan") -> JetBatch:
        """Return the batch of a plan."""
        number = len(plan.lengths)
        numbers = plan.numbers.to(self.device, non_blocking=True)
        offsets, jet, particle = numbers.split([number + 1, number, len(numbers) - 2 * number - 1])
        tensors: dict[str, Any] = {
            name: self._tensors[name].index_select(0, particle) for name in self._per_particle
        }
        tensors |= {name: self._tensors[name].index_select(0, jet) for name in self._per_jet}
        return JetBatch(
            extra_names=self.extra_names,
            offsets=offsets,
            lengths=plan.lengths,
            column_types=self.column_types,
            jet_column_types=self.jet_column_types,
            kinds=self.kinds,
            **tensors,
        )


class BatchPlan(NamedTuple):
    """Where the jets of a batch lie among all: one array of the host, which is sent at once."""

    numbers: Int64[torch.Tensor, " numbers"]
    """Offsets of the batch, then the row of each jet, then that of each particle."""
    lengths: Int64[np.ndarray, " jets"]


def resident_device(
    wanted: Resident, dataset: JetDataset, device: torch.device
) -> torch.device | None:
    """Return the device that a data set is to be kept on; ``None`` if it is to be streamed."""
    if wanted == "auto":
        if device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(device)
        wanted = dataset.num_bytes < _SHARE_OF_MEMORY * free
    return device if wanted else None
