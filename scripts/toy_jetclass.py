"""Toy jets in JetClass's layout, made in seconds: for measurements of speed, not of physics.

    python scripts/toy_jetclass.py --jets 200000 --out toys

Ten files, one a class, with every branch that the feature set ``full`` needs, the momenta of the
jets and the labels. Multiplicities are gamma-distributed about the means of
JetClass's classes (30 to 55, 44 over all, 128 at most); momenta are those of particles around an
axis, with falling pT; identities, charges and impact parameters are drawn at random, in shares like
those of real jets.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import uproot

from parttag.data.writers.jetclass import JetClassTable, write_jets
from parttag.jets.clustered import Jets

# Class by file name, its label, and the mean number of particles.
CLASSES = {
    "ZJetsToNuNu": ("label_QCD", 40),
    "HToBB": ("label_Hbb", 43),
    "HToCC": ("label_Hcc", 40),
    "HToGG": ("label_Hgg", 52),
    "HToWW4Q": ("label_H4q", 55),
    "HToWW2Q1L": ("label_Hqql", 37),
    "ZToQQ": ("label_Zqq", 37),
    "WToQQ": ("label_Wqq", 36),
    "TTBar": ("label_Tbqq", 51),
    "TTBarLep": ("label_Tbl", 34),
}
LABELS = tuple(label for label, _ in CLASSES.values())
_MOST_PARTICLES = 128
_CHUNK_JETS = 10_000
# Shares of charged and neutral hadrons, photons, electrons and muons.
_SHARES = (0.52, 0.12, 0.33, 0.02, 0.01)
_FLAGS = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")


def toy_table(num_jets: int, name: str, rng: np.random.Generator) -> JetClassTable:
    """Return what a file holds of so many jets of a class."""
    label, mean = CLASSES[name]
    lengths = np.clip(rng.gamma(6.0, mean / 6.0, num_jets).round(), 2, _MOST_PARTICLES).astype(int)
    starts = np.cumsum(lengths) - lengths
    jet = np.repeat(np.arange(num_jets), lengths)
    share = rng.exponential(size=len(jet)) ** 1.7 + 1e-3
    share /= np.add.reduceat(share, starts)[jet]
    share = share[np.lexsort((-share, jet))]
    pt = share * rng.uniform(500, 1000, num_jets)[jet]
    axis_eta, axis_phi = rng.uniform(-2, 2, num_jets), rng.uniform(-np.pi, np.pi, num_jets)
    eta = axis_eta[jet] + rng.normal(0, 0.15, len(jet))
    phi = axis_phi[jet] + rng.normal(0, 0.15, len(jet))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + 0.0195)
    p4 = np.stack([px, py, pz, energy], axis=1)
    kind = rng.choice(len(_SHARES), len(jet), p=_SHARES)
    charged = np.isin(kind, (0, 3, 4))
    columns = {
        "d0val": np.where(charged, rng.standard_t(2, len(jet)) * 0.05, 0),
        "d0err": np.where(charged, rng.gamma(2, 0.02, len(jet)), 0),
        "dzval": np.where(charged, rng.standard_t(2, len(jet)) * 0.08, 0),
        "dzerr": np.where(charged, rng.gamma(2, 0.04, len(jet)), 0),
        "charge": np.where(charged, rng.choice((-1.0, 1.0), len(jet)), 0),
        **{flag: (kind == number).astype(float) for number, flag in enumerate(_FLAGS)},
    }
    jets = Jets(
        event=np.arange(num_jets),
        p4=np.add.reduceat(p4, starts),
        offsets=np.append(starts, len(jet)),
        particles=p4,
        columns=columns,
    )
    return JetClassTable.of_clustered(
        jets, {other: np.full(num_jets, other == label) for other in LABELS}
    )


def write_toys(out: Path, num_jets: int, seed: int = 0) -> list[Path]:
    """Write ten files of a tenth of the jets each, and return their paths."""
    paths = []
    for number, name in enumerate(CLASSES):
        rng = np.random.default_rng([seed, number])
        paths.append(out / f"{name}_000.root")
        write_jets(paths[-1], _toy_tables(num_jets // len(CLASSES), name, rng))
    return paths


def _toy_tables(num_jets: int, name: str, rng: np.random.Generator) -> Iterator[JetClassTable]:
    for start in range(0, num_jets, _CHUNK_JETS):
        yield toy_table(min(_CHUNK_JETS, num_jets - start), name, rng)


def main() -> None:
    """Write the files and say how many particles a jet has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=200_000, help="in all")
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = write_toys(options.out, options.jets, options.seed)
    means = []
    for path in paths:
        with uproot.open(path) as file:
            means.append(float(file["tree/jet_nparticles"].array(library="np").mean()))
    print(f"{len(paths)} files, {np.mean(means):.1f} particles a jet")


if __name__ == "__main__":
    main()
