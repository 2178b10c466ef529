"""Every shipped configuration trains, evaluates and is read back, on a few jets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.evaluation.evaluate import evaluate_run
from parttag.models import build_model
from parttag.runs.config import load_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets
from parttag.training.checkpoint import describe_network, write_checkpoint

CONFIGS = Path(__file__).parents[1] / "configs"
OTHERS = ("benchmarks", "pretraining", "examples")
RUNS = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent.name not in OTHERS)
OVERRIDES = ["training.steps=2", "training.batch_size=20", "training.steps_per_epoch=2"]
# Of 44 million parameters, the checkpoints alone take seconds; so do steps of equivariant networks.
SMALLER = {
    "encoder_decoder": ["model.embed_dim=64", "model.feedforward_dim=64"],
    "lgatr": ["model.num_layers=1"],
    "lgatr_slim": ["model.num_layers=1"],
    "lloca_transformer": ["model.num_layers=1"],
    "lloca_particle_transformer": ["model.num_layers=1"],
}


def write_jets(path: Path, label_names: tuple[str, ...], seed: int) -> None:
    """Write 40 jets to ROOT that carry these labels in turn."""
    jets = toy_jets(40, seed)
    labels = np.eye(len(label_names), dtype=np.uint8)[np.arange(40) % len(label_names)]
    write_jetclass_root(path, replace(jets, labels=labels, label_names=label_names))


def write_pretrained(path: Path, folder: Path) -> Path:
    """Write an untrained network of the configuration's kind as what it starts from."""
    config = load_config(path)
    classes = tuple(f"class_{number}" for number in range(10))
    network = build_model(config.model, config.features, len(classes))
    content = {"weights": network.state_dict(), **describe_network(network, {}, classes)}
    write_checkpoint(folder / "pretrained.pt", content)
    return folder / "pretrained.pt"


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_configuration_trains_evaluates_and_is_read_back(path, tmp_path):
    labels = tuple(names[0] for names in load_config(path).data.classes.values())
    files = []
    for seed, name in enumerate(("train", "val", "test")):
        write_jets(tmp_path / f"{name}.root", labels, seed)
        files.append(f"data.{name}={tmp_path / name}.root")
    if load_config(path).init_from is not None:
        files.append(f"init_from.path={write_pretrained(path, tmp_path)}")
    overrides = [*OVERRIDES, *SMALLER.get(path.stem, ()), *files]
    directory = train_run(load_config(path, overrides), tmp_path / "run")
    run = load_run(directory)
    metrics = evaluate_run(run)
    metrics.save(directory / "evaluation")
    assert sum(metrics.num_jets.values()) == 40
    assert np.isfinite(metrics.loss)
    assert (directory / "evaluation" / "scores.h5").is_file()
