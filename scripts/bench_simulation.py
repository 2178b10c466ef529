"""How fast jets are simulated: jets per CPU-second by class, and two processes against one.

CPU seconds, not wall-clock ones, so that other work on the machine disturbs little; the ratio of
two processes to one is only worth something on two idle cores.

Example: python scripts/bench_simulation.py --jets 2000 --json simulation.json
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from parttag.data.simulation.campaign import simulate
from parttag.data.simulation.shards import SimulationOptions, make_jets

# Jets per CPU-second measured for the plainest loop that does this: study windows, no multiparton
# interactions, on one x86-64 core.
PLAIN_LOOP = {"label_top": 59.0, "label_QCD": 44.0}


def rate(options: SimulationOptions, label: str, num_jets: int) -> float:
    """Return jets per CPU-second of one class."""
    began = time.process_time()
    make_jets(options, label, num_jets, seed=1)
    return num_jets / (time.process_time() - began)


def wall_time(options: SimulationOptions, processes: int) -> float:
    """Return the seconds that a whole simulation takes."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        simulate(options, Path(directory) / "jets", processes=processes)
        return time.monotonic() - began


def main() -> None:
    """Measure, print, and write the ratios if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    for mpi in {"off": (False,), "on": (True,), "both": (False, True)}[arguments.mpi]:
        options = SimulationOptions(num_jets=20, mpi=mpi)
        for label, plain in PLAIN_LOOP.items():
            jets_per_second = rate(options, label, arguments.jets)
            name = f"{label}, multiparton interactions {'on' if mpi else 'off'}"
            ratios[name] = jets_per_second / plain
            print(f"{name}: {jets_per_second:.1f} jets per CPU-second, {ratios[name]:.2f} x plain")
    if arguments.scaling_jets:
        options = SimulationOptions(num_jets=arguments.scaling_jets, mpi=False, jets_per_file=1000)
        one, two = (wall_time(options, processes) for processes in (1, 2))
        ratios["two processes over one"] = one / two
        print(f"one process {one:.1f} s, two processes {two:.1f} s: {one / two:.2f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps({"ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
