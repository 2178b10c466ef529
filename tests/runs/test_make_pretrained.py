"""The script that makes the network that parttag ships, at the size of a toy."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import parttag as pt
from helpers.files import write_jetclass_root
from parttag.testing import toy_jets

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_pretrained.py"
CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
TINY = {
    "embed_dims": [8], "pair_dims": [4], "num_heads": 2, "num_layers": 1, "max_particles": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_pretrained", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_part(folder, number):
    """Write toy jets where a simulation would have written a part, with what it says of them."""
    for seed, (name, count) in enumerate({"train": 40, "val": 20, "test": 20}.items()):
        jets = toy_jets(count, 10 * number + seed)
        labels = np.eye(10, dtype=np.uint8)[np.arange(count) % 10]
        (folder / name).mkdir(parents=True)
        names = tuple(f"label_{one}" for one in CLASSES)
        write_jetclass_root(
            folder / name / "jets.root", replace(jets, labels=labels, label_names=names)
        )
    said = {"options": {"seed": 100 + number, "num_jets": 50}, "versions": {"pythia": "none"}}
    (folder / "provenance.json").write_text(json.dumps(said | {"files": []}))


def test_it_trains_on_what_is_there_and_writes_the_largest(script, tmp_path, monkeypatch, capsys):
    size = script.Size(part=50, trained=40, overrides=TINY)
    for number in range(2):
        write_part(tmp_path / "jets" / f"part_00{number}", number)
    command = ["--out", str(tmp_path), "--jets", "120", "--points", "40", "80", "120"]
    command += ["--seen", "512", "--name", "toy_ten"]
    script.main([*command, "--only", "train"], size)
    told = capsys.readouterr().out
    assert "120 jets: 1 parts are missing; simulate them first" in told
    assert not (tmp_path / "networks").exists()
    script.main([*command, "--only", "write"], size)

    monkeypatch.setenv("PARTTAG_PRETRAINED", str(tmp_path / "networks"))
    run = pt.load("pretrained/toy_ten")
    assert run.classes == CLASSES
    assert run.config.data.num_train_jets == 80
    assert run.config.model.embed_dims == (8,)
    assert run.config.model.feedforward_factor == 2  # of the recipe
    (one,) = (found for found in pt.pretrained() if found.name == "pretrained/toy_ten")
    assert set(one.card.numbers) == {"40 jets", "80 jets"}
    for point, numbers in ((40, one.card.numbers["40 jets"]), (80, one.card.numbers["80 jets"])):
        assert numbers["jets seen"] == 2 * point  # two steps of 256, of jets that are fewer
        assert 0 <= numbers["accuracy"] <= 1
    assert "seeds 100 to 101" in one.card.data
    everything = (one.directory / "card.json").read_text() + (
        one.directory / "README.md"
    ).read_text()
    assert str(tmp_path) not in everything
    before = one.weights.read_bytes()
    with pytest.raises(pt.InputError, match="exists already"):
        script.main([*command, "--only", "write"], size)
    assert one.weights.read_bytes() == before


def test_parts_are_simulated_until_there_are_enough_jets(script, tmp_path, monkeypatch):
    asked = []

    def simulate(sample, jets, out, *, seed, processes):
        asked.append((sample, jets, out.name, seed, processes))
        write_part(out, seed)

    monkeypatch.setattr(script.pt, "simulate", simulate)
    write_part(tmp_path / "jets" / "part_001", 1)
    size = script.Size(part=50, trained=40)
    command = ["--out", str(tmp_path), "--jets", "81", "--only", "simulate", "--processes", "2"]
    script.main(command, size)
    assert asked == [("jetclass", 50, "part_000", 100, 2), ("jetclass", 50, "part_002", 102, 2)]
    # A part that was interrupted says what it will be, and not which files it has.
    half = tmp_path / "jets" / "part_002" / "provenance.json"
    half.write_text(json.dumps({"options": {}}))
    assert not script.is_whole(half.parent)


def test_without_jets_nothing_is_written(script, tmp_path):
    with pytest.raises(pt.InputError, match="nothing is trained yet"):
        script.main(["--out", str(tmp_path), "--only", "write"])


def test_a_million_training_jets_are_25_parts(script):
    size = script.Size()
    assert len(script.parts_of(1_000_000, size)) == 25
    assert size.trained == 40_000
    assert len(script.parts_of(125_000, size)) == 4
