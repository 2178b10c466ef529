"""Whether more tasks make a better tagger: one small network on simulated jets with more of them.

    parttag simulate masses --jets 120000 --seed 1 --out jets
    python scripts/compare_tasks.py --data jets --out tasks

Trains the network of ``configs/examples/several_tasks.yaml`` on the classes alone, with origins and
vertices of particles besides, on the mass alone, on the origins alone, and on classes, mass and
origins together; each with every seed, on the same jets. Writes ``table.json`` and ``table.md``
after each training: every number with its spread over seeds, differences seed by seed, and the time
of a step. Given again, it goes on where it stopped.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import parttag as pt

CONFIG = Path(__file__).parents[1] / "configs" / "examples" / "several_tasks.yaml"
VARIANTS = {
    "classes": ("classify",),
    "classes, origins, vertices": ("classify", "origin", "vertex"),
    "mass": ("mass",),
    "origins": ("origin",),
    "classes, mass, origins": ("classify", "mass", "origin"),
}
BASE = "classes"

Figures = dict[str, float]


def configuration(tasks: tuple[str, ...]) -> dict[str, Any]:
    """Return the configuration of a training of these tasks."""
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    content["data"].pop("test")
    content["objective"]["tasks"] = {name: content["objective"]["tasks"][name] for name in tasks}
    content["training"]["best_by"] = "accuracy" if "classify" in tasks else "loss"
    return content


def figures_of(report: pt.Report) -> Figures:
    """Return the numbers of an evaluation that are compared."""
    content, found = report.to_json(), Figures()
    for name in ("accuracy", "auc"):
        if content[name]["value"] is not None:
            found[name] = content[name]["value"]
    for signal, points in content["rejection"].items():
        found |= {f"{signal}: 1/ε_B at {eps}": own["value"] for eps, own in points.items()}
    tasks = content.get("tasks", {})
    if "mass" in tasks:
        found["mass resolution"] = tasks["mass"]["resolution"]["value"]
        found["mass bias"] = tasks["mass"]["bias"]["value"]
    if "origin" in tasks:
        found["origin accuracy"] = tasks["origin"]["accuracy"]["value"]
    if "vertex" in tasks:
        found["vertex efficiency"] = tasks["vertex"]["efficiency"]["value"]
        found["vertex purity"] = tasks["vertex"]["purity"]["value"]
    return {name: value for name, value in found.items() if value is not None}


def train(name: str, data: Path, out: Path, seed: int, options: Mapping[str, Any]) -> Figures:
    """Return what a training with a seed comes to on the test jets; from a file if it is there."""
    folder = out / name.replace(", ", "_") / f"seed-{seed}"
    known = folder / "figures.json"
    if known.exists():
        figures: Figures = json.loads(known.read_text())
        return figures
    run = pt.train(
        configuration(VARIANTS[name]),
        train=str(data / "train"),
        val=str(data / "val"),
        out=folder / "run",
        options={"training.seed": seed, **options},
    )
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line) for line in lines]
    figures = figures_of(run.evaluate(str(data / "test")))
    seconds = sum(epoch["cpu_seconds"] for epoch in epochs)
    figures["CPU-seconds of a step"] = seconds / epochs[-1]["step"]
    known.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def table(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Return means over seeds with their spread, and below them differences to classes alone."""
    every = [own for seeds in found.values() for own in seeds.values()]
    measures = list(dict.fromkeys(measure for own in every for measure in own))
    lines = [f"| number | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    for measure in measures:
        cells = [spread(_known(seeds, measure)) for seeds in found.values()]
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    base = found.get(BASE, {})
    for name, seeds in found.items():
        for measure in measures if name != BASE else ():
            both = [
                own[measure] - base[seed][measure]
                for seed, own in seeds.items()
                if measure in own and measure in base.get(seed, {})
            ]
            if both:
                lines.append(f"\n- {measure}, {name} over {BASE}: {spread(both, '+')}")
    return "\n".join(lines) + "\n"


def _known(seeds: Mapping[str, Figures], measure: str) -> list[float]:
    return [own[measure] for own in seeds.values() if measure in own]


def spread(values: list[float], sign: str = "") -> str:
    """Return a mean and the standard deviation of single values."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:{sign}.5g}"
    return f"{np.mean(values):{sign}.5g} ± {np.std(values, ddof=1):.2g}"


def main() -> None:
    """Train what is not trained yet, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory of simulated jets")
    parser.add_argument("--out", type=Path, required=True, help="directory of runs and tables")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    given = parser.parse_args()
    options = {"training.epochs": given.epochs, "training.device": given.device}
    found: dict[str, dict[str, Figures]] = {name: {} for name in given.variants}
    for seed in range(given.seeds):
        for name in given.variants:
            found[name][str(seed)] = train(name, given.data, given.out, seed, options)
            (given.out / "table.json").write_text(json.dumps(found, indent=2) + "\n")
            (given.out / "table.md").write_text(table(found))
            print(f"{name}, seed {seed}: {found[name][str(seed)]}", flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
