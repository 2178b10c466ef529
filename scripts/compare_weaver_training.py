"""Train by weaver-core and by what parttag converts of its file and flags, on the same jets.

    python -m venv PEER
    PEER/bin/pip install torch weaver-core==0.5.3
    python scripts/compare_weaver_training.py --peer-python PEER/bin/python --data DATA.yaml \
        --train TRAIN.root --val VAL.root --test TEST.root --steps 2000 --seeds 3

Both get the same flags, those of ``FLAGS`` below, and the same small Particle Transformer. weaver
takes no seed: its runs differ by themselves. Prints the AUC of the first class against all others
for every run, on the jets of ``--test``. Given again with the same ``--json``, it goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import uproot

import parttag

EPOCHS = 4
FLAGS = [
    *("--num-epochs", str(EPOCHS), "--batch-size", "128", "--start-lr", "1e-3", "--gpus", ""),
    *("--optimizer", "ranger", "--fetch-step", "1", "--num-workers", "0"),
]
OPTIONS = {
    "embed_dims": "[32, 64, 32]",
    "pair_embed_dims": "[16, 16]",
    "num_heads": "4",
    "num_layers": "2",
    "num_cls_layers": "1",
}
# weaver-core's own interface of networks, see its documentation.
NETWORK = """
import torch
from weaver.nn.model.ParticleTransformer import ParticleTransformer

class Wrapper(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.mod = ParticleTransformer(**options)

    @torch.jit.ignore
    def no_weight_decay(self):
        return {"mod.cls_token"}

    def forward(self, points, features, lorentz_vectors, mask):
        return self.mod(features, v=lorentz_vectors, mask=mask)

def get_model(data_config, **options):
    sizes = {"input_dim": len(data_config.input_dicts["pf_features"]),
             "num_classes": len(data_config.label_value), "fc_params": [], **options}
    names = list(data_config.input_names)
    shapes = {k: (1, *s[1:]) for k, s in data_config.input_shapes.items()}
    info = {"input_names": names, "input_shapes": shapes, "output_names": ["softmax"]}
    return Wrapper(**sizes), info

def get_loss(data_config, **options):
    return torch.nn.CrossEntropyLoss()
"""


def auc(scores: np.ndarray, is_signal: np.ndarray) -> float:
    """Return the share of pairs of a signal and a background jet in their right order."""
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1
    signal, background = is_signal.sum(), (~is_signal).sum()
    above = order[is_signal].sum() - signal * (signal + 1) / 2
    return float(above / (signal * background))


def by_weaver(options: argparse.Namespace, flags: list[str], folder: Path) -> float:
    """Return the AUC of a training by weaver-core."""
    network = folder / "example_ParticleTransformer.py"
    network.write_text(NETWORK)
    out = folder / "scores.root"
    command = [options.peer_python, "-W", "ignore", "-m", "weaver.train", *flags]
    command += ["--data-config", options.data, "--network-config", network]
    command += ["--model-prefix", folder / "net", "--predict-output", out]
    told = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    if told.returncode:
        sys.exit(f"weaver-core ended with exit code {told.returncode}:\n{told.stderr[-4000:]}")
    with uproot.open(out) as file:
        table = file["Events"].arrays(library="np")
    first = next(name for name in table if name.startswith("score_"))
    return auc(table[first], table[first.removeprefix("score_")].astype(bool))


def by_parttag(options: argparse.Namespace, flags: list[str], folder: Path, seed: int) -> float:
    """Return the AUC of a training by what is converted."""
    config = folder / "config.yaml"
    parttag.convert_weaver(options.data, flags=flags, out=config, strict=True)
    run = parttag.train(config, out=folder / "run", options={"training.seed": seed})
    scores = run.predict(options.test)
    logits = np.asarray(scores.logits, dtype=np.float64)
    others = np.log(np.exp(logits[:, 1:]).sum(axis=1))
    return auc(logits[:, 0] - others, np.asarray(scores.labels) == 0)


def main() -> None:
    """Print the AUCs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    for name in ("data", "train", "val", "test"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    steps = str(max(options.steps // EPOCHS, 1))
    flags = [*FLAGS, "--steps-per-epoch", steps]
    for part in ("train", "val", "test"):
        flags += [f"--data-{part}", str(getattr(options, part))]
    for name, value in OPTIONS.items():
        flags += ["--network-option", name, value]
    found: dict[str, list[float]] = {"weaver": [], "parttag": []}
    if options.json and options.json.exists():
        found = json.loads(options.json.read_text())
    for seed in range(options.seeds):
        for name, values in found.items():
            if len(values) > seed:
                continue
            with TemporaryDirectory() as folder:
                if name == "weaver":
                    values.append(by_weaver(options, flags, Path(folder)))
                else:
                    values.append(by_parttag(options, flags, Path(folder), seed))
            print(f"{name} {seed}: AUC {values[-1]:.4f}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(found) + "\n")
    for name, values in found.items():
        print(f"{name}: {np.mean(values):.4f} ± {np.std(values, ddof=min(1, len(values) - 1)):.4f}")


if __name__ == "__main__":
    main()
