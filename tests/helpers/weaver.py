"""What weaver-core itself made of a few simulated jets: the files of tests/golden/weaver_*.npz."""

from pathlib import Path

import numpy as np
import torch

from parttag.jets.arrays import JetArrays, make_index
from parttag.jets.batch import JetBatch, make_batch

GOLDEN = Path(__file__).parents[1] / "golden"

State = dict[str, torch.Tensor]


def weaver_golden(version: str, network: str = "") -> tuple[State, JetBatch, torch.Tensor]:
    """Return weaver's state dict, jets, and logits, as scripts/peers/ made them.

    ``network`` is empty for the Particle Transformer's.
    """
    with np.load(GOLDEN / f"weaver_{network}{version}.npz") as file:
        arrays = dict(file)
    assert str(arrays["version"]) == version
    state = {
        key.removeprefix("weights/"): torch.tensor(values.astype(np.float32))
        for key, values in arrays.items()
        if key.startswith("weights/")
    }
    num_jets = len(arrays["jet_p4"])
    jets = JetArrays(
        **{name: arrays[name] for name in ("p4", "offsets", "jet_p4", "jet_axis")},
        extra=arrays.get("extra", np.zeros((len(arrays["p4"]), 0), np.float32)),
        extra_names=tuple(map(str, arrays.get("extra_names", ()))),
        labels=np.zeros((num_jets, 0), np.uint8),
        label_names=(),
        jet_weights=np.ones(num_jets, np.float32),
        index=make_index(0, np.arange(num_jets)),
        sources=("golden.root",),
    )
    return state, make_batch(jets, max_particles=128), torch.tensor(arrays["logits"])


def without_prefix(state: State) -> State:
    return {key.removeprefix("mod."): value for key, value in state.items()}
