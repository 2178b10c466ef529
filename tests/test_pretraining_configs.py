"""Every shipped pre-training trains two steps on a few jets without labels, and is read back."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.files import write_toptagging_h5
from parttag.models import build_model
from parttag.models.particle_tokenizer import ParticleTokenizerOptions
from parttag.runs.config import RunConfig, load_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.objectives import OBJECTIVES

RUNS = sorted((Path(__file__).parents[1] / "configs" / "pretraining").glob("*.yaml"))
OVERRIDES = ["training.steps=2", "training.batch_size=20", "training.steps_per_epoch=2"]

# Networks of tens of millions of parameters, whose checkpoints alone take seconds.
SMALLER = {
    "mpm": ["model.width=64", "model.hidden_dim=64"],
    "encoder_decoder": ["model.embed_dim=64", "model.feedforward_dim=64"],
    "jetclr": ["model.embed_dim=64", "model.feedforward_dim=64"],
}


def write_tokenizer(config: RunConfig, path: Path) -> Path:
    """Write an untrained tokenizer of the kind that a configuration takes from another run."""
    parts = (config.model, config.objective)
    sizes = next(part.tokenizer for part in parts if hasattr(part, "tokenizer"))
    options = ParticleTokenizerOptions(**sizes.model_dump())
    network = build_model(options, "kin", 1)
    description = describe_network(network, {"model": options.model_dump()}, ())
    write_checkpoint(path, {"weights": network.state_dict(), **description})
    return path


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_pretraining_trains_without_labels_and_is_read_back(path, tmp_path):
    for seed, name in enumerate(("train", "val")):
        write_toptagging_h5(tmp_path / f"{name}.h5", toy_jets(40, seed))
    files = (f"data.{name}={tmp_path}/{name}.h5" for name in ("train", "val"))
    overrides = [*OVERRIDES, *SMALLER.get(path.stem, ()), *files]
    if load_config(path).tokenizer_from is not None:
        tokenizer = write_tokenizer(load_config(path), tmp_path / "tokenizer.pt")
        overrides.append(f"tokenizer_from={tokenizer}")
    config = load_config(path, overrides)
    assert not OBJECTIVES[config.objective.name].needs_labels
    assert config.training.best_by == "loss"
    run = train_run(config, tmp_path / "run")
    line = json.loads((run / "metrics.jsonl").read_text())
    assert line["step"] == 2
    assert all(np.isfinite(value) for value in line.values())
    assert load_run(run).model.state_dict().keys()
