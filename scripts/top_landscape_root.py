"""Write top-tagging jets as ROOT files of the branches that weaver's file for them reads.

    python scripts/top_landscape_root.py FOLDER OUT

FOLDER has train.h5, val.h5 and test.h5; OUT gets train.root, val.root and test.root, which
``scripts/compare_weaver_training.py`` trains on. Branches are those of TopLandscape/top_kin.yaml in
https://github.com/jet-universe/particle_transformer: ``part_px`` to ``part_energy``, angles from
the jet's axis, the jet's momentum and ``label`` (1: top).
"""

import argparse
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

import parttag


def branches(jets: parttag.JetArrays) -> dict[str, ak.Array]:
    """Return the branches of jets."""
    px, py, pz, energy = jets.p4.T
    jet_px, jet_py, jet_pz, jet_energy = jets.jet_p4.T
    jet_pt = np.hypot(jet_px, jet_py)
    jet_eta, jet_phi = np.arcsinh(jet_pz / jet_pt), np.arctan2(jet_py, jet_px)
    deta = np.arcsinh(pz / np.hypot(px, py)) - np.repeat(jet_eta, jets.lengths)
    dphi = np.arctan2(py, px) - np.repeat(jet_phi, jets.lengths)
    particles = {
        "part_px": px,
        "part_py": py,
        "part_pz": pz,
        "part_energy": energy,
        "part_deta": deta * np.repeat(np.where(jet_eta < 0, -1, 1), jets.lengths),
        "part_dphi": (dphi + np.pi) % (2 * np.pi) - np.pi,
    }
    jagged = {
        name: ak.unflatten(values.astype(np.float32), jets.lengths)
        for name, values in particles.items()
    }
    label = jets["label_top"].astype(np.int32)
    return {
        **jagged,
        "jet_pt": jet_pt,
        "jet_eta": jet_eta,
        "jet_phi": jet_phi,
        "jet_energy": jet_energy,
        "label": label,
    }


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        jets = parttag.read(str(options.folder / f"{split}.h5"))
        with uproot.recreate(options.out / f"{split}.root") as file:
            file.mktree("Events", branches(jets))
        print(f"{options.out / split}.root: {len(jets):,} jets")


if __name__ == "__main__":
    main()
