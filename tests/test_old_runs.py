"""Runs, stores and tables of earlier versions are read: those of scripts/make_old_runs.py."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from helpers.golden import one_thread
from parttag import cli
from parttag.data import JetStore
from parttag.jets.arrays import split_index
from parttag.runs.config import HOW_FAST, first_difference, load_config
from parttag.runs.run import load_run
from parttag.testing.tolerances import FLOAT32_STEPS
from parttag.training.checkpoint import read_checkpoint

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_old_runs.py"
RUNS = Path(__file__).parent / "golden" / "runs"
VERSIONS = sorted(path.name for path in RUNS.iterdir())
# The fit of a linear probe ends where its steps are small.
LOSS_RTOL = 1e-4
EXPECTED = {v: json.loads((RUNS / v / "expected.json").read_text()) for v in VERSIONS}


def load_script():
    spec = importlib.util.spec_from_file_location("make_old_runs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


old_runs = load_script()


@pytest.fixture
def version(request, tmp_path, monkeypatch):
    """Be where the runs of a version were made, with its jets made again; return its name."""
    shutil.copytree(RUNS / request.param, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    old_runs.write_jets(tmp_path)
    with one_thread():
        yield request.param


def checkpoints(pattern):
    """Parametrize a test by version and run, for all that have such a checkpoint."""
    paths = sorted(RUNS.glob(f"*/*/checkpoints/{pattern}"))
    assert {path.parts[-4] for path in paths} == set(VERSIONS)
    values = [(path.parts[-4], path.parts[-3]) for path in paths]
    return pytest.mark.parametrize(("version", "run"), values, indirect=["version"])


every_version = pytest.mark.parametrize("version", VERSIONS, indirect=True)


@checkpoints("best.pt")
def test_a_run_is_loaded_scored_and_evaluated(version, run):
    tagger = load_run(run)
    assert not tagger.model.training
    expected = EXPECTED[version][run]
    if "scores" in expected:
        found = old_runs.scores(run)
        assert expected["scores"].keys() <= found.keys()
        for name, values in expected["scores"].items():
            np.testing.assert_allclose(found[name], values, **FLOAT32_STEPS, err_msg=name)
    if "loss" in expected:
        assert old_runs.evaluate(run)["loss"] == pytest.approx(expected["loss"], rel=LOSS_RTOL)


@checkpoints("last.pt")
def test_a_stopped_training_goes_on_to_the_end_of_one_that_was_not(version, run):
    before = len(old_runs.epochs(run))
    old_runs.command("train", f"{run}/config.yaml", "--out", run)
    found, expected = old_runs.epochs(run), EXPECTED[version][run]["epochs"]
    assert before + 2 == len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert theirs.keys() <= mine.keys()
        for name, value in theirs.items():
            np.testing.assert_allclose(mine[name], value, **FLOAT32_STEPS, err_msg=name)


@checkpoints("last.pt")
def test_what_a_user_wrote_then_is_the_configuration_of_the_run(version, run):
    files = {part: f"{part}.npz" for part in ("train", "val")}
    content = {"data": files, "training": old_runs.TRAINING, **old_runs.RUNS[run]}
    if "objective" not in content:
        files["classes"] = old_runs.CLASSES
    Path("mine.yaml").write_text(yaml.safe_dump(content))
    configs = load_config(f"{run}/config.yaml"), load_config("mine.yaml")
    assert first_difference(*configs, except_for=HOW_FAST) is None


@checkpoints("best.pt")
def test_the_weights_are_in_the_order_by_which_an_optimizer_knows_them(version, run):
    path = Path(run, "checkpoints", "best.pt")
    kept, read = torch.load(path, weights_only=True)["weights"], read_checkpoint(path)["weights"]
    assert list(read) == list(load_run(run).model.state_dict())
    assert all(
        one is two or one.equal(two) for one, two in zip(kept.values(), read.values(), strict=True)
    )


@every_version
@pytest.mark.parametrize("kind", ["config", "checkpoint", "last checkpoint", "store"])
def test_what_a_newer_parttag_made_is_refused_and_left_alone(version, kind, monkeypatch, capsys):
    changed = {
        "config": "pfn/config.yaml",
        "checkpoint": "pfn/checkpoints/best.pt",
        "last checkpoint": "pfn/checkpoints/last.pt",
        "store": "store/manifest.json",
    }[kind]
    say_version(Path(changed), 99)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    words = ["predict", "pfn", "store", "--out", "scores.h5", "--device", "cpu"]
    if kind == "last checkpoint":
        words = ["train", "pfn/config.yaml", "--out", "pfn"]
    monkeypatch.setattr(sys, "argv", ["parttag", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "was made by a newer parttag" in sentence
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert {path for path in before if after[path] != before[path]} <= set(OF_A_START)
    assert set(after) - set(before) <= set(OF_A_START)


# What every start of a training writes before it reads the last checkpoint.
OF_A_START = [Path("pfn", name) for name in ("provenance.json", "config.yaml", "train.log")]


def say_version(path, version):
    if path.suffix == ".pt":
        torch.save({**torch.load(path, weights_only=True), "schema_version": version}, path)
    elif path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version}))
    else:
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([f"schema_version: {version}\n", *lines]))


@every_version
def test_a_store_holds_the_jets_that_it_was_made_of(version):
    store = JetStore("store")
    with np.load("test.npz") as file:
        particles, is_quark = file["X"], file["y"]
    assert len(store) == len(particles)
    jets = store.take(np.arange(len(store)))
    rows = split_index(jets.index)[1]
    assert sorted(rows) == list(range(len(store)))
    assert jets.labels[:, jets.label_names.index("label_quark")].tolist() == is_quark[rows].tolist()
    real = particles[rows][particles[rows][:, :, 0] > 0].astype(np.float64)
    np.testing.assert_array_equal(jets.lengths, (particles[rows][:, :, 0] > 0).sum(axis=1))
    pt, _, phi, number = real.T
    np.testing.assert_allclose(jets.p4[:, 0], pt * np.cos(phi), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(jets.p4[:, 1], pt * np.sin(phi), rtol=1e-5, atol=1e-4)
    charge = jets.extra[:, jets.extra_names.index("charge")]
    assert charge.tolist() == (np.sign(number) * (abs(number) == 211)).tolist()


@every_version
def test_the_scores_of_a_store_are_those_of_its_jets(version):
    found = old_runs.scores("pfn", "store")
    expected = EXPECTED[version]["pfn"]["scores"]
    rows = split_index(JetStore("store").take(np.arange(16)).index)[1]
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], np.array(values)[rows], **FLOAT32_STEPS)


@every_version
def test_a_table_is_gathered_from_the_runs_of_a_benchmark(version):
    path = Path("table", "table.json")
    (expected,) = json.loads(path.read_text())
    path.unlink()
    old_runs.command("benchmark", "table.yaml", "--seeds", "0", "--out", "table", "--table-only")
    (found,) = json.loads(path.read_text())
    assert expected["accuracy"]["value"] is not None
    if not set(expected["rejection"]) & set(found["rejection"]):  # not by signal class yet
        (signal,) = found["rejection"]
        expected["rejection"] = {signal: expected["rejection"]}
    for name in ("row", "seeds", "parameters", "jets_seen"):
        assert found[name] == expected[name]
    for name in ("accuracy", "auc"):
        assert found[name].items() >= expected[name].items()
    for signal, points in expected["rejection"].items():
        for eps_s, quantity in points.items():
            for key, value in quantity.items():
                # 1/mean(ε_B) of one seed is what it was but for its last digit.
                assert found["rejection"][signal][eps_s][key] == pytest.approx(value)
