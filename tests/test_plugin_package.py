"""A package that adds to parttag, installed: trained, evaluated and loaded by the command line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from helpers.plugins import EXAMPLE, install, install_module, registers_kept, run_parttag
from helpers.runs import NETWORK, toy_config
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.runs.run import load_run
from parttag.testing import check_network, toy_jets

MODEL, OBJECTIVE = {"name": "mean_net", "width": 4}, {"name": "focal", "gamma": 1.0}
PARTS = [
    {"kind": kind, "name": name, "package": "parttag-example", "version": "0.3.1"}
    for kind, name in (
        ("network", "mean_net"),
        ("objective", "focal"),
        ("feature", "abs_eta"),
        ("metric", "undecided"),
        ("reader", "rows"),
    )
]


def write_rows(path: Path, jets: JetArrays) -> Path:
    """Write jets as the package's reader reads them."""
    rows = np.zeros((len(jets), 1 + 4 * jets.lengths.max()), dtype=np.float32)
    for row, start, end, labels in zip(
        rows, jets.offsets[:-1], jets.offsets[1:], jets.labels, strict=True
    ):
        row[0] = labels[0]
        row[1 : 1 + 4 * (end - start)] = jets.p4[start:end].ravel()
    np.save(path, rows)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package and its metadata, as pip installs it."""
    site = tmp_path_factory.mktemp("plugins") / "site"
    install(EXAMPLE, site)
    return site


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Toy jets and a configuration of which every part that can be is the package's."""
    folder = tmp_path_factory.mktemp("plugin-run")
    toy_config(folder)
    path = folder / "config.yaml"
    content = yaml.safe_load(path.read_text())
    content["training"]["epochs"] = 1
    for name, seed, number in (("train", 1, 60), ("val", 2, 30)):
        jets = toy_jets(number, seed, extra_names=())
        content["data"][name] = str(write_rows(folder / f"{name}.rows.npy", jets))
    content |= {"model": MODEL, "objective": OBJECTIVE}
    content["features"] = ["log_pt", "delta_eta", "abs_eta"]
    content["evaluation"] = {"background": "QCD", "metrics": ["accuracy", "undecided"]}
    path.write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def run(site, folder):
    result = run_parttag("train", folder / "config.yaml", "--out", folder / "run", site=site)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    return folder / "run"


def test_a_run_says_which_plugins_its_parts_are_of(run):
    (start,) = json.loads((run / "provenance.json").read_text())["starts"]
    assert start["plugins"] == PARTS
    for name in ("best.pt", "last.pt"):
        assert torch.load(run / "checkpoints" / name, weights_only=True)["plugins"] == PARTS


def test_it_is_evaluated_and_predicts_in_other_processes(run, site, folder):
    data = folder / "val.rows.npy"
    evaluated = run_parttag("evaluate", run, "--data", data, "--out", folder / "e", site=site)
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads((folder / "e" / "metrics.json").read_text())
    assert metrics["num_jets"] == {"top": 15, "QCD": 15}
    assert 0 < metrics["extra"]["undecided"]["value"] <= 1
    predicted = run_parttag("predict", run, data, "--out", folder / "scores.h5", site=site)
    assert predicted.returncode == 0, predicted.stderr
    assert (folder / "scores.h5").stat().st_size > 0


def test_a_misspelt_key_is_answered_with_the_nearest_of_the_plugin(site, folder):
    result = run_parttag(
        "train", folder / "config.yaml", "model.widt=3", "--print-config", site=site
    )
    assert result.returncode == 2
    assert "model.widt: there is no such key; the nearest known one is model.width" in result.stderr


def test_the_schema_has_the_options_of_the_plugin(site):
    result = run_parttag("schema", site=site)
    schema = json.loads(result.stdout)
    assert schema["$defs"]["MeanNetOptions"]["properties"]["width"]["description"]
    mapping = schema["properties"]["model"]["discriminator"]["mapping"]
    assert mapping["mean_net"] == "#/$defs/MeanNetOptions"
    assert "focal" in schema["properties"]["objective"]["discriminator"]["mapping"]


def test_without_the_package_a_run_says_which_it_needs(run, tmp_path):
    sentence = "the network mean_net is of the plug-in parttag-example, version 0.3.1, which is not"
    with pytest.raises(InputError, match=re.escape(f"{run}: {sentence}")):
        load_run(run)
    (run / "provenance.json").rename(tmp_path / "kept.json")
    try:
        with pytest.raises(InputError, match=sentence):  # by its checkpoint
            load_run(run)
        damaged = ({"starts": [3]}, {"starts": [{"plugins": [PARTS[0] | {"package": "a\nb"}]}]})
        for content in damaged:
            (run / "provenance.json").write_text(json.dumps(content))
            with pytest.raises(InputError, match=sentence):
                load_run(run)
    finally:
        (tmp_path / "kept.json").rename(run / "provenance.json")
    result = run_parttag("evaluate", run, "--data", "none.h5")
    assert result.returncode == 2
    assert sentence in result.stderr


def test_a_run_that_names_no_plugin_says_what_can_be_done(tmp_path):
    (tmp_path / "config.yaml").write_text("model: {name: my_net}")
    with pytest.raises(InputError, match="there is no network my_net, and the run does not say"):
        load_run(tmp_path)


def test_a_run_cannot_have_a_module_imported(tmp_path):
    """What a run's files name is compared with what is installed, and never imported."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "evil.py").write_text("raise SystemExit(77)")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("model: {name: evil}")
    part = {"kind": "network", "name": "evil", "package": "evil", "version": "1"}
    (run / "provenance.json").write_text(json.dumps({"starts": [{"plugins": [part]}]}))
    result = run_parttag("evaluate", run, site=site)
    assert result.returncode == 2
    assert "the network evil is of the plug-in evil, version 1" in result.stderr


@pytest.mark.parametrize("code", ["import no_such_package", "raise SystemExit(3)"])
def test_a_broken_plugin_is_one_warning_and_parttag_goes_on(code, tmp_path, folder):
    site = tmp_path / "site"
    install_module(site, "broken_nets", code)
    version = run_parttag("--version", site=site)
    assert (version.returncode, version.stderr) == (0, "")
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content |= {"model": NETWORK, "objective": {"name": "classify"}, "features": "kin"}
    del content["evaluation"]
    for name in ("train", "val"):
        content["data"][name] = str(folder / f"{name}.h5")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    result = run_parttag("train", config, "--out", tmp_path / "run", site=site)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("the plug-in broken_nets is left out") == 1
    assert load_run(tmp_path / "run").config.model.name == "pfn"


def test_the_network_obeys_the_laws(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    with registers_kept("parttag_example"):
        from parttag_example import MeanNet

        check_network(MeanNet, {"width": 8})
