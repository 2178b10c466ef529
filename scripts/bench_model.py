"""How fast a network trains and predicts, beside weaver-core's Particle Transformer.

    python -m venv PEER; PEER/bin/pip install torch numpy
    PEER/bin/pip install --no-deps weaver-core==0.5.3
    python scripts/bench_model.py --data $PARTTAG_SHARED_DATA/toptagging/val.h5 \
        --peer-python PEER/bin/python --json speed.json

Ours and every variant of the peer's take turns, a few steps each, on the same jets; a rate is that
of the median step. Training first, then inference, each in new processes of both, as in use. A step
of training is the copy to the device, forwards, backwards and the optimizer; data are in memory.
--parts also measures the parts of our step, each alone, and what the machine's matrix products and
memory would allow. --tunables starts all processes with settings of the C library's allocator, such
as glibc.malloc.hugetlb=1.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from speed.contestants import CLOCKS, PEER_VARIANTS, TASKS, describe_machine, set_allocator
from speed.parts import floor_rates, part_times
from speed.task import Rates, measure, our_network


def ratios(rates: Rates) -> dict[str, float]:
    """Return our rates over the best of the peer's: in fp32, and ours in bf16 over any."""
    result = {}
    for task in TASKS:
        peers = {n: r["jets_per_second"] for n, r in rates.items() if f"weaver {task}" in n}
        for precision, others in (
            ("fp32", [r for n, r in peers.items() if " fp32" in n]),
            ("bf16", list(peers.values())),
        ):
            mine = [
                r["jets_per_second"]
                for n, r in rates.items()
                if n.startswith("ours") and n.endswith(f" {task} {precision}")
            ]
            if mine and others:
                result[f"{task}, {precision}"] = max(mine) / max(others)
    return result


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="particle_transformer", help="configs/toptagging/MODEL")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--jets", type=int, default=2560, help="in memory, taken in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="of each contestant in a round")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--peer-precisions", nargs="+", help="the same if not given; also fp16")
    parser.add_argument(
        "--peer-variants", nargs="+", default=["eager", "dense"], choices=PEER_VARIANTS
    )
    parser.add_argument("--compiled", action="store_true", help="ours and the peer's compiled, too")
    parser.add_argument("--graphed", action="store_true", help="steps as CUDA graphs, too")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tunables", help="GLIBC_TUNABLES of all processes")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="processor: if other programs are running"
    )
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.compiled:
        args.peer_variants = list(dict.fromkeys([*args.peer_variants, "compiled"]))
    return args


def main() -> None:
    """Measure, print, and write the numbers if asked."""
    args = parse_arguments()
    set_allocator(args.tunables)
    rates: Rates = {}
    peaks: dict[str, float] = {}
    # What a task leaves behind, such as a grown heap, is nothing to the next one.
    for task in args.tasks:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            measured = process.submit(measure, args, task).result()
        rates |= measured.rates
        peaks |= measured.peak_memory_gb
    result = {
        "model": args.model,
        "batch": args.batch,
        "clock": args.clock,
        **describe_machine(args.device, args.threads),
        "peer": measured.peer,
        "rates": rates,
        "ratios": ratios(rates),
        "peak_memory_gb": peaks,
    }
    if args.parts:
        jets, plain = our_network(args)
        plain.times("training", "fp32", 1)  # which warms up
        parts = part_times(plain, jets, args.rounds * args.steps)
        result["parts_ms"] = {name: 1e3 * value for name, value in parts.items()}
        longest = plain.network.max_particles or int(jets.arrays.lengths.max())
        result["floors"] = {
            precision: floor_rates(jets, args.device, precision, longest)
            for precision in args.precisions
        }
        result["shares_of_floor"] = shares(rates, result["floors"])
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


def shares(rates: Rates, floors: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return our rates over the nearer of the two floors."""
    return {
        f"{task} {precision}": rates[f"ours {task} {precision}"]["jets_per_second"]
        / min(rate for name, rate in floor.items() if name.startswith(task))
        for precision, floor in floors.items()
        for task in TASKS
        if f"ours {task} {precision}" in rates
    }


def show(result: dict) -> None:
    """Print what was measured."""
    for name, rate in result["rates"].items():
        low, high = rate["quartiles"]
        print(f"{name:40} {rate['jets_per_second']:10.1f} jets/s  ({low:.1f} to {high:.1f})")
    for name, value in result["peak_memory_gb"].items():
        print(f"{name:40} {value:10.2f} GB at most")
    for name, value in result["ratios"].items():
        print(f"{name:40} {value:10.2f} x the peer's best")
    for name, value in result.get("parts_ms", {}).items():
        print(f"{name:40} {value:10.1f} ms a step")
    for name, value in result.get("shares_of_floor", {}).items():
        print(f"{name:40} {100 * value:10.1f} % of the floor")


if __name__ == "__main__":
    main()
