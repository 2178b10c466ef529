"""Data configurations in weaver-core's format, written from its meaning."""

from pathlib import Path

import yaml

_FEATURES = [
    *(["part_pt_log", 1.7, 0.7], ["part_e_log", 2.0, 0.7], ["part_logptrel", -4.7, 0.7]),
    *(["part_logerel", -4.7, 0.7], ["part_deltaR", 0.2, 4.0], "part_deta", "part_dphi"),
]


def group(variables: list, length: int = 64, pad_mode: str = "wrap") -> dict:
    """Return a group of inputs."""
    return {"length": length, "pad_mode": pad_mode, "vars": variables}


def write_weaver_file(path: Path, **changes) -> Path:
    """Write a configuration of kinematic features in JetClass's branches, sections changed."""
    content = {
        "new_variables": {
            "part_mask": "ak.ones_like(part_energy)",
            "part_pt": "np.hypot(part_px, part_py)",
            "part_pt_log": "np.log(part_pt)",
            "part_e_log": "np.log(part_energy)",
            "part_logptrel": "np.log(part_pt/jet_pt)",
            "part_logerel": "np.log(part_energy/jet_energy)",
            "part_deltaR": "np.hypot(part_deta, part_dphi)",
        },
        "inputs": {
            "pf_points": group(["part_deta", "part_dphi"]),
            "pf_features": group(_FEATURES),
            "pf_vectors": group(["part_px", "part_py", "part_pz", "part_energy"]),
            "pf_mask": group(["part_mask"], pad_mode="constant"),
        },
        "labels": {"type": "simple", "value": ["label_QCD", "label_top"]},
        "observers": ["jet_pt"],
    }
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path
