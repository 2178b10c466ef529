"""Quark and gluon jets from few labels: PFN and the small Particle Transformer, seed by seed.

    python scripts/quark_gluon_few_labels.py \
        $PARTTAG_SHARED_DATA/quarkgluon/quarkgluon_kin_1500.root

The first 1,000 jets are labels: 850 to train on, 150 to choose the epoch by; the other 500 are the
test. Momenta only: the published numbers, which know identities and 1.6 million labels, are no
comparison.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import awkward as ak
import numpy as np
import uproot

import parttag as pt
from parttag.api.runs import configure

NUM_TRAIN, NUM_LABELS = 850, 1_000
RECIPES = {"PFN": "toptagging/pfn", "ParT, small": "toptagging/particle_transformer_small"}
RATES = {"PFN": 3e-3, "ParT, small": 2e-3}


def main() -> None:
    """Print a line for each network and seed, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jets", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        files = _split(options.jets, Path(folder))
        for name, recipe in RECIPES.items():
            areas = []
            for seed in range(options.seeds):
                run = pt.train(
                    _content(name, recipe, seed, options.epochs),
                    train=files["train"],
                    val=files["val"],
                    out=Path(folder) / f"{recipe.replace('/', '_')}_{seed}",
                )
                area = run.evaluate(files["test"]).auc
                areas.append(area.value)
                told = f"AUC {area.value:.4f} ± {area.error:.4f}"
                print(f"{name}, seed {seed}: {told}", flush=True)
            print(f"{name}: mean AUC {np.mean(areas):.4f}, spread {np.std(areas, ddof=1):.4f}")


def _content(name: str, recipe: str, seed: int, epochs: int) -> dict[str, object]:
    """Return the network of a recipe, with a training that is the same for both."""
    model = configure(recipe, {}).model.model_dump()
    return {
        "data": {"classes": {"quark": ["label_quark"], "gluon": ["label_gluon"]}},
        "evaluation": {"background": "gluon"},
        "model": model,
        "optimizer": {"lr": RATES[name], "weight_decay": 0.01},
        "training": {"epochs": epochs, "batch_size": 64, "best_by": "loss", "seed": seed},
    }


def _split(path: Path, folder: Path) -> dict[str, Path]:
    """Write the three parts, branch by branch as they are."""
    with uproot.open(path) as file:
        branches = file["tree"].arrays(library="ak")
    bounds = {"train": (0, NUM_TRAIN), "val": (NUM_TRAIN, NUM_LABELS), "test": (NUM_LABELS, None)}
    files = {}
    for name, (start, stop) in bounds.items():
        part = branches[start:stop]
        columns = {field: part[field] for field in part.fields if field[:5] != "npart"}
        files[name] = folder / f"{name}.root"
        with uproot.recreate(files[name]) as output:
            output.mktree("tree", {key: ak.type(value).content for key, value in columns.items()})
            output["tree"].extend(columns)
    return files


if __name__ == "__main__":
    main()
