"""Which kernels spill registers on which GPU, at the widths that networks use; none need be there.

    python scripts/spills_by_target.py --json spills.json

Attention and class attention for heads of 16, 32 and 64 channels (in float32 to 32: of wider ones
``choose_path`` gives the jets to plain torch), the pair network and the pair features as published.
Each is compiled for every target, and its machine code read. 0 is none; "none" that it does not
compile there.
"""

import argparse
import json
import os
from pathlib import Path

# Compiled, not interpreted; Triton reads these when it is imported.
os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DISABLE_LINE_INFO", "1")  # sooner done

import numpy as np
import torch
from speed.compiled import Launch, caught_launches, compile_launch

from parttag.models.layers.pair_network import PairNetwork
from parttag.ops.attention import attend, class_attend, spread_bias
from parttag.ops.layout import JetLayout

TARGETS = (75, 80, 86, 89, 90, 100, 120)
LENGTHS = np.array([60, 33, 128])
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
WIDTHS = {"bf16": (16, 32, 64), "fp32": (16, 32)}


def launches(precision: str) -> dict[str, Launch]:
    """Return what a step launches, each kernel at each width once, by its name."""
    dtype = DTYPES[precision]
    layout = JetLayout(LENGTHS, path="triton")
    named = {}
    for width in WIDTHS[precision]:
        with caught_launches() as caught:
            qkv = torch.zeros(layout.num_rows, 3, 8, width, dtype=dtype, requires_grad=True)
            bias = torch.zeros(8, layout.num_pairs, requires_grad=True)
            attend(qkv, spread_bias(bias, layout), layout, 0.1).sum().backward()
            query, own, particles = (
                torch.zeros(*shape, dtype=dtype, requires_grad=True)
                for shape in (
                    (layout.num_jets, 8, width),
                    (layout.num_jets, 2, 8, width),
                    (layout.num_rows, 2, 8, width),
                )
            )
            class_attend(query, own, particles, layout).sum().backward()
        for launch in caught.values():
            named[f"{launch.name}, heads of {width}"] = launch
    network = PairNetwork((64, 64, 64, 8))
    with caught_launches() as caught, torch.autocast("cpu", dtype, enabled=precision == "bf16"):
        features = torch.zeros(layout.num_pairs, 4)
        network(features, uses_kernels=True).sum().backward()
    for number, launch in enumerate(caught.values()):
        named[f"{launch.name}, {number}"] = launch
    return named


def spilled(launch: Launch, target: int) -> int | None:
    """Return the bytes that a kernel spills; ``None`` if it does not compile."""
    try:
        return compile_launch(launch, target).spilled_bytes
    except Exception as error:  # noqa: BLE001 - whatever a compiler says is the result
        print(f"{launch.name} for sm_{target}: {str(error).splitlines()[:1]}", flush=True)
        return None


def main() -> None:
    """Compile, print a table, and write the numbers if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=int, nargs="+", default=TARGETS)
    parser.add_argument("--precisions", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict[str, int | None]] = {}
    print("| kernel | " + " | ".join(f"sm_{t}" for t in args.targets) + " |")
    print("|---" * (len(args.targets) + 1) + "|", flush=True)
    for precision in args.precisions:
        for name, launch in launches(precision).items():
            row = {str(target): spilled(launch, target) for target in args.targets}
            rows[f"{precision}: {name}"] = row
            cells = ["none" if value is None else str(value) for value in row.values()]
            print(f"| {precision}: {name} | " + " | ".join(cells) + " |", flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
