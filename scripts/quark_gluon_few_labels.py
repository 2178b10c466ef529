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

NUM_TRAIN, NUM_LABELS = 850, 1_000
RECIPES = {
    "PFN": ("toptagging/pfn", {"optimizer.lr": 3e-3}),
    "ParT, small": ("toptagging/particle_transformer_small", {}),
}
COMMON = {
    "data.classes": {"quark": ["label_quark"], "gluon": ["label_gluon"]},
    "evaluation.background": "gluon",
    "training.batch_size": 64,
    "training.best_by": "loss",
    "training.steps": None,
    "training.steps_per_epoch": None,
    "training.drop_last": False,
    "training.validate_every": 1,
}


def main() -> None:
    """Print a line for each network and seed, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jets", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        files = _split(options.jets, Path(folder))
        for name, (recipe, changes) in RECIPES.items():
            areas = []
            for seed in range(options.seeds):
                report = (
                    pt.train(
                        recipe,
                        train=files["train"],
                        val=files["val"],
                        out=Path(folder) / f"{recipe.replace('/', '_')}_{seed}",
                        epochs=options.epochs,
                        options=COMMON | changes | {"training.seed": seed},
                    )
                    .evaluate(files["test"])
                    .auc
                )
                areas.append(report.value)
                print(
                    f"{name}, seed {seed}: AUC {report.value:.4f} ± {report.error:.4f}", flush=True
                )
            print(f"{name}: mean AUC {np.mean(areas):.4f}, spread {np.std(areas, ddof=1):.4f}")


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
