"""FastJet on a batch of events at once, through its awkward interface."""

from __future__ import annotations

import awkward as ak
import numpy as np

from parttag.jets.clustered import Jets
from parttag.jets.packing import offsets_of
from parttag.samples.simulation.detectors.energy_flow import EnergyFlow
from parttag.samples.simulation.packages import require_packages


def hard_jets(flow: EnergyFlow, num_events: int, radius: float, min_pt: float) -> Jets:
    """Return the anti-kT jets above ``min_pt`` (GeV), those of one event after the other.

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
    constituents = clusters.constituent_index(min_pt=min_pt)

    event = np.repeat(np.arange(num_events), ak.to_numpy(ak.num(constituents)))
    rows = ak.flatten(constituents, axis=1) + (np.cumsum(lengths) - lengths)[event]
    offsets = offsets_of(ak.to_numpy(ak.num(rows)))
    particle = ak.to_numpy(ak.flatten(rows))
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
