"""Whether data and metrics hold a training up: `parttag train` against the bare step.

    python scripts/bench_training.py --data train.h5 --json training.json

They take turns in one process, on the same jets: the training loop with its loader, losses and
counts, as `parttag train` runs it, and steps on batches that are in memory. The loop's rate is what
it writes to metrics.jsonl: jets over the time of all steps, loading included; the bare rate is jets
over the sum of as many steps.
"""

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from speed.contestants import Ours, describe_machine, read_jets, set_allocator

from parttag.runs.config import RunConfig, load_config
from parttag.runs.train import train_run

ROOT = Path(__file__).parents[1]


def loop_rate(settings: RunConfig, directory: Path) -> float:
    """Return the jets a second of the last of two epochs, the first of which warms up."""
    train_run(settings, directory)
    *_, last = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return float(last["jets_per_second"])


def main() -> None:
    """Measure, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="particle_transformer", help="configs/toptagging/MODEL")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="of each in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tunables", help="GLIBC_TUNABLES of the process")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    set_allocator(args.tunables)
    torch.set_num_threads(args.threads)
    settings = load_config(
        ROOT / f"configs/toptagging/{args.model}.yaml",
        [
            f"data.train={json.dumps([str(Path(path).resolve()) for path in args.data])}",
            f"training.steps={2 * args.steps}",
            f"training.steps_per_epoch={args.steps}",
            f"training.batch_size={args.batch}",
            f"training.precision={args.precision}",
            f"training.device={args.device}",
        ],
    )
    jets = read_jets(settings, args.data, args.steps * args.batch)
    bare = Ours(settings, jets.batches(args.batch, settings.model.max_particles), args.device)
    loop_rates, bare_rates = [], []
    with TemporaryDirectory() as directory:
        for number in range(args.rounds):
            loop_rates.append(loop_rate(settings, Path(directory) / str(number)))
            seconds = bare.times("training", args.precision, args.steps)
            bare_rates.append(args.batch * args.steps / sum(seconds))
            print(f"loop {loop_rates[-1]:.1f}, bare step {bare_rates[-1]:.1f} jets/s", flush=True)
    ratio = float(np.median(np.array(loop_rates) / bare_rates))
    print(f"the loop reaches {100 * ratio:.1f} % of the bare step's rate (median of the rounds)")
    result = {
        "model": args.model,
        "batch": args.batch,
        "precision": args.precision,
        **describe_machine(args.device, args.threads),
        "loop_jets_per_second": loop_rates,
        "bare_jets_per_second": bare_rates,
        "ratios": {"loop over bare step": ratio},
    }
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
