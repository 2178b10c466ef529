"""Kill a training with signal 9 at random moments, continue it, compare with an uninterrupted one.

Example: python scripts/kill_and_continue.py configs/toptagging/pfn.yaml data.train=train.h5
    data.val=val.h5 training.epochs=3 training.checkpoint_every=5 --kills 20

A kill is survived if the run, continued until it is complete, has the weights of the uninterrupted
run bit for bit. Runs are killed and completed until there were as many kills as asked for.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from parttag.training.checkpoint import read_checkpoint


def main() -> None:
    """Print and write ``{"tried": …, "survived": …}``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work", type=Path, default=Path("runs/kill_and_continue"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_intermixed_args()
    moments = random.Random(arguments.seed)
    command = [sys.executable, "-m", "parttag.cli", "train", arguments.config]
    command += arguments.overrides

    shutil.rmtree(arguments.work, ignore_errors=True)
    whole = arguments.work / "whole"
    began = time.monotonic()
    subprocess.run([*command, "--out", whole], check=True, stderr=subprocess.DEVNULL)
    duration = time.monotonic() - began
    expected = read_checkpoint(whole / "checkpoints" / "last.pt")["weights"]

    tried = survived = number = 0
    while tried < arguments.kills:
        run = arguments.work / f"killed{number}"
        kills = _train_under_fire([*command, "--out", str(run)], duration, moments)
        weights = read_checkpoint(run / "checkpoints" / "last.pt")["weights"]
        tried += kills
        survived += kills * _equal(weights, expected)
        number += 1
        print(f"run {number}: killed {kills} times; {survived} of {tried} survived", flush=True)
    result = {"tried": tried, "survived": survived, "runs": number}
    print(json.dumps(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result))


def _train_under_fire(command: list[str], duration: float, moments: random.Random) -> int:
    """Start the command and kill it, again and again, until it ends by itself; count the kills."""
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            code = process.wait(timeout=moments.uniform(0, duration))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:
            if code:
                raise SystemExit(f"the continued run failed with exit code {code}")
            return kills


def _equal(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return list(weights) == list(expected) and all(
        torch.equal(weights[name], expected[name]) for name in expected
    )


if __name__ == "__main__":
    main()
