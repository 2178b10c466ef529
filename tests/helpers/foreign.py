"""An ntuple of another experiment: other names, MeV and micrometers, and the YAML that reads it."""

from dataclasses import replace

import awkward as ak
import numpy as np

from parttag.jets.arrays import JetArrays

FOREIGN = """
tree: analysis/Nominal
particles:
  pt: constit_pt
  eta: constit_eta
  phi: constit_phi
  mass: constit_m
  unit: MeV
  charge: constit_q
  is_photon: constit_isGamma
  d0: constit_d0
  d0_error: constit_d0Sigma
  length_unit: um
jet: {pt: fatjet_pt, eta: fatjet_eta, phi: fatjet_phi, mass: fatjet_m, unit: MeV}
labels: {branches: {label_top: isTop, label_QCD: isDijet}}
jet_weight: mcWeight
"""
EXTRAS = ("charge", "is_photon", "d0", "d0_error")


def signed_mass(p4: np.ndarray) -> np.ndarray:
    square = p4[:, 3] ** 2 - (p4[:, :3] ** 2).sum(axis=1)
    return np.sign(square) * np.sqrt(np.abs(square))


def coordinates(p4: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta, phi, rapidity, mass and energy in double precision."""
    p4 = p4.astype(np.float64)
    pt = np.hypot(p4[:, 0], p4[:, 1])
    mass = signed_mass(p4)
    return {
        **dict(zip(("px", "py", "pz", "energy"), p4.T.copy(), strict=True)),
        "pt": pt,
        "eta": np.arcsinh(p4[:, 2] / pt),
        "phi": np.arctan2(p4[:, 1], p4[:, 0]),
        "mass": mass,
        "rapidity": np.arcsinh(p4[:, 2] / np.sqrt(pt**2 + mass * np.abs(mass))),
    }


def massive(jets: JetArrays) -> JetArrays:
    """Return the jets with particles of 140 MeV each."""
    p4 = jets.p4.astype(np.float64)
    p4[:, 3] = np.sqrt((p4[:, :3] ** 2).sum(axis=1) + 0.14**2)
    sums = np.array([part.sum(axis=0) for part in np.split(p4, jets.offsets[1:-1])])
    return replace(jets, p4=p4.astype(np.float32), jet_p4=sums.astype(np.float32))


def foreign_branches(jets: JetArrays, dtype: type = np.float64) -> dict[str, object]:
    """Return the jets as a foreign ntuple has them: other names, MeV and micrometers."""
    particles, jet = coordinates(jets.p4), coordinates(jets.jet_p4)
    extra = {name: jets.extra[:, jets.extra_names.index(name)] for name in EXTRAS}
    flat = {
        "constit_pt": 1e3 * particles["pt"],
        "constit_eta": particles["eta"],
        "constit_phi": particles["phi"],
        "constit_m": 1e3 * particles["mass"],
        "constit_q": extra["charge"],
        "constit_isGamma": extra["is_photon"],
        "constit_d0": 1e3 * extra["d0"].astype(np.float64),
        "constit_d0Sigma": 1e3 * extra["d0_error"].astype(np.float64),
    }
    lists = {n: ak.unflatten(v.astype(dtype), jets.lengths) for n, v in flat.items()}
    return {
        "eventNumber": np.arange(len(jets)),
        **lists,
        "fatjet_pt": 1e3 * jet["pt"],
        "fatjet_eta": jet["eta"],
        "fatjet_phi": jet["phi"],
        "fatjet_m": 1e3 * jet["mass"],
        "isTop": jets.labels[:, 0] == 1,
        "isDijet": jets.labels[:, 1].astype(np.int32),
        "mcWeight": np.linspace(0.5, 1.5, len(jets)),
    }
