"""Train one network twice on the same batches: by the fast path and by the plain reference.

    python scripts/compare_paths.py --data train.h5                       # the losses of 50 steps
    python scripts/compare_paths.py --data train.h5 --steps 1000          # the smoothed loss, too
    python scripts/compare_paths.py --data train.h5 --steps 1000 --test test.h5      # and the AUC

Weights, batches and learning rates are the same, and there is no dropout and no trimming, so that
the losses differ by rounding alone. The reference computes attention jet by jet and the pair
network layer by layer, in plain torch. Exit code 1 if the losses of the first 50 steps differ by
more than 1e-4, or the smoothed ones, of 100 steps, by more than 1 %.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from speed.contestants import read_jets

from parttag.jets.batch import JetBatch
from parttag.models import Tagger, build_model
from parttag.runs.config import RunConfig, load_config
from parttag.training.optimizers import build_optimizer, multiply_learning_rates
from parttag.training.schedules import lr_multiplier

ROOT = Path(__file__).parents[1]
FIRST_STEPS, FIRST_TOLERANCE = 50, 1e-4
SMOOTHED_STEPS, SMOOTHED_TOLERANCE = 100, 0.01


class Training:
    """One network and its optimizer."""

    def __init__(self, settings: RunConfig, device: str, num_steps: int) -> None:
        torch.manual_seed(settings.training.seed)
        self.settings, self.num_steps, self.device = settings, num_steps, device
        self.network: Tagger = build_model(
            settings.model, settings.features, len(settings.data.classes)
        ).to(device)
        self.optimizer = build_optimizer(self.network, settings.optimizer)

    def step(self, number: int, batch: JetBatch) -> float:
        """Take a step and return its loss."""
        multiplier = lr_multiplier(self.settings.schedule, number, self.num_steps, self.num_steps)
        multiply_learning_rates(self.optimizer, multiplier)
        batch = batch.to(self.device)
        bf16 = self.settings.training.precision == "bf16"
        with torch.autocast(self.device, torch.bfloat16, enabled=bf16):
            logits = self.network(batch)
        loss = torch.nn.functional.cross_entropy(logits.float(), batch.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.inference_mode()
    def auc(self, batches: list[JetBatch]) -> float:
        """Return the area under the ROC curve of the first class."""
        self.network.eval()
        scores = [self.network(batch.to(self.device)).softmax(dim=1)[:, 0] for batch in batches]
        is_first = torch.cat([batch.labels for batch in batches]) == 0
        return float(roc_auc_score(is_first.numpy(), torch.cat(scores).cpu().numpy()))


def compare(losses: np.ndarray) -> dict[str, float]:
    """Return how much the two columns of losses differ, of single steps and smoothed."""
    first = losses[:FIRST_STEPS]
    result = {"largest_difference_of_first_steps": float(np.abs(np.diff(first, axis=1)).max())}
    if len(losses) >= SMOOTHED_STEPS:
        sums = np.cumsum(np.vstack([np.zeros(2), losses]), axis=0)
        smooth = (sums[SMOOTHED_STEPS:] - sums[:-SMOOTHED_STEPS]) / SMOOTHED_STEPS
        relative = np.abs(smooth[:, 0] / smooth[:, 1] - 1)
        result["largest_relative_difference_of_smoothed_loss"] = float(relative.max())
    return result


def main() -> None:
    """Train, compare, and write the losses if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="particle_transformer_small")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", help="jets on which both are evaluated in the end")
    parser.add_argument("--paths", nargs=2, default=["auto", "reference"])
    parser.add_argument("--steps", type=int, default=FIRST_STEPS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    overrides = ["model.dropout=0", "model.trim=false", f"training.precision={args.precision}"]
    recipe = ROOT / f"configs/toptagging/{args.model}.yaml"
    settings = [load_config(recipe, [*overrides, f"model.kernels={p}"]) for p in args.paths]
    jets = read_jets(settings[0], args.data, args.steps * args.batch)
    batches = jets.batches(args.batch, settings[0].model.max_particles)
    trainings = [Training(each, args.device, args.steps) for each in settings]
    losses = []
    for number in range(args.steps):
        batch = batches[number % len(batches)]
        losses.append([training.step(number, batch) for training in trainings])
        if number % 10 == 9:
            print(f"step {number + 1}: losses {losses[-1][0]:.6f} and {losses[-1][1]:.6f}")
    result = compare(np.array(losses))
    for name, value in result.items():
        print(f"{name.replace('_', ' ')}: {value:.2e}")
    aucs: list[float] = []
    if args.test:
        jets = read_jets(settings[0], args.test, sys.maxsize)
        batches = jets.batches(args.batch, settings[0].model.max_particles)
        aucs = [training.auc(batches) for training in trainings]
        print(f"AUC: {aucs[0]:.5f} and {aucs[1]:.5f}")
    if args.json:
        content = {"ratios": {}, **vars(args), **result, "aucs": aucs, "losses": losses}
        args.json.write_text(json.dumps(content, indent=2, default=str) + "\n")
    tolerances = (FIRST_TOLERANCE, SMOOTHED_TOLERANCE)
    sys.exit(any(v > t for v, t in zip(result.values(), tolerances, strict=False)))


if __name__ == "__main__":
    main()
