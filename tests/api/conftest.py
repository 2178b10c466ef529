from pathlib import Path

import pytest

import parttag as pt
from helpers.files import write_jetclass_root
from parttag.testing import toy_jets

LABELS = {"top": ["label_top"], "QCD": ["label_QCD"]}


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """Toy jets in JetClass's layout: train, val and test."""
    folder = tmp_path_factory.mktemp("jets")
    return {
        name: write_jetclass_root(folder / f"{name}.root", toy_jets(number, seed))
        for name, seed, number in (("train", 1, 200), ("val", 2, 60), ("test", 3, 80))
    }


@pytest.fixture(scope="session")
def run(files, tmp_path_factory) -> pt.Run:
    """A small network, trained from a shipped recipe for two epochs."""
    return pt.train(
        "toptagging/pfn",
        train=files["train"],
        val=files["val"],
        test=files["test"],
        out=tmp_path_factory.mktemp("runs") / "first",
        epochs=2,
        options={
            "data.classes": LABELS,
            "model.particle_dims": [8, 8],
            "model.jet_dims": [8],
            "training.batch_size": 32,
            "training.device": "cpu",
        },
    )
