"""Jets of simulated events, by FastJet."""

from __future__ import annotations

import numpy as np

from parttag.jets.clustered import Jets
from parttag.jets.fastjet_clusters import cluster
from parttag.samples.simulation.detectors.energy_flow import EnergyFlow


def hard_jets(flow: EnergyFlow, num_events: int, radius: float, min_pt: float) -> Jets:
    """Return the anti-kT jets above ``min_pt`` (GeV), those of one event after the other.

    Raises
    ------
    InputError
        If FastJet is not installed.
    """
    lengths = np.bincount(flow.event, minlength=num_events)
    event, offsets, particle = cluster(flow.p4, lengths, radius=radius, min_pt=min_pt)
    jet = np.repeat(np.arange(len(event)), np.diff(offsets))
    order = np.lexsort((-np.hypot(flow.p4[particle, 0], flow.p4[particle, 1]), jet))
    particle = particle[order]
    particles = flow.p4[particle]
    p4 = np.add.reduceat(particles, offsets[:-1]) if len(event) else np.zeros((0, 4))
    columns = {name: column[particle] for name, column in flow.columns.items()}
    return Jets(event, p4, offsets, particles, columns)


def leading(jets: Jets) -> Jets:
    """Return the jet of highest pT of each event that has one."""
    order = np.lexsort((-np.hypot(jets.p4[:, 0], jets.p4[:, 1]), jets.event))
    _, first = np.unique(jets.event[order], return_index=True)
    return jets.take(order[first])
