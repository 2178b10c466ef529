"""How the time of a Particle Transformer grows with the size of jets, beside weaver-core's.

    python scripts/bench_scaling.py --peer-python PEER/bin/python --json scaling.json

Jets are made for this: their numbers of particles follow a gamma distribution whose width is 0.36
of its mean, as that of the top-tagging reference jets, cut at 256; the momenta mean nothing, and no
time depends on them. An exponent is the slope of the logarithm of the median time a jet in that of
the mean number of particles: 1 for a cost in proportion to particles, 2 in proportion to pairs.
"""

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from speed.contestants import (
    CLOCKS,
    PEER_VARIANTS,
    TASKS,
    Ours,
    Peer,
    contestants,
    describe_machine,
    set_allocator,
    take_turns,
    write_peer_inputs,
)
from speed.made_jets import LONGEST, made_jets

from parttag.runs.config import RunConfig, load_config

ROOT = Path(__file__).parents[1]


def measure(settings: RunConfig, mean: float, args: argparse.Namespace) -> dict[str, object]:
    """Return the median seconds a jet of every contestant for jets of one mean size."""
    jets = made_jets(mean, args.jets)
    batches = jets.batches(args.batch, settings.model.max_particles)
    ours = {"ours": Ours(settings, batches, args.device, clock=args.clock)}
    lengths = jets.arrays.lengths
    with TemporaryDirectory() as directory:
        peer = None
        if args.peer_python:
            inputs = Path(directory) / "inputs.npz"
            names = ours["ours"].network.feature_names
            write_peer_inputs(jets, names, int(lengths.max()), inputs)
            peer = Peer(args.peer_python, inputs, args.device, args.threads, args.clock)
        entrants = contestants(
            ours,
            peer,
            args.precisions,
            peer_precisions=args.precisions,
            variants=args.peer_variants,
            batch=args.batch,
        )
        seconds = take_turns(entrants, args.rounds, args.steps)
        if peer:
            peer.close()
    return {
        "mean_particles": float(lengths.mean()),
        "mean_square": float((lengths**2).mean()),
        "seconds_per_jet": {
            name: float(np.median(values)) / args.batch for name, values in seconds.items()
        },
    }


def exponents(sizes: list[dict]) -> dict[str, float]:
    """Return the slope of each contestant's time in the number of particles, both logarithmic."""
    means = np.log([size["mean_particles"] for size in sizes])
    names = set.intersection(*(set(size["seconds_per_jet"]) for size in sizes))
    return {
        name: float(np.polyfit(means, np.log([s["seconds_per_jet"][name] for s in sizes]), 1)[0])
        for name in sorted(names)
    }


def ratios(sizes: list[dict], precisions: list[str]) -> dict[str, float]:
    """Return for every size the time of the peer's best in a precision over ours."""
    result = {}
    for size in sizes:
        seconds = size["seconds_per_jet"]
        for task in TASKS:
            for precision in precisions:
                theirs = [s for n, s in seconds.items() if f"weaver {task} {precision}" in n]
                if theirs:
                    name = f"{task}, {precision}, {size['mean_particles']:.0f} particles"
                    result[name] = min(theirs) / seconds[f"ours {task} {precision}"]
    return result


def main() -> None:
    """Measure, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--means", type=float, nargs="+", default=[16, 32, 64, 96, 128, 192])
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--jets", type=int, default=512, help="in memory, taken in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="of each contestant in a round")
    parser.add_argument("--precisions", nargs="+", default=["fp32"])
    parser.add_argument("--peer-variants", nargs="+", default=["eager"], choices=PEER_VARIANTS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tunables", help="GLIBC_TUNABLES of both processes")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    set_allocator(args.tunables)
    torch.set_num_threads(args.threads)
    settings = load_config(
        ROOT / "configs/toptagging/particle_transformer.yaml", [f"model.max_particles={LONGEST}"]
    )
    sizes = []
    for mean in args.means:
        sizes.append(measure(settings, mean, args))
        print(f"{sizes[-1]['mean_particles']:.1f} particles a jet")
        for name, value in sizes[-1]["seconds_per_jet"].items():
            print(f"  {name:40} {1e3 * value:10.3f} ms a jet", flush=True)
    result = {
        "batch": args.batch,
        "clock": args.clock,
        **describe_machine(args.device, args.threads),
        "sizes": sizes,
        "exponents": exponents(sizes) if len(sizes) > 1 else {},
        "ratios": ratios(sizes, args.precisions),
    }
    for name, value in result["exponents"].items():
        print(f"{name:40} time ~ particles^{value:.2f}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
