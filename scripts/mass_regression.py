"""Masses of simulated jets by a small Particle Transformer: resolution, bias and quantiles.

    parttag simulate masses --jets 120000 --seed 1 --out jets
    python scripts/mass_regression.py --data jets --out masses

Trains the target ``mass`` of ``configs/examples/several_tasks.yaml`` alone (with ``--tasks``, all
of its tasks together) on ``jets/train``, and measures it on ``jets/test`` beside the plain and the
soft-drop mass, in bins of the true mass. Writes ``masses.md`` and ``masses.json`` to ``--out``; a
training that was interrupted goes on.
"""

import argparse
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

import parttag as pt

CONFIG = Path(__file__).parents[1] / "configs" / "examples" / "several_tasks.yaml"
TARGET, SOFT_DROP = "mass", "jet_sdmass"
LOW, HIGH = 60.0, 160.0
"""GeV; the bins between have the aims of this study."""
MOST_OF_SOFT_DROP, MOST_BIAS = 0.8, 0.02


def configuration(*, all_tasks: bool) -> dict[str, Any]:
    """Return the configuration of the training; of masses alone, or of all tasks."""
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    content["data"].pop("test")
    if not all_tasks:
        content["objective"] = {"name": "tasks", "tasks": {TARGET: {"weight": 1}}}
        content["training"] = {**content["training"], "best_by": "loss"}
    return content


def table(found: Mapping[str, Any]) -> str:
    """Return the numbers of ``metrics.json`` by bins of the true mass, as Markdown."""
    bins = {name: own for name, own in found["by_target"].items() if name != "edges"}
    header = ["true mass [GeV]", "jets"]
    header += [f"{measure}: {name}" for measure in ("resolution", "bias") for name in bins]
    lines = [header, ["---"] * len(header)]
    for number, (low, high) in enumerate(edges_of(found)):
        own = {name: each[number] for name, each in bins.items()}
        cells = [f"{low:g}–{high:g}", f"{own['prediction']['num_jets']:,}"]
        for measure in ("resolution", "bias"):
            cells += [with_error(one[measure]) for one in own.values()]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def with_error(number: Mapping[str, float | None]) -> str:
    """Return a number and its error."""
    if number["value"] is None or number["error"] is None:
        return "–"
    return f"{number['value']:.4f} ± {number['error']:.4f}"


def edges_of(found: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the edges of each bin."""
    edges = found["by_target"]["edges"]
    return list(pairwise(edges))


def verdicts(found: Mapping[str, Any]) -> list[str]:
    """Return whether the aims are met: in each bin, and of the quantiles."""
    said = []
    for number, (low, high) in enumerate(edges_of(found)):
        if low < LOW or high > HIGH or SOFT_DROP not in found["by_target"]:
            continue
        own = found["by_target"]["prediction"][number]
        other = found["by_target"][SOFT_DROP][number]
        values = [own["resolution"]["value"], other["resolution"]["value"], own["bias"]["value"]]
        if None in values:
            continue
        ratio, bias = values[0] / values[1], values[2]
        is_met = ratio <= MOST_OF_SOFT_DROP and abs(bias) <= MOST_BIAS
        said.append(
            f"{low:g}–{high:g} GeV: resolution {ratio:.3f} of soft drop's, bias {bias:+.4f}: "
            f"{'met' if is_met else 'missed'}"
        )
    for name, share in found["coverage"].items():
        said.append(f"true mass below {name}: {with_error(share)}")
    return said


def measure(
    data: Path, out: Path, options: Mapping[str, Any], *, all_tasks: bool = False
) -> dict[str, Any]:
    """Train what is not trained yet, and return what ``metrics.json`` says of the masses."""
    run = pt.train(
        configuration(all_tasks=all_tasks),
        train=str(data / "train"),
        val=str(data / "val"),
        out=out / ("all_tasks" if all_tasks else "mass_alone"),
        options=dict(options),
    )
    report = run.evaluate(str(data / "test"))
    report.save(out / f"evaluation_{run.directory.name}", overwrite=True)
    found: dict[str, Any] = report.to_json()["tasks"][TARGET]
    text = table(found) + "\n" + "".join(f"- {line}\n" for line in verdicts(found))
    (out / "masses.json").write_text(json.dumps(found, indent=2) + "\n")
    (out / "masses.md").write_text(text)
    print(text)
    return found


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory of simulated jets")
    parser.add_argument("--out", type=Path, required=True, help="directory of run and tables")
    parser.add_argument("--tasks", action="store_true", help="train all tasks, not the mass alone")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    options = {
        "training.epochs": given.epochs,
        "training.seed": given.seed,
        "training.device": given.device,
    }
    measure(given.data, given.out, options, all_tasks=given.tasks)


if __name__ == "__main__":
    main()
