"""Small runs for tests: toy jets in files, and a configuration that trains on them in a second."""

from pathlib import Path
from typing import Any

import torch
import yaml

from helpers.files import write_toptagging_h5
from parttag.runs.config import RunConfig, load_config
from parttag.testing import toy_jets

NETWORK = {"name": "pfn", "particle_dims": [8, 8], "jet_dims": [8]}


def toy_config(
    folder: Path, *overrides: str, model: dict[str, Any] | None = None, jets: int = 60
) -> RunConfig:
    """Return the configuration of four epochs of four batches, whose files are in ``folder``.

    ``overrides`` are those of the command line; ``model`` replaces the small Particle Flow Network.
    """
    files = {}
    for name, seed, number in (("train", 1, jets), ("val", 2, 30)):
        files[name] = str(folder / f"{name}.h5")
        if not Path(files[name]).exists():
            write_toptagging_h5(folder / f"{name}.h5", toy_jets(number, seed))
    content = {
        "data": {**files, "classes": {"top": ["label_top"], "QCD": ["label_QCD"]}},
        "model": model or NETWORK,
        "training": {"batch_size": 16, "epochs": 4, "device": "cpu", "rank_timeout": 60.0},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_config(path, overrides)


def same_weights(one: Path, other: Path, name: str = "last.pt") -> bool:
    """Return whether two run directories hold the same weights bit for bit."""
    ours, theirs = (
        torch.load(run / "checkpoints" / name, weights_only=True)["weights"] for run in (one, other)
    )
    return list(ours) == list(theirs) and all(torch.equal(ours[k], theirs[k]) for k in ours)
