from pathlib import Path

import pytest

from helpers.files import write_toptagging_h5
from helpers.runs import toy_config
from parttag.runs.run import Run, load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory) -> Path:
    """A small Particle Flow Network, trained on toy jets, with a test file."""
    folder = tmp_path_factory.mktemp("run")
    test = write_toptagging_h5(folder / "test.h5", toy_jets(80, seed=3))
    config = toy_config(folder, f"data.test={test}", "training.epochs=2", "optimizer.lr=0.02")
    return train_run(config, folder / "small")


@pytest.fixture
def run(run_directory) -> Run:
    return load_run(run_directory)
