"""How fast jets are simulated and what they are like, class by class; two processes against one.

CPU seconds, not wall-clock ones, so that other work on the machine disturbs little; the ratio of
two processes to one is only worth something on two idle cores.

Example: python scripts/bench_simulation.py --sample jetclass --jets 1000 --json simulation.json
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from parttag.jets.clustered import Jets, join
from parttag.samples.simulation.campaign import simulate
from parttag.samples.simulation.sample import Sample
from parttag.samples.simulation.samples import make_sample
from parttag.samples.simulation.shards import make_jets

# Measured before this code was written, for the plainest loop that makes such jets, without
# multiparton interactions, on one x86-64 core: jets per CPU-second and, of ten classes, mean
# multiplicity and median mass in GeV (of QCD for dijets, which JetClass does not have).
PLAIN_LOOP: dict[str, tuple[float, float, float]] = {
    "label_top": (59.0, np.nan, np.nan),
    "toptagging label_QCD": (44.0, np.nan, np.nan),
    "label_Hbb": (436, 42, 117),
    "label_Hcc": (546, 40, 121),
    "label_Hgg": (456, 61, 120),
    "label_H4q": (476, 53, 120),
    "label_Hqql": (277, 30, 97),
    "label_Zqq": (926, 37, 89),
    "label_Wqq": (1012, 33, 81),
    "label_Tbqq": (341, 57, 170),
    "label_Tbl": (202, 30, 115),
    "jetclass label_QCD": (596, 45, 75),
}


def make(sample: Sample, label: str, num_jets: int) -> tuple[Jets, float]:
    """Return jets of a class, shared out over its kinds of event, and the CPU seconds they took."""
    channels = [channel for channel in sample.channels if channel.label == label]
    began = time.process_time()
    parts = [make_jets(sample, one, num_jets // len(channels), seed=1)[0] for one in channels]
    return join(parts), time.process_time() - began


def mass(jets: Jets) -> np.ndarray:
    """Return the masses in GeV."""
    squared = jets.p4[:, 3] ** 2 - (jets.p4[:, :3] ** 2).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0.0))


def wall_time(sample: Sample, processes: int) -> float:
    """Return the seconds that a whole simulation takes."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        simulate(sample, Path(directory) / "jets", processes=processes)
        return time.monotonic() - began


def report(name: str, mpi: bool, num_jets: int) -> dict[str, float]:
    """Print a line for each class of a sample, and return the rates over the plain loop's."""
    sample = make_sample(name, {"num_jets": 100, "mpi": mpi})
    print(f"{name}, multiparton interactions {'on' if mpi else 'off'}")
    print("class | jets per CPU-second | mean particles | median mass in GeV (plain loop's)")
    ratios, seconds = {}, []
    for label in sample.labels:
        plain = PLAIN_LOOP.get(label) or PLAIN_LOOP.get(f"{name} {label}", (np.nan,) * 3)
        jets, took = make(sample, label, num_jets)
        found = (len(jets) / took, jets.lengths.mean(), np.median(mass(jets)))
        seconds.append(took / len(jets))
        ratios[f"{label}, multiparton interactions {'on' if mpi else 'off'}"] = found[0] / plain[0]
        cells = (f"{own:.1f} ({other:.0f})" for own, other in zip(found, plain, strict=True))
        print(" | ".join([label, *cells]), flush=True)
    hours = np.mean(seconds) * 1e6 / 3600
    print(f"a million jets: {hours:.2f} CPU-hours, {hours / 2:.2f} hours on two cores")
    return ratios


def main() -> None:
    """Measure, print, and write the ratios if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sample", choices=["toptagging", "jetclass", "masses"], default="toptagging"
    )
    parser.add_argument("--jets", type=int, default=2000, help="of each class and setting")
    parser.add_argument(
        "--mpi",
        choices=["off", "on", "both"],
        default="both",
        help="multiparton interactions: with them, jets take three times as long",
    )
    parser.add_argument("--scaling-jets", type=int, default=0, help="for two processes against one")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    arguments = parser.parse_args()

    ratios = {}
    for mpi in {"on": [True], "off": [False], "both": [False, True]}[arguments.mpi]:
        ratios |= report(arguments.sample, mpi, arguments.jets)
    if arguments.scaling_jets:
        sample = make_sample(arguments.sample, {"num_jets": arguments.scaling_jets})
        one, two = (wall_time(sample, processes) for processes in (1, 2))
        ratios["two processes over one"] = one / two
        print(f"one process {one:.1f} s, two processes {two:.1f} s: {one / two:.2f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps({"ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
