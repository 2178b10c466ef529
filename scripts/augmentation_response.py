"""How far each augmentation moves a jet's representation, in a trained and in an untrained encoder.

    python scripts/augmentation_response.py runs/jetclr test.h5 --jets 5000 --json response.json

The distance is 1 − cos of the angle between two representations, those that the backbone returns
(with --head what the head makes of them: for a contrastive run, where the loss compares them), the
mean over jets. Beside each is its share of the distance between two different jets: an encoder that
gives the same for all jets is invariant too. Augmentations and strengths are those of the run, or
the published ones for a run that was trained for something else.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from parttag.data import open_dataset
from parttag.data.jet_files import JetFiles
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.feature_lists import required_extras
from parttag.models import build_model
from parttag.ops.jet_sums import sum_jets
from parttag.runs.run import load_run
from parttag.training.objectives import build_objective
from parttag.training.objectives.augmentations import (
    AugmentationOptions,
    rotate,
    smear_soft,
    split_collinear,
    translate,
)
from parttag.training.objectives.contrastive import ContrastiveOptions

BATCH_JETS = 256
OTHER_JET = "another jet"


def augmentations(options: AugmentationOptions) -> dict[str, Callable[[JetBatch], JetBatch]]:
    """Return each augmentation that the options ask for, by name."""

    def split(batch: JetBatch) -> JetBatch:
        for _ in range(options.splitting_passes):
            batch = split_collinear(batch, options.split_to)
        return batch

    smear = partial(smear_soft, strength=options.smearing, min_pt=options.smearing_min_pt)
    functions = {
        "rotation": (options.rotation, partial(rotate, strength=options.rotation)),
        "translation": (options.translation, partial(translate, strength=options.translation)),
        "collinear splitting": (options.splitting_passes, split),
        "soft smearing": (options.smearing, smear),
    }
    return {name: function for name, (strength, function) in functions.items() if strength}


@torch.no_grad()
def responses(
    represent: Callable[[JetBatch], torch.Tensor],
    batches: list[JetBatch],
    options: AugmentationOptions,
    seed: int,
) -> dict[str, float]:
    """Return the mean distance by augmentation, and last that between neighbours in the batches."""
    torch.manual_seed(seed)

    def encode(batch: JetBatch, original: JetBatch) -> torch.Tensor:
        return represent(replace(batch, jet_axis=original.jet_axis) if options.keep_axis else batch)

    originals = torch.cat([encode(sum_jets(batch), batch) for batch in batches])
    distances = {
        name: _distance(originals, torch.cat([encode(augment(b), b) for b in batches]))
        for name, augment in augmentations(options).items()
    }
    return distances | {OTHER_JET: _distance(originals, originals.roll(1, dims=0))}


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((1 - F.cosine_similarity(one.double(), other.double())).mean())


def main() -> None:
    """Print the distances, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--jets", type=int, default=5000, help="drawn at random from all")
    parser.add_argument("--seed", type=int, default=0, help="of jets, augmentations and weights")
    parser.add_argument("--head", action="store_true", help="compare what the head returns")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    run = load_run(arguments.run)
    config, trained = run.config, run.model
    options = AugmentationOptions()
    if isinstance(config.objective, ContrastiveOptions):
        options = config.objective.augmentations
    torch.manual_seed(arguments.seed)
    untrained = build_model(config.model, config.features, len(run.classes) or 1)
    build_objective(config.objective, untrained.eval())

    extras = required_extras(config.network_features)
    files = JetFiles(arguments.files, config.data.columns)
    dataset = open_dataset(files, {}, require_extras=extras)
    rows = np.random.default_rng(arguments.seed).permutation(len(dataset))[: arguments.jets]
    batches = [
        make_batch(dataset.take(rows[start : start + BATCH_JETS]), None, trained.max_particles)
        for start in range(0, len(rows), BATCH_JETS)
    ]
    results = {
        name: responses(model if arguments.head else model.encode, batches, options, arguments.seed)
        for name, model in (("trained", trained), ("untrained", untrained))
    }
    print(f"{len(rows)} jets, cosine distance (its share of that to {OTHER_JET})")
    print(f"{'':20}{'trained':>22}{'untrained':>22}")
    for name in results["trained"]:
        cells = [f"{r[name]:.3e} ({r[name] / r[OTHER_JET]:7.2%})" for r in results.values()]
        print(f"{name:20}" + "".join(f"{cell:>22}" for cell in cells))
    if arguments.json:
        settings = {"jets": len(rows), "seed": arguments.seed, "head": arguments.head}
        content = {**settings, "distances": results}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
