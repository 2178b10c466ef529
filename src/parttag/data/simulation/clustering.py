"""FastJet on a batch of events at once, through its awkward interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import awkward as ak
import numpy as np
from jaxtyping import Float64, Int64

from parttag.data.simulation.detector import EnergyFlow
from parttag.data.simulation.packages import require_packages


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets with their particles packed; p4 in GeV.

    ``event`` numbers the event of each jet, ``p4`` is the sum of its particles. Jet ``b`` owns the
    rows ``offsets[b]:offsets[b + 1]`` of ``particles``, which are in order of falling pT.
    """

    event: Int64[np.ndarray, " jets"]
    p4: Float64[np.ndarray, "jets 4"]
    offsets: Int64[np.ndarray, " jets_and_one"]
    particles: Float64[np.ndarray, "particles 4"]

    def __len__(self) -> int:
        return len(self.event)

    @property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of particles of each jet."""
        return np.diff(self.offsets)

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> Jets:
        """Return the jets at ``rows``, in that order."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        shift = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        particles = self.particles[np.arange(offsets[-1]) + shift]
        return Jets(self.event[rows], self.p4[rows], offsets, particles)

    def truncate(self, num_particles: int) -> Jets:
        """Return the jets with at most so many particles, those of the highest pT."""
        rank = np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], self.lengths)
        offsets = _offsets(np.minimum(self.lengths, num_particles))
        return Jets(self.event, self.p4, offsets, self.particles[rank < num_particles])


def join(parts: Sequence[Jets]) -> Jets:
    """Return the jets of all parts, at least one, one after the other."""
    return Jets(
        event=np.concatenate([part.event for part in parts]),
        p4=np.concatenate([part.p4 for part in parts]),
        offsets=_offsets(np.concatenate([part.lengths for part in parts])),
        particles=np.concatenate([part.particles for part in parts]),
    )


def leading_jets(flow: EnergyFlow, num_events: int, radius: float, min_pt: float) -> Jets:
    """Return the anti-kT jet of highest pT of each event that has one above ``min_pt`` (GeV).

    Raises
    ------
    InputError
        If FastJet is not installed.
    """
    require_packages()
    import fastjet

    px, py, pz, energy = flow.p4.T.copy()
    momenta = ak.zip({"px": px, "py": py, "pz": pz, "E": energy})
    lengths = np.bincount(flow.event, minlength=num_events)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    clusters = fastjet.ClusterSequence(ak.unflatten(momenta, lengths), definition)
    jets = clusters.inclusive_jets(min_pt=min_pt)

    event = np.flatnonzero(ak.to_numpy(ak.num(jets)))
    pt2 = (jets.px**2 + jets.py**2)[event]
    leading = ak.to_numpy(ak.argmax(pt2, axis=1, mask_identity=False))
    constituents = clusters.constituent_index(min_pt=min_pt)[event]
    rows = constituents[np.arange(len(event)), leading] + (np.cumsum(lengths) - lengths)[event]
    offsets = _offsets(ak.to_numpy(ak.num(rows)))
    particles = flow.p4[ak.to_numpy(ak.flatten(rows))]
    jet = np.repeat(np.arange(len(event)), np.diff(offsets))
    order = np.lexsort((-np.hypot(particles[:, 0], particles[:, 1]), jet))
    particles = particles[order]
    return Jets(event, np.add.reduceat(particles, offsets[:-1]), offsets, particles)


def _offsets(lengths: Int64[np.ndarray, " items"]) -> Int64[np.ndarray, " items_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths)], dtype=np.int64)
