"""A foreign ntuple, through YAML, in every command that reads jets."""

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from helpers.files import write_root
from helpers.foreign import FOREIGN, foreign_branches, massive
from parttag.cli import main
from parttag.data import JetStore, prepare
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.runs.config import load_config
from parttag.runs.run import load_run
from parttag.runs.sections import load_columns
from parttag.runs.train import train_run
from parttag.testing import toy_jets

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "read_files.md"


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
    try:
        main()
    except SystemExit as exit_code:
        return int(exit_code.code or 0)
    return 0


@pytest.fixture
def ntuple(tmp_path):
    return write_root(
        tmp_path / "a.root", foreign_branches(massive(toy_jets(30))), tree="analysis/Nominal"
    )


@pytest.fixture
def config(tmp_path, ntuple):
    for seed, name in enumerate(("train", "val"), start=1):
        jets = foreign_branches(massive(toy_jets(30, seed)))
        write_root(tmp_path / f"{name}.root", jets, tree="analysis/Nominal")
    sections = {
        "data": {
            "train": str(tmp_path / "train.root"),
            "val": str(tmp_path / "val.root"),
            "test": str(ntuple),
            "classes": {"top": "label_top", "QCD": "label_QCD"},
            "columns": yaml.safe_load(FOREIGN),
            "cuts": {"num_particles": {"min": 3}},
            "flatten_pt": {"bins": [100, 700, 2000]},
        },
        "model": {"name": "pfn", "particle_dims": [8], "jet_dims": [8]},
        "training": {"epochs": 1, "batch_size": 10, "device": "cpu"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return path


def test_a_run_reads_what_its_columns_say_and_so_do_evaluate_and_predict(
    tmp_path, ntuple, config, monkeypatch
):
    directory = train_run(load_config(config), tmp_path / "run")
    metrics = evaluate_run(load_run(directory))
    few = int((toy_jets(30).lengths < 3).sum())
    assert few > 0
    assert metrics.num_left_out == {"bad": 0, "no_class": 0, "outside_cuts": few}
    assert sum(metrics.num_jets.values()) == 30 - few
    out = tmp_path / "scores.parquet"
    assert (
        run(monkeypatch, "predict", directory, ntuple, "--out", out, "--keep", "eventNumber") == 0
    )
    assert pq.read_table(out)["eventNumber"].to_pylist() == list(range(30))
    assert pq.read_table(out)["label"].to_pylist() == [0, 1] * 15


def test_jets_without_truth_are_scored_by_a_run_of_columns(tmp_path, config, monkeypatch):
    directory = train_run(load_config(config), tmp_path / "run")
    branches = foreign_branches(toy_jets(6))
    bare = {n: b for n, b in branches.items() if n not in ("isTop", "isDijet", "mcWeight")}
    path = write_root(tmp_path / "data.root", bare, tree="analysis/Nominal")
    out = tmp_path / "scores.parquet"
    assert run(monkeypatch, "predict", directory, path, "--out", out) == 0
    assert pq.read_table(out)["label"].to_pylist() == [-1] * 6


def test_prepare_takes_the_columns_of_a_file_of_their_own_or_of_a_configuration(
    tmp_path, ntuple, config, monkeypatch, capsys
):
    own = tmp_path / "columns.yaml"
    own.write_text(yaml.safe_dump({"columns": yaml.safe_load(FOREIGN)}))
    for name, path in (("one", own), ("two", config)):
        cut = "{num_particles: [3, null]}"
        command = ("prepare", ntuple, "--out", tmp_path / name, "--columns", path, "--cuts", cut)
        assert run(monkeypatch, *command) == 0
    one, two = (JetStore(tmp_path / name) for name in ("one", "two"))
    (first,), (second,) = (list(store.read_chunks(100)) for store in (one, two))
    np.testing.assert_array_equal(first.p4, second.p4)
    assert one.manifest.columns["particles"]["unit"] == "MeV"
    assert one.manifest.cuts == {"num_particles": {"min": 3.0}}
    assert "outside num_particles [3, ]" in capsys.readouterr().out
    with pytest.raises(InputError, match="made from these files with other columns"):
        other = load_columns(own).model_copy(update={"jet_weight": None})
        prepare([ntuple], tmp_path / "one", columns=other)


def test_inspect_takes_columns(tmp_path, ntuple, config, monkeypatch, capsys):
    assert run(monkeypatch, "inspect", ntuple, "--columns", config) == 0
    assert "label_top" in capsys.readouterr().out


def test_columns_that_are_missing_or_null(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("columns: null")
    assert load_columns(path) is None
    path.write_text("data: {train: a.root}")
    with pytest.raises(InputError, match=r"a\.yaml has no section columns, nor data\.columns"):
        load_columns(path)


def test_the_example_of_the_documentation_reads_an_ntuple(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (text,) = [block for block in blocks if "columns:" in block]
    path = tmp_path / "columns.yaml"
    path.write_text(text)
    options = load_columns(path)
    toys = massive(toy_jets(8))
    branches = foreign_branches(toys)
    names = {
        options.particles.pt: "constit_pt",
        options.particles.eta: "constit_eta",
        options.particles.phi: "constit_phi",
        options.particles.mass: "constit_m",
        options.particles.charge: "constit_q",
        options.particles.d0: "constit_d0",
        options.jet_weight: "mcWeight",
    }
    ntuple = {name: branches[known] for name, known in names.items()}
    ntuple[options.labels.branch] = np.where(toys.labels[:, 0], 6, 21)
    write_root(tmp_path / "a.root", ntuple, tree=options.tree)
    prepare([tmp_path / "a.root"], tmp_path / "store", columns=options, shuffle=False)
    (jets,) = JetStore(tmp_path / "store").read_chunks(100)
    np.testing.assert_allclose(jets.p4, toys.p4, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jets.extra[:, 1], toys.extra[:, toys.extra_names.index("d0")])
    np.testing.assert_array_equal(jets.labels, toys.labels)
