"""Weaver's inputs of jets in JetClass's layout, restated in NumPy from ``JetClass_kin.yaml``.

Nothing of parttag is used: what the two sides share is the file alone.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import uproot

LENGTH = 128
BRANCHES = (
    *("part_px", "part_py", "part_pz", "part_energy", "part_deta", "part_dphi"),
    *("jet_pt", "jet_energy"),
)


def read_inputs(path: Path) -> dict[str, np.ndarray]:
    """Return ``pf_features`` (jets, 7, 128), ``pf_vectors`` (jets, 4, 128) and ``pf_mask``."""
    with uproot.open(path) as file:
        jets = file["tree"].arrays(list(BRANCHES))
    rows = [_one_jet({name: np.asarray(jet[name]) for name in BRANCHES}) for jet in jets]
    features, vectors, mask = (np.stack(values) for values in zip(*rows, strict=True))
    return {"pf_features": features, "pf_vectors": vectors, "pf_mask": mask}


def _one_jet(jet: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pt = np.hypot(jet["part_px"], jet["part_py"])
    features = [
        _standardize(np.log(pt), 1.7, 0.7),
        _standardize(np.log(jet["part_energy"]), 2.0, 0.7),
        _standardize(np.log(pt / jet["jet_pt"]), -4.7, 0.7),
        _standardize(np.log(jet["part_energy"] / jet["jet_energy"]), -4.7, 0.7),
        _standardize(np.hypot(jet["part_deta"], jet["part_dphi"]), 0.2, 4.0),
        jet["part_deta"],
        jet["part_dphi"],
    ]
    vectors = [jet[name] for name in BRANCHES[:4]]
    mask = (np.arange(LENGTH) < len(pt)).astype(np.float32)
    return _wrap(features), _wrap(vectors), mask[None]


def _standardize(values: np.ndarray, center: float, scale: float) -> np.ndarray:
    return np.clip((values - np.float32(center)) * np.float32(scale), -5, 5)


def _wrap(rows: list[np.ndarray]) -> np.ndarray:
    """Fill the padding as weaver does, with the jet's own particles over again."""
    values = np.stack(rows).astype(np.float32)
    return values[:, np.arange(LENGTH) % values.shape[1]]
