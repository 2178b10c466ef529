from pathlib import Path

import pytest

from helpers.decoders import decoder_config
from helpers.files import write_toptagging_h5
from parttag.runs.run import Run, load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets


@pytest.fixture(scope="session")
def decoder_directory(tmp_path_factory) -> Path:
    """A small decoder, trained on toy jets for a moment, beside which there is reference.h5."""
    folder = tmp_path_factory.mktemp("decoder")
    write_toptagging_h5(folder / "reference.h5", toy_jets(60, seed=3))
    return train_run(decoder_config(folder, "training.steps=4"), folder / "run")


@pytest.fixture
def decoder_run(decoder_directory) -> Run:
    return load_run(decoder_directory)


@pytest.fixture
def reference(decoder_directory) -> Path:
    return decoder_directory.with_name("reference.h5")
