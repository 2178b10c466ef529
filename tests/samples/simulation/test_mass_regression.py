"""scripts/mass_regression.py and the example that it trains, on a few toy jets."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.samples.simulation.ancestry import Origin
from parttag.testing import toy_jets
from parttag.training.objectives.task_options import SIMULATED_ORIGINS

SCRIPT = Path(__file__).parents[3] / "scripts" / "mass_regression.py"
SMALL = {
    "model.embed_dims": [8],
    "model.pair_dims": [4],
    "model.num_heads": 2,
    "model.num_layers": 1,
    "training.epochs": 1,
    "training.batch_size": 20,
    "training.device": "cpu",
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("mass_regression", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masses")
    for seed, part in enumerate(("train", "val", "test")):
        jets = toy_jets(seed=seed, lengths=np.arange(40) % 12 + 3)
        labels = np.eye(3, dtype=np.uint8)[np.arange(40) % 3]
        jets = replace(jets, labels=labels, label_names=("label_Hbb", "label_Hcc", "label_QCD"))
        rng, number = np.random.default_rng(seed), len(jets.p4)
        more = {
            "jet_target_mass": jets.mass * rng.lognormal(0, 0.1, 40) + 5,
            "jet_sdmass": jets.mass + 4,
            "part_origin": ak.unflatten(rng.integers(0, 9, number).astype("i1"), jets.lengths),
            "part_vertex": ak.unflatten(rng.integers(0, 3, number).astype("i2"), jets.lengths),
        }
        (folder / part).mkdir()
        write_jetclass_root(folder / part / "jets.root", jets, replaced=more)
    return folder


def test_the_example_trains_and_the_script_measures_it(script, data, tmp_path, capsys):
    found = script.measure(data, tmp_path, SMALL, all_tasks=True)
    assert set(found["beside"]) == {"jet_mass", "jet_sdmass"}
    assert found == json.loads((tmp_path / "masses.json").read_text())
    rows = (tmp_path / "masses.md").read_text().splitlines()
    assert rows[0].startswith("| true mass [GeV] | jets | resolution: prediction | resolution: jet")
    assert sum(row.startswith("| ") for row in rows) == 11
    assert "true mass below q84" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "evaluation_all_tasks" / "metrics.json").read_text())
    assert set(metrics["tasks"]) == {"mass", "origin", "vertex"}
    assert metrics["tasks"]["origin"]["classes"] == ["shower", "b", "c", "tau", "boson"]
    content = script.configuration(all_tasks=False)
    assert list(content["objective"]["tasks"]) == ["mass"]


def test_verdicts_are_of_the_bins_between_the_limits(script):
    def own(resolution, bias):
        return {"resolution": {"value": resolution}, "bias": {"value": bias}}

    found = {
        "by_target": {
            "edges": [30, 60, 100, 160],
            "prediction": [own(0.1, 0), own(0.08, 0.01), own(0.08, -0.03)],
            "jet_sdmass": [own(0.1, 0), own(0.1, 0.1), own(0.2, 0.1)],
        },
        "coverage": {"q16": {"value": 0.17, "error": 0.01}},
    }
    assert script.verdicts(found) == [
        "60–100 GeV: resolution 0.800 of soft drop's, bias +0.0100: met",
        "100–160 GeV: resolution 0.400 of soft drop's, bias -0.0300: missed",
        "true mass below q16: 0.1700 ± 0.0100",
    ]


def test_origins_are_those_that_the_simulation_writes():
    assert [own for numbers in SIMULATED_ORIGINS.values() for own in numbers] == list(Origin)
