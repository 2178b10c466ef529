"""What a device does in steps of training: kernels and their time, waits, and what the host takes.

    python scripts/profile_step.py --data val.h5 --batch 512 --json profile.json

Under torch's profiler, which slows the host down: times of kernels are right, rates are not.
"""

import argparse
import json
from pathlib import Path

import torch
from speed.contestants import WARM_UP_STEPS, Ours, read_jets
from torch.profiler import ProfilerActivity, profile

from parttag.runs.config import load_config

RECIPE = Path(__file__).parents[1] / "configs/toptagging/particle_transformer.yaml"
_STEPS = 4
_SHOWN = 40


def main() -> None:
    """Profile, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    precision = "bf16" if on_gpu else "fp32"
    settings = load_config(RECIPE)
    jets = read_jets(settings, args.data, 2 * args.batch)
    ours = Ours(settings, jets.batches(args.batch, settings.model.max_particles), args.device)
    ours.times("training", precision, WARM_UP_STEPS if on_gpu else 1)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as found:
        for number in range(_STEPS):
            ours.train(ours.batches[number % len(ours.batches)], precision)
        if on_gpu:
            torch.cuda.synchronize()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    rows = [
        {"name": e.key[:100], "calls": e.count / _STEPS, "ms": getattr(e, key) / 1e3 / _STEPS}
        for e in found.key_averages()
    ]
    rows.sort(key=lambda row: -row["ms"])
    waits = {r["name"]: r["calls"] for r in rows if "ynchronize" in r["name"]}
    result = {
        "batch": args.batch,
        "kernel launches a step": sum(r["calls"] for r in rows if "LaunchKernel" in r["name"]),
        "busy ms a step": sum(row["ms"] for row in rows),
        "waits a step": waits,
        "top": rows[:_SHOWN],
    }
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
