"""Weaver's inputs of jets in JetClass's layout, restated in NumPy from ``JetClass_*.yaml``.

Nothing of parttag is used: what the two sides share is the file alone.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import uproot

LENGTH = 128
KINEMATIC = (
    *("part_px", "part_py", "part_pz", "part_energy", "part_deta", "part_dphi"),
    *("jet_pt", "jet_energy"),
)
IDENTITY = (
    *("part_charge", "part_isChargedHadron", "part_isNeutralHadron"),
    *("part_isPhoton", "part_isElectron", "part_isMuon"),
)
TRACK = ("part_d0val", "part_d0err", "part_dzval", "part_dzerr")
BRANCHES = {"kin": KINEMATIC, "kinpid": KINEMATIC + IDENTITY, "full": KINEMATIC + IDENTITY + TRACK}


def read_inputs(path: Path, features: str = "kin") -> dict[str, np.ndarray]:
    """Return ``pf_points``, ``pf_features``, ``pf_vectors`` and ``pf_mask``, (jets, …, 128)."""
    branches = BRANCHES[features]
    with uproot.open(path) as file:
        jets = file["tree"].arrays(list(branches))
    rows = [_one_jet({name: np.asarray(jet[name]) for name in branches}) for jet in jets]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _one_jet(jet: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    pt = np.hypot(jet["part_px"], jet["part_py"])
    features = [
        _standardize(np.log(pt), 1.7, 0.7),
        _standardize(np.log(jet["part_energy"]), 2.0, 0.7),
        _standardize(np.log(pt / jet["jet_pt"]), -4.7, 0.7),
        _standardize(np.log(jet["part_energy"] / jet["jet_energy"]), -4.7, 0.7),
        _standardize(np.hypot(jet["part_deta"], jet["part_dphi"]), 0.2, 4.0),
    ]
    if "part_charge" in jet:
        features += [jet[name] for name in IDENTITY]
    if "part_d0val" in jet:
        features += [
            *(np.tanh(jet["part_d0val"]), np.clip(jet["part_d0err"], 0, 1)),
            *(np.tanh(jet["part_dzval"]), np.clip(jet["part_dzerr"], 0, 1)),
        ]
    angles = [jet["part_deta"], jet["part_dphi"]]
    mask = (np.arange(LENGTH) < len(pt)).astype(np.float32)
    return {
        "pf_points": _wrap(angles),
        "pf_features": _wrap([*features, *angles]),
        "pf_vectors": _wrap([jet[name] for name in KINEMATIC[:4]]),
        "pf_mask": mask[None],
    }


def _standardize(values: np.ndarray, center: float, scale: float) -> np.ndarray:
    return np.clip((values - np.float32(center)) * np.float32(scale), -5, 5)


def _wrap(rows: list[np.ndarray]) -> np.ndarray:
    """Fill the padding as weaver does, with the jet's own particles over again."""
    values = np.stack(rows).astype(np.float32)
    return values[:, np.arange(LENGTH) % values.shape[1]]
