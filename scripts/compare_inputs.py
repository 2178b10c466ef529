"""What inputs are worth: one small network on simulated jets that reads more and more of them.

    parttag simulate jetclass --jets 100000 --seed 1 --out jets
    python scripts/compare_inputs.py --data jets --out inputs

Trains the Particle Transformer of ``configs/examples/simulated_vertices.yaml`` on momenta
(``kin``), on JetClass's seventeen features (``full``), on those with a standardization that is
measured, with tracks and towers as two kinds of particles, and with secondary vertices as a third
one; each with every seed, on the same jets. Writes ``table.json`` and ``table.md`` after each
training; given again, it goes on where it stopped.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import parttag as pt

CONFIG = Path(__file__).parents[1] / "configs" / "examples" / "simulated_vertices.yaml"
AS_THEY_ARE = ("charge", "is_charged_hadron", "is_neutral_hadron", "is_photon", "is_electron")
AS_THEY_ARE += ("is_muon",)
STANDARDIZED = ("log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r", "tanh_d0")
STANDARDIZED += ("d0_error", "tanh_dz", "dz_error", "delta_eta", "delta_phi")
MEASURES = ("accuracy", "AUC")


def variants(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a name and a configuration for each choice of inputs."""
    data = {key: value for key, value in content["data"].items() if key != "columns"}
    model = {key: value for key, value in content["model"].items() if key != "max_particles"}
    one_kind = {**content, "data": data, "model": model}
    measured = [*AS_THEY_ARE, *({"column": name} for name in STANDARDIZED)]
    features = dict(content["features"])
    yield "kin", {**one_kind, "features": "kin"}
    yield "full", {**one_kind, "features": "full"}
    yield "full, standardization measured", {**one_kind, "features": measured}
    without = {kind: own for kind, own in features.items() if kind != "vertices"}
    limits = {
        kind: most for kind, most in content["model"]["max_particles"].items() if kind in without
    }
    two = {**content, "features": without, "model": {**model, "max_particles": limits}}
    yield "charged and neutral as two kinds", two
    yield "and vertices as a third", dict(content)


def train(
    name: str, content: dict[str, Any], data: Path, out: Path, seed: int, options: Mapping[str, Any]
) -> dict[str, float]:
    """Return what a training with a seed comes to on the test jets; from a file if it is there."""
    folder = out / name.replace(", ", "_").replace(" ", "_") / f"seed-{seed}"
    known = folder / "figures.json"
    if known.exists():
        figures: dict[str, float] = json.loads(known.read_text())
        return figures
    run = pt.train(
        {**content, "data": {**content["data"], "test": []}},
        train=str(data / "train"),
        val=str(data / "val"),
        out=folder / "run",
        options={"training.seed": seed, **options},
    )
    report = run.evaluate(str(data / "test"))
    figures = {
        "accuracy": report.accuracy.value,
        "accuracy_error": report.accuracy.error,
        "AUC": report.auc.value,
        "AUC_error": report.auc.error,
    }
    known.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return means over seeds with their spread, and of differences to ``full`` seed by seed."""
    lines = [
        "| inputs | seeds | accuracy | AUC | accuracy over full | AUC over full |",
        "|---|---|---|---|---|---|",
    ]
    for name, of_seeds in figures.items():
        cells = [name, str(len(of_seeds))]
        cells += [spread([one[key] for one in of_seeds.values()]) for key in MEASURES]
        base = figures.get("full", {})
        both = [seed for seed in of_seeds if seed in base and name != "full"]
        for key in MEASURES:
            cells.append(spread([of_seeds[seed][key] - base[seed][key] for seed in both], "+"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float], sign: str = "") -> str:
    """Return a mean and the standard deviation of single values."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:{sign}.4f}"
    return f"{np.mean(values):{sign}.4f} ± {np.std(values, ddof=1):.4f}"


def compare(
    data: Path,
    out: Path,
    seeds: int,
    options: Mapping[str, Any],
    content: Mapping[str, Any],
    inputs: Sequence[str] = (),
) -> dict[str, dict[str, dict[str, float]]]:
    """Train what is not trained yet, seed by seed, and return all figures by inputs and seed.

    ``content`` is the configuration that reads most; ``inputs`` are the names of those to train,
    all if none are given.
    """
    chosen = {name: own for name, own in variants(content) if not inputs or name in inputs}
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in chosen}
    for seed in range(seeds):
        for name, own in chosen.items():
            figures[name][str(seed)] = train(name, own, data, out, seed, options)
            (out / "table.json").write_text(json.dumps(figures, indent=2) + "\n")
            (out / "table.md").write_text(table(figures))
            print(f"{name}, seed {seed}: {figures[name][str(seed)]}", flush=True)
    return figures


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="directory of simulated jets")
    parser.add_argument("--out", type=Path, required=True, help="directory of runs and tables")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train-jets", type=int, help="all, if not given")
    parser.add_argument(
        "--inputs", nargs="+", help="lines of the table to train; all, if not given"
    )
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    options: dict[str, Any] = {"training.epochs": given.epochs, "training.device": given.device}
    if given.train_jets:
        options["data.num_train_jets"] = given.train_jets
    content = yaml.safe_load(CONFIG.read_text())
    figures = compare(given.data, given.out, given.seeds, options, content, given.inputs or ())
    print(table(figures))


if __name__ == "__main__":
    main()
