"""weaver-core's data configurations for JetClass, as the Particle Transformer is trained with."""

import json

LENGTH = 128
LABELS = tuple(
    f"label_{name}"
    for name in ["QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"]
)
_NEW_VARIABLES = {
    "part_mask": "ak.ones_like(part_energy)",
    "part_pt": "np.hypot(part_px, part_py)",
    "part_pt_log": "np.log(part_pt)",
    "part_e_log": "np.log(part_energy)",
    "part_logptrel": "np.log(part_pt/jet_pt)",
    "part_logerel": "np.log(part_energy/jet_energy)",
    "part_deltaR": "np.hypot(part_deta, part_dphi)",
    "part_d0": "np.tanh(part_d0val)",
    "part_dz": "np.tanh(part_dzval)",
}
# Name, and what is subtracted, multiplied and clipped, where that is done.
_KINEMATIC = [
    ["part_pt_log", 1.7, 0.7],
    ["part_e_log", 2.0, 0.7],
    ["part_logptrel", -4.7, 0.7],
    ["part_logerel", -4.7, 0.7],
    ["part_deltaR", 0.2, 4.0],
]
_FLAGS = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
_IDENTITY = [["part_charge", None], *(["part_is" + flag, None] for flag in _FLAGS)]
_TRACK = [
    ["part_d0", None],
    ["part_d0err", 0, 1, 0, 1],
    ["part_dz", None],
    ["part_dzerr", 0, 1, 0, 1],
]
_ANGLES = [["part_deta", None], ["part_dphi", None]]
FEATURES = {"kin": _KINEMATIC + _ANGLES, "full": _KINEMATIC + _IDENTITY + _TRACK + _ANGLES}


def weaver_config(features: str) -> str:
    """Return the configuration for ``kin`` or ``full`` in JSON, which is YAML too."""

    def group(variables: list[list[object]], pad_mode: str = "wrap") -> dict[str, object]:
        return {"length": LENGTH, "pad_mode": pad_mode, "vars": variables}

    needed = {name for name, *_ in FEATURES[features]} | {"part_mask", "part_pt"}
    return json.dumps(
        {
            "treename": "tree",
            "new_variables": {k: v for k, v in _NEW_VARIABLES.items() if k in needed},
            "preprocess": {"method": "manual", "data_fraction": 0.5},
            "inputs": {
                "pf_points": group(_ANGLES),
                "pf_features": group(FEATURES[features]),
                "pf_vectors": group(
                    [[f"part_{name}", None] for name in ("px", "py", "pz", "energy")]
                ),
                "pf_mask": group([["part_mask", None]], "constant"),
            },
            "labels": {"type": "simple", "value": list(LABELS)},
        },
        indent=2,
    )
