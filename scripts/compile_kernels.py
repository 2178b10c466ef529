"""The Particle Transformer's kernels compiled for a GPU that need not be there, and what they take.

    python scripts/compile_kernels.py                               # for Hopper, without files
    python scripts/compile_kernels.py --target 80 --dtypes bf16 --data val.h5 --json kernels.json

A step of training and one of inference of the published network (2.14M parameters) run on the CPU,
in which launches are caught and compiled instead. Their instructions, times how often jets of these
lengths run them, and the bytes of the tensors that they are given, each moved once, give two
limits: those of kernels that never wait, alone on an H100 or H200. Nothing is measured.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

# Compiled, not interpreted; Triton reads these when it is imported.
os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DISABLE_LINE_INFO", "1")  # sooner done

from importlib.util import find_spec
from unittest import mock

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
# H100 SXM and H200: multiprocessors, schedulers in each, clock; bytes a second of each.
_ISSUED = 132 * 4 * 1.7e9
_BYTES = {"H100": 3.35e12, "H200": 4.8e12}
_TASKS = ("training", "inference")
_PARTS = {
    "attention": "attention|bias_matrices",
    "pair features and network": "pair_",
    "class attention": "class_attention",
}


def measure(target: int, dtypes: list[str], jets, num_jets: int) -> tuple[list[dict], dict]:
    """Return a row a kernel, task and precision, and the sums of each part."""
    from speed.compiled import caught_launches, compile_launch
    from speed.contestants import Ours
    from speed.kernel_work import executions, warp_instructions

    from parttag.runs.config import load_config

    recipe = ROOT / "configs/toptagging/particle_transformer.yaml"
    rows, compiled = [], {}
    for dtype in dtypes:
        for task in _TASKS:
            settings = load_config(recipe, ["model.kernels=triton"])
            batches = jets.batches(num_jets, settings.model.max_particles)[:1]
            lengths = batches[0].lengths
            ours = Ours(settings, batches, "cpu")
            # On a CPU alone, inference takes a batch in parts.
            whole = mock.patch(
                "parttag.models.particle_transformer._PARTICLES_IN_CACHE", sys.maxsize
            )
            with whole, caught_launches() as launches:
                (ours.train if task == "training" else ours.infer)(batches[0], dtype)
            for key, launch in launches.items():
                if key not in compiled:
                    compiled[key] = compile_launch(launch, target)
                code = compiled[key]
                counts = executions(launch.name, launch.constants, lengths)
                work = launch.times * warp_instructions(code.warps, code.by_depth, counts)
                num_bytes = launch.times * launch.num_bytes / num_jets
                rows.append(
                    {"task": task, "precision": dtype, **code.as_dict(), "times": launch.times}
                    | {"warp_instructions": work, "bytes": num_bytes}
                )
    return rows, _parts(rows)


def _parts(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Return warp instructions and bytes a jet, and the limits that follow, part by part."""
    parts = {}
    for task, precision in dict.fromkeys((row["task"], row["precision"]) for row in rows):
        mine = [row for row in rows if (row["task"], row["precision"]) == (task, precision)]
        for part, pattern in {**_PARTS, "all kernels": ""}.items():
            chosen = [row for row in mine if re.match(pattern, row["kernel"])]
            instructions = sum(row["warp_instructions"] for row in chosen)
            num_bytes = sum(row["bytes"] for row in chosen)
            parts[f"{task}, {precision}: {part}"] = {
                "warp_instructions": instructions,
                "bytes": num_bytes,
                "jets_per_second, instructions": _ISSUED / instructions,
                **{f"jets_per_second, {n}": rate / num_bytes for n, rate in _BYTES.items()},
            }
    return parts


def main() -> None:
    """Compile, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", type=int, default=90, help="compute capability, times ten")
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "fp32"], choices=["bf16", "fp32"])
    parser.add_argument("--data", nargs="+", help="jets; else made ones of 49 particles on average")
    parser.add_argument("--jets", type=int, default=64)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if find_spec("triton") is None:
        sys.exit("Triton is not installed: pip install triton")
    from speed.contestants import read_jets
    from speed.made_jets import made_jets

    from parttag.runs.config import load_config

    torch.set_num_threads(1)
    if args.data:
        settings = load_config(ROOT / "configs/toptagging/particle_transformer.yaml")
        jets = read_jets(settings, args.data, args.jets)
    else:
        jets = made_jets(48.5, args.jets)
    rows, parts = measure(args.target, args.dtypes, jets, args.jets)
    n = jets.arrays.lengths
    print(f"sm_{args.target}; {len(n)} jets, mean n {n.mean():.1f}, mean n² {np.mean(n**2.0):.0f}")
    _print(rows, parts)
    if args.json:
        args.json.write_text(json.dumps({"target": args.target, "kernels": rows, "parts": parts}))


def _print(rows: list[dict], parts: dict[str, dict[str, float]]) -> None:
    print(
        f"{'kernel':29}{'precision':11}{'regs':>5}{'spilled':>8}{'shared':>8}{'programs':>9}"
        f"{'instr':>7}{'tensor':>7}{'times':>6}{'warp instr/jet':>15}  task: variant"
    )
    for row in rows:
        print(
            f"{row['kernel']:29}{row['precision']:11}{row['registers']:5}{row['spilled_bytes']:8}"
            f"{row['shared_bytes']:8}{row['programs']:4} x {row['warps']:2}"
            f"{row['instructions']:7}{row['tensor_instructions']:7}{row['times']:6}"
            f"{row['warp_instructions']:15,.0f}  {row['task']}: {row['variant']}"
        )
    print("\nFor one jet, and the limits that follow, in jets/s of these kernels alone")
    for name, part in parts.items():
        limits = [f"{k.split(', ')[1]} {v:,.0f}" for k, v in part.items() if ", " in k]
        print(
            f"{name:46}{part['warp_instructions']:12,.0f} warp instructions"
            f"{part['bytes']:12,.0f} bytes   {'  '.join(limits)}"
        )


if __name__ == "__main__":
    main()
