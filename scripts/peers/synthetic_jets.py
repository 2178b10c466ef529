"""Jets in JetClass's layout with every branch that networks read, for comparisons with weaver.

    python scripts/peers/synthetic_jets.py --out JETS.root [--like REFERENCE.root]

With ``--like``, the jets of that file, each tenth cut to its hardest 1 to 16 particles, and
particle identities, charges and impact parameters drawn at random, which the public sample does not
have. Without, a few jets of 1 to 140 particles drawn at random altogether.
"""

import argparse
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

KINDS = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
LENGTHS = (1, 2, 3, 8, 15, 16, 17, 18, 40, 64, 127, 140)


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--like", type=Path, help="take the four-momenta of these jets")
    options = parser.parse_args()
    write_jets(options.out, options.like)


def write_jets(path: Path, like: Path | None = None) -> None:
    """Write the jets, the same ones each time."""
    rng = np.random.default_rng(12)
    branches = _random_jets(rng) if like is None else _cut_jets(rng, like)
    counts = ak.num(branches["part_px"]).to_numpy()
    for name, values in _random_identity(rng, int(counts.sum())).items():
        branches[name] = ak.unflatten(values.astype(np.float32), counts)
    with uproot.recreate(path) as file:
        file.mktree("tree", {name: ak.type(ak.Array(b)).content for name, b in branches.items()})
        file["tree"].extend(branches)


def _cut_jets(rng: np.random.Generator, like: Path) -> dict[str, ak.Array]:
    with uproot.open(like) as file:
        tree = file["tree"]
        names = tree.keys(filter_name=["part_*", "jet_*", "label_*"])
        jets = tree.arrays(names)
    kept = np.full(len(jets), 1 << 30)
    kept[::10] = rng.integers(1, 17, len(kept[::10]))
    place = ak.local_index(jets["part_px"])
    return {name: jets[name][place < kept] if name[:4] == "part" else jets[name] for name in names}


def _random_jets(rng: np.random.Generator) -> dict[str, ak.Array]:
    counts = np.array(LENGTHS)
    jet, num_jets = np.repeat(np.arange(len(counts)), counts), len(counts)
    jet_eta, jet_phi = rng.uniform(-2, 2, num_jets), rng.uniform(-np.pi, np.pi, num_jets)
    pt = rng.exponential(600 / counts[jet]) + 0.5
    pt = pt[np.lexsort((-pt, jet))]
    eta, phi = (axis[jet] + 0.25 * rng.normal(size=len(jet)) for axis in (jet_eta, jet_phi))
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])
    jet_p4 = np.array([np.bincount(jet, weights=values) for values in p4])
    jet_pt = np.hypot(*jet_p4[:2])
    axis = np.arcsinh(jet_p4[2] / jet_pt), np.arctan2(jet_p4[1], jet_p4[0])
    particles = {
        **dict(zip(("part_px", "part_py", "part_pz", "part_energy"), p4, strict=True)),
        "part_deta": (eta - axis[0][jet]) * np.where(axis[0] < 0, -1, 1)[jet],
        "part_dphi": (phi - axis[1][jet] + np.pi) % (2 * np.pi) - np.pi,
    }
    per_jet = {
        "jet_pt": jet_pt,
        "jet_eta": axis[0],
        "jet_phi": axis[1],
        "jet_energy": jet_p4[3],
        "label_QCD": np.ones(num_jets),
    }
    branches = {k: ak.unflatten(v.astype(np.float32), counts) for k, v in particles.items()}
    return branches | {k: ak.Array(v.astype(np.float32)) for k, v in per_jet.items()}


def _random_identity(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    kind = rng.choice(len(KINDS), count, p=(0.5, 0.15, 0.3, 0.03, 0.02))
    is_charged = np.isin(kind, (0, 3, 4))
    track = {
        "part_d0val": rng.standard_t(2, count) * 0.1,
        "part_d0err": rng.exponential(0.1, count),
        "part_dzval": rng.standard_t(2, count) * 0.2,
        "part_dzerr": rng.exponential(0.5, count),
    }
    return {
        "part_charge": is_charged * rng.choice([-1, 1], count),
        **{f"part_is{name}": kind == number for number, name in enumerate(KINDS)},
        **{name: np.where(is_charged, values, 0) for name, values in track.items()},
    }


if __name__ == "__main__":
    main()
