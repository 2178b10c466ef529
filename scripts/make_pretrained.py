"""Make the trained network that parttag ships: simulate jets, train, write weights and model card.

python scripts/make_pretrained.py --out made                      # all of it
python scripts/make_pretrained.py --out made --only simulate      # one step of it

Three steps, each of which continues where it was interrupted:

1. ``simulate``: JetClass-like jets without multiparton interactions, in parts of 50,000 with a
   seed each, ``OUT/jets/part_NNN``; four fifths of each are trained on. About two hours of a
   processor for a million training jets.
2. ``train``: the network of ``toptagging/particle_transformer_small`` on the ten classes, once for
   each number of jets of ``--points``, all with the same number of jets seen (``--seen``): what
   more jets are worth, not more steps. Points whose jets are not all there yet are left out, and
   said. About 40 minutes of a processor for a million jets seen.
3. ``write``: ``OUT/networks/NAME`` of the point with most jets: safetensors, ``card.json`` and
   ``README.md``. With ``PARTTAG_PRETRAINED=OUT/networks`` it has its name already; to ship it, copy
   the folder below ``src/parttag/models/pretrained``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import parttag as pt
from parttag.runs.config import read_config_content
from parttag.runs.pretrained import write_pretrained
from parttag.runs.provenance import commit
from parttag.runs.recipes import find_recipe

PART = 50_000
TRAINED = PART * 8 // 10
FIRST_SEED = 100
NETWORK = "toptagging/particle_transformer_small"
CLASSES = "jetclass/particle_transformer_kin"
BATCH = 256
EPOCHS = 10
"""So many validations, of which the last three are at a falling rate."""
NUMBERS = "numbers.json"
"""What a training is worth, in its directory: there once it is measured."""
MOST_HELD_OUT = 4
"""Parts whose validation and test jets are taken."""
LIMITS = (
    "A network to start from or to probe, not a tagger of real jets.",
    "Its jets have a pT of 500 to 1000 GeV and |η| < 2, a fast simulation of CMS, and no pile-up.",
    "It reads momenta alone: no charges, identities or displacements.",
    "Simulated jets are not those of JetClass: scores on them are not comparable with published "
    "tables.",
)


class Size(NamedTuple):
    """How large everything is; a test has another."""

    part: int = PART
    trained: int = TRAINED
    overrides: dict[str, Any] = {}  # noqa: RUF012


def part_directory(out: Path, number: int) -> Path:
    """Return where a part of the jets is."""
    return out / "jets" / f"part_{number:03d}"


def is_whole(part: Path) -> bool:
    """Return whether all files of a part are there: only then its provenance lists them."""
    path = part / "provenance.json"
    return path.is_file() and "files" in _read(path)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def parts_of(num_jets: int, size: Size) -> range:
    """Return the numbers of the parts that so many training jets take."""
    return range(-(-num_jets // size.trained))


def simulate(out: Path, num_jets: int, processes: int, size: Size) -> None:
    """Make the parts that are missing."""
    for number in parts_of(num_jets, size):
        part = part_directory(out, number)
        if not is_whole(part):
            pt.simulate("jetclass", size.part, part, seed=FIRST_SEED + number, processes=processes)
            print(f"{part}: {size.part:,} jets", flush=True)


def configuration(out: Path, num_jets: int, seen: int, seed: int, size: Size) -> dict[str, Any]:
    """Return the configuration of the training on so many jets."""
    recipe = read_config_content(find_recipe(NETWORK))
    classes = read_config_content(find_recipe(CLASSES))
    numbers = parts_of(num_jets, size)
    files = {
        name: [str(part_directory(out, number) / name) for number in chosen]
        for name, chosen in (
            ("train", numbers), ("val", numbers[:MOST_HELD_OUT]), ("test", numbers[:MOST_HELD_OUT])
        )
    }  # fmt: skip
    steps = -(-seen // BATCH)
    return {
        "data": {**files, "classes": classes["data"]["classes"], "num_train_jets": num_jets},
        "evaluation": classes["evaluation"],
        "features": classes["features"],
        "model": {**recipe["model"], **size.overrides},
        "optimizer": recipe["optimizer"],
        "training": {
            "steps": steps,
            "steps_per_epoch": -(-steps // EPOCHS),
            "batch_size": BATCH,
            "best_by": "loss",
            "seed": seed,
        },
    }


def train(out: Path, points: Sequence[int], seen: int, seed: int, size: Size) -> dict[int, pt.Run]:
    """Train on each number of jets that there are, and measure it on test jets."""
    runs = {}
    for point in points:
        missing = [n for n in parts_of(point, size) if not is_whole(part_directory(out, n))]
        if missing:
            print(f"{point:,} jets: {len(missing)} parts are missing; simulate them first")
            continue
        directory = out / "runs" / f"jets_{point}"
        if (directory / NUMBERS).exists():
            run = pt.load(directory)
        else:
            run = pt.train(configuration(out, point, seen, seed, size), out=directory)
            measured = json.dumps(measure(run), indent=2) + "\n"
            (directory / NUMBERS).write_text(measured, encoding="utf-8")
        runs[point] = run
        print(f"{point:,} jets: {_read(directory / NUMBERS)}", flush=True)
    return runs


def measure(run: pt.Run) -> dict[str, float]:
    """Return what is to be said of a training: what it is worth on test jets, and what it took."""
    report = run.evaluate()
    lines = (run.directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in lines]
    return {
        "accuracy": round(report.accuracy.value, 4),
        "± accuracy": round(report.accuracy.error, 4),
        "loss": round(report.loss, 4),
        "jets seen": float(sum(line["jets"] for line in epochs)),
        "processor hours": round(sum(line["cpu_seconds"] for line in epochs) / 3600, 2),
    }


def write(out: Path, name: str, runs: dict[int, pt.Run], command: str) -> Path:
    """Write the network that was trained on most jets, and what is to be said of it."""
    most = max(runs)
    run = runs[most]
    start = _read(run.directory / "provenance.json")["starts"][0]
    made = [_read(Path(place).parent / "provenance.json") for place in run.config.data.train]
    seeds = [one["options"]["seed"] for one in made]
    versions = ", ".join(f"{name} {version}" for name, version in made[0]["versions"].items())
    training, hardware = run.config.training, start["hardware"]
    said = {
        "summary": f"The Particle Transformer of {NETWORK}, trained on the ten classes of "
        f"{most:,} simulated JetClass-like jets.",
        "data": f"{most:,} jets of the parts train of `parttag simulate jetclass`, "
        f"{made[0]['options']['num_jets']:,} jets a part, seeds {min(seeds)} to {max(seeds)}, "
        f"without multiparton interactions ({versions}). No jet of a public data set.",
        "training": f"{training.steps:,} steps of {training.batch_size} jets, seed "
        f"{training.seed}; network and optimizer of {NETWORK}, classes and features of {CLASSES}; "
        f"of {EPOCHS} validations the one of lowest loss; torch {start['packages']['torch']}, "
        f"{hardware['platform']}, {hardware['threads']} threads.",
        "commit": start["commit"] or commit(),
        "command": command,
        "numbers": {
            f"{point:,} jets": _read(one.directory / NUMBERS) for point, one in runs.items()
        },
        "limits": LIMITS,
    }
    folder = out / "networks" / name
    card = write_pretrained(run, folder, said)
    print(f"{folder}: {(folder / 'weights.safetensors').stat().st_size:,} bytes, {card.summary}")
    return folder


def main(arguments: Sequence[str] | None = None, size: Size | None = None) -> None:
    """Do the steps."""
    size = size or Size()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--jets", type=int, default=1_000_000, help="training jets to simulate")
    parser.add_argument(
        "--points", type=int, nargs="+", default=[125_000, 250_000, 500_000, 1_000_000]
    )
    parser.add_argument("--seen", type=int, default=2_000_000, help="jets seen by every training")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--processes", type=int, default=1, help="that simulate")
    parser.add_argument("--name", default="jetclass_small", help="what the network is called")
    parser.add_argument("--only", choices=("simulate", "train", "write"), help="one step alone")
    given = parser.parse_args(arguments)
    if given.only in (None, "simulate"):
        simulate(given.out, given.jets, given.processes, size)
    if given.only == "simulate":
        return
    points = sorted(point for point in given.points if point <= given.jets)
    runs = train(given.out, points, given.seen, given.seed, size)
    if given.only == "train":
        return
    if not runs:
        raise pt.InputError("nothing is trained yet: simulate jets first")
    command = (
        f"python scripts/make_pretrained.py --jets {given.jets} --points "
        f"{' '.join(map(str, points))} --seen {given.seen} --seed {given.seed} --out made"
    )
    write(given.out, given.name, runs, command)


if __name__ == "__main__":
    try:
        main()
    except pt.InputError as error:
        sys.exit(str(error))
