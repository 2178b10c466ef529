"""A whole data set on one device, where batches are gathered."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int

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


class ResidentJets:
    """All jets of a data set as tensors on a device.

    Where in them a jet's particles lie is known on the host too, at 8 bytes a jet, so that nobody
    waits for the device: it is sent 32 bytes a jet of a batch, and gathers the rest itself.

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
        chunks: dict[str, list[torch.Tensor]] = {n: [] for n in self._per_particle + self._per_jet}
        lengths = []
        for start in range(0, len(dataset), _CHUNK_JETS):
            stop = min(start + _CHUNK_JETS, len(dataset))
            classes = dataset.classes[start:stop].astype(np.int64)
            batch = make_batch(dataset.read([(start, stop)]), classes, limits)
            lengths.append(batch.lengths)
            for name, tensors in chunks.items():
                tensors.append(getattr(batch, name).to(device))
        self._offsets = offsets_of(np.concatenate(lengths))
        # One after the other, so that no more than one of them is there twice.
        self._tensors = {name: torch.cat(chunks.pop(name)) for name in list(chunks)}

    def batch(self, rows: Int[np.ndarray, " chosen"]) -> JetBatch:
        """Return the jets at ``rows``, in that order, with at most ``max_particles`` each."""
        starts = self._offsets[rows]
        lengths = self._offsets[rows + 1] - starts
        if self._most is not None:
            lengths = np.minimum(lengths, self._most)
        offsets = offsets_of(lengths)
        plan = torch.zeros((4, len(rows) + 1), dtype=torch.int64)
        plan[0] = torch.from_numpy(offsets)
        for line, values in enumerate((rows, starts - offsets[:-1], lengths), 1):
            plan[line, :-1] = torch.from_numpy(values)
        if self.device.type == "cuda":
            plan = plan.pin_memory()
        plan = plan.to(self.device, non_blocking=True)
        jet, shift, repeats = plan[1:, :-1]
        # With ``output_size`` the device need not be asked how many particles there are.
        total = int(offsets[-1])
        particle = torch.repeat_interleave(shift, repeats, output_size=total)
        particle += torch.arange(total, device=self.device)
        tensors: dict[str, Any] = {
            name: self._tensors[name][particle] for name in self._per_particle
        }
        tensors |= {name: self._tensors[name][jet] for name in self._per_jet}
        return JetBatch(
            extra_names=self.extra_names,
            offsets=plan[0],
            lengths=lengths,
            column_types=self.column_types,
            jet_column_types=self.jet_column_types,
            kinds=self.kinds,
            **tensors,
        )


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
