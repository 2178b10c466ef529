"""Jets of several kinds of particles, in memory and as the shipped configurations name them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import yaml

from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.kinds import KIND_COLUMN, Kinds
from parttag.jets.packing import offsets_of

KINDS: Kinds = (("charged", True), ("neutral", True), ("vertices", True))
LENGTHS = {
    "charged": [5, 1, 0, 12, 3, 0],
    "neutral": [2, 0, 1, 7, 4, 3],
    "vertices": [1, 0, 0, 3, 0, 1],
}


def kind_jets(
    lengths: Mapping[str, Sequence[int]] = LENGTHS, seed: int = 0, *, kinds: Kinds = KINDS
) -> JetArrays:
    """Return jets with so many particles of each kind, and columns of their own.

    ``ip3d`` is of charged ones, ``d3d`` of vertices, and 0 for others; ``puppi`` is of all.
    """
    rng = np.random.default_rng(seed)
    num_jets = len(next(iter(lengths.values())))
    jet = np.concatenate([np.repeat(np.arange(num_jets), lengths[name]) for name, _ in kinds])
    kind = np.concatenate([np.full(sum(lengths[n]), k) for k, (n, _) in enumerate(kinds)])
    order = np.argsort(jet, kind="stable")
    jet, kind = jet[order], kind[order].astype(np.uint8)
    number = len(jet)
    pt, eta, phi = (
        rng.exponential(20, number) + 0.5,
        rng.normal(0.3, 0.2, number),
        rng.normal(1, 0.2, number),
    )
    energy = np.hypot(pt * np.cosh(eta), rng.uniform(0, 3, number))
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
    p4[~np.array([has for _, has in kinds])[kind]] = 0
    names = [name for name, _ in kinds]
    is_charged = kind == names.index("charged") if "charged" in names else np.zeros(number, bool)
    is_vertex = kind == names.index("vertices") if "vertices" in names else np.zeros(number, bool)
    jet_p4 = np.tile([300.0, 400.0, 200.0, 600.0], (num_jets, 1)) * rng.uniform(
        0.8, 1.2, (num_jets, 1)
    )
    labels = np.zeros((num_jets, 2), np.uint8)
    labels[np.arange(num_jets), np.arange(num_jets) % 2] = 1
    return pack_jets(
        p4,
        offsets_of(np.bincount(jet, minlength=num_jets)),
        extra=np.where(is_charged, rng.choice([-1.0, 1.0], number), 0)[:, None],
        extra_names=("charge",),
        labels=labels,
        label_names=("label_top", "label_QCD"),
        path="kinds.root",
        jet_p4=jet_p4,
        columns={
            "ip3d": np.where(is_charged, rng.normal(0, 2, number), 0).astype(np.float32),
            "d3d": np.where(is_vertex, rng.exponential(3, number), 0).astype(np.float16),
            "puppi": rng.uniform(0, 1, number).astype(np.float32),
            KIND_COLUMN: kind,
        },
        kinds=kinds,
    )


def write_three_kinds(path: Path, config: Path, num_jets: int, seed: int) -> Path:
    """Write a parquet file with every branch that ``three_kinds.yaml`` names, and return its path.

    Of jet 0 there are no vertices, jet 1 is one charged particle.
    """
    rng = np.random.default_rng(seed)
    columns = yaml.safe_load(config.read_text())["data"]["columns"]
    branches: dict[str, ak.Array] = {}
    top = np.arange(num_jets) % 2
    for name, mean in (("charged", 9), ("neutral", 5), ("vertices", 2)):
        lengths = rng.poisson(mean, num_jets)
        lengths[0] = 0 if name == "vertices" else 3
        lengths[1] = name == "charged"
        section = columns["particles"][name]
        number, jet = int(lengths.sum()), np.repeat(np.arange(num_jets), lengths)
        pt, eta = rng.exponential(30 + 30 * top[jet]) + 1, rng.normal(0.5, 0.2, number)
        values = {
            "pt": pt,
            "eta": eta,
            "phi": rng.normal(2.0, 0.2, number),
            "mass": rng.uniform(1, 3, number),
        }
        values["energy"] = pt * np.cosh(eta) * 1.01
        values["charge"] = rng.choice([-1, 1], number).astype(np.int8)
        flat = {k: v for k, v in section.items() if k != "extra"} | section["extra"]
        for key, branch in flat.items():
            own = values.get(key)
            if own is None:
                own = (
                    rng.integers(0, 5, number)
                    if key.endswith(("hits", "quality", "tracks", "association"))
                    or key.startswith("is_")
                    else rng.exponential(1.0, number)
                )
            branches[branch] = ak.unflatten(
                own.astype(np.float32) if own.dtype == float else own, lengths
            )
    branches |= {
        "jet_pt": rng.uniform(300, 800, num_jets),
        "jet_eta": rng.normal(0.5, 0.1, num_jets),
        "jet_phi": rng.normal(2.0, 0.1, num_jets),
        "jet_mass": rng.uniform(30, 200, num_jets),
        "label_top": top.astype(np.int32),
        "label_QCD": (1 - top).astype(np.int32),
    }
    ak.to_parquet(ak.zip(branches, depth_limit=1), path)
    return path


def write_tracks(path: Path, config: Path, num_jets: int, seed: int) -> Path:
    """Write an HDF5 file with every dataset that ``tracks.yaml`` names, and return its path."""
    rng = np.random.default_rng(seed)
    section = yaml.safe_load(config.read_text())["data"]["columns"]["particles"]["tracks"]
    names = [branch.rpartition("/")[2] for branch in section["extra"].values()]
    kinds = [(n, "u1") if n.startswith("number") else (n, "f2") for n in names]
    tracks = np.zeros((num_jets, 12), dtype=[("valid", "?"), *kinds])
    flavour = np.array([5, 4, 0])[np.arange(num_jets) % 3]
    for name, kind in kinds:
        whole = rng.integers(0, 9, tracks.shape)
        tracks[name] = whole if kind == "u1" else rng.exponential(1 + flavour / 5, tracks.T.shape).T
    tracks["valid"] = np.arange(12) < np.maximum(rng.poisson(5, num_jets), 1)[:, None]
    jets = np.zeros(num_jets, dtype=[("pt", "f4"), ("eta", "f4"), ("flavour", "i4")])
    jets["pt"], jets["eta"], jets["flavour"] = (
        rng.uniform(2e4, 2e5, num_jets),
        rng.normal(0, 1, num_jets),
        flavour,
    )
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"] = jets, tracks
    return path
