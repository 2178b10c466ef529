"""Scores of the authors' own weights: LorentzNet with and without its clamp, LGN by two rankings.

    python scripts/authors_figures.py --weights $PARTTAG_SHARED_DATA/weights \
        --jets $PARTTAG_SHARED_DATA/toptagging/test.h5 [--num-jets 10000]

LorentzNet_top.pt and LGN_run1.pt to LGN_run4.pt go through the import; AUC, accuracy and rejections
are those of these jets, of which the first classes' logits are read. LorentzNet: with
``reference: true`` and without, with the paired difference. LGN: jets ranked by the softmax of both
logits and by the raw logit of top.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import parttag as pt
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.metrics.classification import cross_entropy
from parttag.metrics.paired import Influences, influences
from parttag.models import Tagger
from parttag.models.weaver import ModelName, read_network

CLASSES = ("top", "QCD")
STEP = 250


def main() -> None:
    """Print a line for each network and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--jets", type=Path, required=True, help="top-tagging jets")
    parser.add_argument("--num-jets", type=int, default=10_000)
    parser.add_argument("--only", choices=("lorentz_net", "lgn"))
    options = parser.parse_args()
    jets = pt.read(options.jets)[: options.num_jets]
    labels = jets.labels[:, list(jets.label_names).index("label_QCD")].astype(np.int64)
    if options.only != "lgn":
        network = _read(options.weights / "LorentzNet_top.pt", "lorentz_net")
        clamped = _told("LorentzNet, reference: true", _logits(network, jets), labels)
        for block in network.backbone.blocks:
            block.is_clamped = False
        free = _told("LorentzNet, reference: false", _logits(network, jets), labels)
        found = free.minus(clamped)
        print(f"AUC without the clamp less that with it: {found.value:.6f} ± {found.error:.6f}")
    if options.only != "lorentz_net":
        for run in range(1, 5):
            logits = _logits(_read(options.weights / f"LGN_run{run}.pt", "lgn"), jets)
            _told(f"LGN run {run}, softmax", logits, labels)
            raw = np.stack([logits[:, 0], np.zeros(len(logits))], axis=1)
            _told(f"LGN run {run}, raw logit of top", raw, labels)
            raw = np.stack([np.zeros(len(logits)), logits[:, 1]], axis=1)
            _told(f"LGN run {run}, raw logit of QCD", raw, labels)


def _read(path: Path, model: ModelName) -> Tagger:
    read = read_network(path, None, model)
    print(f"{path.name}: {read.recognized}")
    return read.network


@torch.inference_mode()
def _logits(network: Tagger, jets: JetArrays) -> np.ndarray:
    order = np.argsort(-np.diff(jets.offsets))
    logits = np.zeros((len(jets), 2), np.float32)
    for start in range(0, len(jets), STEP):
        rows = order[start : start + STEP]
        logits[rows] = network(make_batch(jets[rows], max_particles=network.max_particles)).numpy()
    return logits


def _told(name: str, logits: np.ndarray, labels: np.ndarray) -> Influences:
    found = influences(logits, labels, CLASSES)
    background = [found["top", eps_s] for eps_s in (0.5, 0.3)]
    rejections = [f"{1 / one.value:.1f} ± {one.error / one.value**2:.1f}" for one in background]
    area = found["auc"]
    print(
        f"{name}: {len(labels)} jets, AUC {area.value:.5f} ± {area.error:.5f}, accuracy "
        f"{found['accuracy'].value:.4f}, 1/eps_B at 50 % {rejections[0]}, at 30 % {rejections[1]}, "
        f"cross-entropy {cross_entropy(logits, labels):.4f}",
        flush=True,
    )
    return area


if __name__ == "__main__":
    main()
