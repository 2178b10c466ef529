"""Jets of PFNano-like events: ``parttag prepare`` beside a plain loop over uproot and awkward.

Run: ``python scripts/bench_events.py pfnano.root --events 100000``. The file's events are repeated;
what is more than 100,000 are further names of the same file. Each way is measured in a process of
its own, after the imports: jets/s of all time and of processor time, and the peak of its memory.
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

from parttag.data.preparation.prepare import prepare
from parttag.data.readers.columns import ColumnsOptions

OF_FILE = 100_000
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


def plain(paths: list[Path], out: Path) -> int:
    """Do the same with uproot and awkward: momenta of each jet's particles, to a file."""
    num_jets = 0
    with out.open("wb") as file:
        trees = [f"{path}:Events" for path in paths]
        for events in uproot.iterate(trees, list(BRANCHES), step_size=2000):
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


def prepared(paths: list[Path], out: Path) -> int:
    """Make a store of the jets."""
    return prepare(paths, out, columns=ColumnsOptions.model_validate(COLUMNS)).counts.read


WAYS = {"prepare": prepared, "plain": plain}


def measure(way: str, paths: list[Path], out: Path) -> None:
    """Print what one way takes in this process."""
    start, busy = time.perf_counter(), time.process_time()
    num_jets = WAYS[way](paths, out)
    busy, seconds = time.process_time() - busy, time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"jets": num_jets, "jets/s": num_jets / seconds, "jets/CPU s": num_jets / busy}
    print(json.dumps({**found, "peak MB": peak / 1e6}))


def main() -> None:
    """Measure both ways, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="+")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.way:
        measure(args.way, args.source, args.out)
        return
    with tempfile.TemporaryDirectory() as directory:
        first = Path(directory) / "events_0.root"
        tile(args.source[0], first, min(args.events, OF_FILE))
        paths = [first]
        for number in range(1, -(-args.events // OF_FILE)):
            paths.append(first.with_name(f"events_{number}.root"))
            paths[-1].hardlink_to(first)
        for way in WAYS:
            command = [sys.executable, __file__, *map(str, paths), "--way", way]
            done = subprocess.run(
                [*command, "--out", f"{directory}/{way}"],
                check=True,
                capture_output=True,
                text=True,
            )
            print(way, done.stdout.strip())


if __name__ == "__main__":
    main()
