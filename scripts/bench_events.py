"""Jets of PFNano-like events: ``parttag prepare`` beside a plain loop over uproot and awkward.

Run: ``python scripts/bench_events.py pfnano.root --events 100000``. The file's events are repeated.
Each is measured in a process of its own: jets/s, and the peak of its memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

PARTS = ("pt", "eta", "phi", "mass")
TABLE = ("FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx")
BRANCHES = (
    *(f"{kind}_{part}" for kind in ("FatJet", "PFCands") for part in PARTS),
    *TABLE,
    "PFCands_puppiWeight",
)
COLUMNS = {
    "tree": "Events",
    "jets": "FatJet",
    "jet": {part: f"FatJet_{part}" for part in PARTS},
    "particles": {
        **{part: f"PFCands_{part}" for part in PARTS},
        "weight": "PFCands_puppiWeight",
        "of_jet": {"jet": TABLE[0], "particle": TABLE[1]},
    },
}


def tile(source: Path, out: Path, num_events: int) -> None:
    """Write the events of a file over and over."""
    events = uproot.open(source)["Events"].arrays(list(BRANCHES), how=dict)
    number = len(events["FatJet_pt"])
    step = {name: ak.concatenate([branch] * 100) for name, branch in events.items()}
    types = {name: branch.type.content for name, branch in events.items()}
    with uproot.recreate(out) as file:
        tree = file.mktree("Events", types)
        for _ in range(max(1, num_events // (100 * number))):
            tree.extend(step)


def plain(path: Path, out: Path) -> int:
    """Do the same with uproot and awkward: momenta of each jet's particles, to a file."""
    num_jets = 0
    with out.open("wb") as file:
        for events in uproot.iterate(f"{path}:Events", list(BRANCHES), step_size=2000):
            index = events[TABLE[1]]
            particles = {part: events[f"PFCands_{part}"][index] for part in PARTS}
            weight = events["PFCands_puppiWeight"][index]
            px = particles["pt"] * np.cos(particles["phi"])
            py = particles["pt"] * np.sin(particles["phi"])
            pz = particles["pt"] * np.sinh(particles["eta"])
            energy = np.sqrt(px**2 + py**2 + pz**2 + particles["mass"] ** 2)
            for jet in range(int(ak.max(ak.num(events["FatJet_pt"]), initial=0))):
                there = ak.num(events["FatJet_pt"]) > jet
                own = (events[TABLE[0]] == jet) & (weight != 0)
                order = ak.argsort((particles["pt"] * weight)[own], ascending=False)
                p4 = [(value * weight)[own][order][there] for value in (px, py, pz, energy)]
                num_jets += int(ak.sum(there))
                flat = [ak.to_numpy(ak.flatten(value)).astype(np.float32) for value in p4]
                file.write(np.stack(flat, axis=1).tobytes())
    return num_jets


def prepared(path: Path, out: Path) -> int:
    """Make a store of the jets."""
    from parttag.data.preparation.prepare import prepare
    from parttag.data.readers.columns import ColumnsOptions

    return prepare([path], out, columns=ColumnsOptions.model_validate(COLUMNS)).counts.read


WAYS = {"prepare": prepared, "plain": plain}


def main() -> None:
    """Measure both ways, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.way:
        start = time.perf_counter()
        num_jets = WAYS[args.way](args.source, args.out)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"jets": num_jets, "jets/s": num_jets / seconds, "peak MB": peak / 1e6}))
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "events.root"
        tile(args.source, path, args.events)
        for way in WAYS:
            command = [sys.executable, __file__, str(path), "--way", way, "--out", f"{path}.{way}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(way, done.stdout.strip())


if __name__ == "__main__":
    main()
