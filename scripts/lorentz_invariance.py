"""Measure how far logits move when jets are boosted and turned: the networks of published sizes.

    python scripts/lorentz_invariance.py --jets test.h5 [--num-jets 20] [--network NAME ...]

Random weights, statistics of one batch in training. Largest change of a logit, as a share of the
largest, over 3 transformations of rapidity up to 1 in each direction: reference vectors (or beams)
moved along, and the jets alone.
Prints a Markdown table. About two minutes of one core for 20 jets.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor, nn

from parttag.data.readers import read_chunks
from parttag.jets.batch import JetBatch, make_batch
from parttag.models import MODELS, Tagger, build_model
from parttag.ops.jet_sums import sum_jets

VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "LorentzNet": ("lorentz_net", {}),
    "L-GATr": ("lgatr", {}),
    "L-GATr without reference vectors": ("lgatr", {"reference_vectors": "none"}),
    "L-GATr-slim": ("lgatr_slim", {"scalars": "none"}),
    "L-GATr-slim without reference vectors": (
        "lgatr_slim",
        {"scalars": "none", "reference_vectors": "none"},
    ),
    "L-GATr-slim as published": ("lgatr_slim", {}),
    "LLoCa-Transformer": ("lloca_transformer", {"frame_scalars": "none"}),
    "LLoCa-Transformer as published": ("lloca_transformer", {}),
    "LLoCa-ParT": ("lloca_particle_transformer", {"frame_scalars": "none"}),
}


def transformations() -> Iterator[Tensor]:
    """Yield matrices on (px, py, pz, E), a boost and a rotation in one."""
    rng = np.random.default_rng(1)
    for _ in range(3):
        angles, rapidities = rng.uniform(-np.pi, np.pi, 3), rng.uniform(-1, 1, 3)
        generator = np.zeros((4, 4))
        generator[:3, :3] = np.cross(np.eye(3), angles)
        generator[:3, 3] = generator[3, :3] = rapidities
        yield torch.from_numpy(expm(generator))


def holder(network: Tagger) -> tuple[nn.Module, str]:
    """Return the module that has the reference vectors, and their name in it."""
    for module in network.modules():
        for name in ("references", "beams"):
            if isinstance(getattr(module, name, None), Tensor):
                return module, name
    raise AssertionError("a network without reference vectors")


@torch.no_grad()
def changes(network: Tagger, batch: JetBatch) -> tuple[float, float]:
    """Return the largest changes, reference vectors moved along and not, in the largest logit."""
    module, name = holder(network)
    references, expected = getattr(module, name), network(batch)
    found: tuple[list[float], list[float]] = ([], [])
    for matrix in transformations():
        moved = sum_jets(replace(batch, p4=batch.p4 @ matrix.t()))
        for number, vectors in enumerate((references.double() @ matrix.t(), references)):
            setattr(module, name, vectors.to(references.dtype) if name == "beams" else vectors)
            change = (network(moved) - expected).abs().max() / expected.abs().max()
            found[number].append(change.item())
        setattr(module, name, references)
    return max(found[0]), max(found[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=Path, required=True, help="a file of jets")
    parser.add_argument("--num-jets", type=int, default=20)
    parser.add_argument("--network", action="append", choices=VARIANTS, help="some only")
    options = parser.parse_args()
    jets = next(read_chunks(options.jets, chunk_jets=options.num_jets))
    batch = sum_jets(make_batch(jets).to("cpu", torch.float64))
    print("| network | float64, along | float32, along | float64, jets alone |\n|---|---|---|---|")
    for title in options.network or VARIANTS:
        name, sizes = VARIANTS[title]
        torch.manual_seed(1)
        network = build_model(MODELS[name].network.options_class(**sizes), "kin", 2).double()
        with torch.no_grad():
            network.train()(batch)
        network.eval()
        # LorentzNet reads momenta in the type of its weights, the others in float64.
        wide = changes(network, batch)
        narrow = None if name == "lorentz_net" else changes(network.float(), batch)[0]
        cells = (wide[0], narrow, wide[1])
        print(f"| {title} | " + " | ".join("–" if c is None else f"{c:.1e}" for c in cells) + " |")


if __name__ == "__main__":
    main()
