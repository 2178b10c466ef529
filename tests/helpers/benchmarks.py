"""Small benchmarks for tests: tiny recipes in files, on toy jets that the benchmark makes."""

from pathlib import Path
from typing import Any

import yaml

from parttag.benchmarks.options import BenchmarkOptions
from parttag.benchmarks.plan import Plan
from parttag.benchmarks.planning import make_plan
from parttag.benchmarks.run import Outcome, run_benchmark
from parttag.options import read_options

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}
TRANSFORMER = {
    "name": "particle_transformer",
    "embed_dims": [8],
    "pair_dims": [4],
    "num_heads": 2,
    "num_layers": 1,
    "num_class_layers": 1,
}
RECIPES = {
    "pfn.yaml": {"name": "pfn", "particle_dims": [8, 8], "jet_dims": [8]},
    "transformer.yaml": TRANSFORMER,
}
TRAINING = {"epochs": 2, "batch_size": 16, "device": "cpu"}


def write_recipes(folder: Path) -> None:
    """Write the recipes of two tiny networks, whose own jets and epochs are not the table's."""
    for name, model in RECIPES.items():
        content = {
            "data": {"train": "nowhere.h5", "classes": {"a": ["label_a"], "b": ["label_b"]}},
            "model": model,
            "training": {"epochs": 50, "batch_size": 512},
        }
        (folder / name).write_text(yaml.safe_dump(content))


def toy_benchmark(**changes: Any) -> dict[str, Any]:
    """Return the configuration of two rows with one seed, some sections replaced."""
    return {
        "jets": {"toy": 40},
        "data": {"classes": CLASSES},
        "cost_jets": 2,
        "published": "toptagging",
        "overrides": {"training": TRAINING},
        "rows": {
            "PFN": {"recipe": "pfn.yaml", "published": "PFN", "footnote": "tiny"},
            "ParT": {"recipe": "transformer.yaml", "published": "ParT"},
        },
        **changes,
    }


def toy_plan(folder: Path, **changes: Any) -> Plan:
    """Return the plan of ``toy_benchmark``, whose runs are in ``folder / "table"``."""
    write_recipes(folder)
    options = read_options(BenchmarkOptions, toy_benchmark(**changes))
    return make_plan(options, folder, folder / "table")


def run_all(plan: Plan, **options: Any) -> Outcome:
    """Do all jobs of a plan."""
    return run_benchmark(plan, plan.jobs(), **options)
