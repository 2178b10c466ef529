"""Matching of decays to jets: all visible products within the jet's radius."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from parttag.jets.clustered import Jets
from parttag.jets.kinematics import delta_phi, pt_eta_phi
from parttag.samples.simulation.generator import Decays
from parttag.samples.simulation.pairs import matches

NEUTRINOS = (12, 14, 16)  # |PDG id|


def held_decay(
    jets: Jets, decays: Decays, radius: float, *, parent_too: bool = False
) -> Int64[np.ndarray, " jets"]:
    """Return for each jet the decay that it holds, −1 for none.

    A jet holds a decay of its own event if all products but neutrinos, and on demand the parent
    before it decayed, are within ``radius`` of the jet's axis in (η, φ).
    """
    jet, decay = matches(jets.event, decays.event)
    _, jet_eta, jet_phi = pt_eta_phi(jets.p4)
    distance = _distance(decays.products[decay], jet_eta[jet, None], jet_phi[jet, None])
    near = distance < radius
    near |= np.isin(np.abs(decays.product_ids[decay]), NEUTRINOS)
    holds = near.all(axis=1)
    if parent_too:
        holds &= _distance(decays.parent[decay], jet_eta[jet], jet_phi[jet]) < radius
    found = np.full(len(jets), -1)
    found[jet[holds]] = decay[holds]
    return found


def _distance(
    p4: Float64[np.ndarray, "*shape 4"],
    eta: Float64[np.ndarray, "*#shape"],
    phi: Float64[np.ndarray, "*#shape"],
) -> Float64[np.ndarray, "*shape"]:
    _, own_eta, own_phi = pt_eta_phi(p4)
    distance: Float64[np.ndarray, "*shape"] = np.hypot(own_eta - eta, delta_phi(own_phi, phi))
    return distance
