"""Trainings on simulated jets: those of scripts/compare_inputs.py, and tasks with the truth."""

import importlib.util
import json
from pathlib import Path

import awkward as ak
import pytest
import uproot
import yaml

from parttag.runs.config import build_config
from parttag.samples.simulation.samples import make_sample
from parttag.samples.simulation.shards import Shard, make_shard

SCRIPT = Path(__file__).parents[3] / "scripts" / "compare_inputs.py"
SMALL = {
    "model.embed_dims": [16, 16],
    "model.pair_dims": [8],
    "model.num_heads": 2,
    "model.num_layers": 1,
    "model.num_class_layers": 1,
    "training.epochs": 1,
    "training.batch_size": 8,
    "training.device": "cpu",
}
CLASSES = {"HToBB": "Hbb", "ZJetsToNuNu": "QCD"}


def load_script():
    spec = importlib.util.spec_from_file_location("compare_inputs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()
CONTENT = yaml.safe_load(script.CONFIG.read_text())
SHOWN = "and vertices as a third"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a directory of simulated jets of two classes."""
    out = tmp_path_factory.mktemp("jets")
    sample = make_sample("jetclass", {"num_jets": 100, "batch_size": 20})
    splits = {"train": slice(0, 8), "val": slice(8, 10), "test": slice(10, 12)}
    for number, stem in enumerate(CLASSES):
        make_shard(sample, out, Shard(number, f"{stem}.root", {stem: 12}))
        jets = uproot.open(out / f"{stem}.root")["tree"].arrays()
        for split, rows in splits.items():
            (out / split).mkdir(exist_ok=True)
            ak.to_parquet(jets[rows], out / split / f"{stem}.parquet")
    return out


def test_each_choice_reads_more_than_the_one_before():
    configs = {name: build_config(content) for name, content in script.variants(CONTENT)}
    counts = [len(config.network_features) for config in configs.values()]
    assert counts == [7, 17, 17, 15 + 9, 15 + 9 + 12]
    assert configs["kin"].data.columns is None
    kinds = {name.partition(".")[0] for name in configs[SHOWN].network_features}
    assert kinds == {"charged", "neutral", "vertices"}


def test_a_training_with_vertices_is_done_once_and_kept(data, tmp_path, monkeypatch):
    content = {**CONTENT, "data": {**CONTENT["data"]}}
    content["data"]["classes"] = {name: f"label_{name}" for name in CLASSES.values()}
    given = (data, tmp_path, 1, SMALL, content, [SHOWN])
    figures = script.compare(*given)
    assert set(figures[SHOWN]["0"]) == {"accuracy", "accuracy_error", "AUC", "AUC_error"}
    assert json.loads((tmp_path / "table.json").read_text()) == figures
    monkeypatch.setattr(script.pt, "train", None)
    assert script.compare(*given) == figures


def test_masses_origins_and_vertices_are_learned_from_what_simulated_files_say(data, tmp_path):
    content = {
        "data": {"classes": {name: f"label_{name}" for name in CLASSES.values()}},
        "features": "full",
        "model": {"name": "particle_transformer"},
        "targets": {
            "mass": {
                "column": "jet_target_mass",
                "transform": "log",
                "relative_to": "jet_mass",
                "loss": "huber",
            }
        },
        "objective": {
            "name": "tasks",
            "tasks": {
                "classify": {},
                "mass": {},
                "origin": {"classes": {"b": [1], "c": [2], "H": [6], "other": [0, 3, 4, 5, 7, 8]}},
                "vertex": {},
            },
        },
    }
    run = script.pt.train(
        content,
        train=str(data / "train"),
        val=str(data / "val"),
        out=tmp_path / "run",
        options=SMALL,
    )
    tasks = run.evaluate(str(data / "test")).tasks
    assert set(tasks) == {"mass", "origin", "vertex"}
    origin = tasks["origin"].to_json()
    assert origin["num_particles"]["b"] > 0
    assert origin["num_particles"]["H"] > 0
    assert tasks["vertex"].to_json()["num_true"] > 0


def test_differences_are_seed_by_seed():
    full = {"0": {"accuracy": 0.5, "AUC": 0.8}, "1": {"accuracy": 0.7, "AUC": 0.9}}
    more = {"0": {"accuracy": 0.6, "AUC": 0.8}, "1": {"accuracy": 0.8, "AUC": 0.94}}
    lines = script.table({"full": full, "more": more}).splitlines()
    assert lines[2] == "| full | 2 | 0.6000 ± 0.1414 | 0.8500 ± 0.0707 | – | – |"
    assert lines[3] == (
        "| more | 2 | 0.7000 ± 0.1414 | 0.8700 ± 0.0990 | +0.1000 ± 0.0000 | +0.0200 ± 0.0283 |"
    )
