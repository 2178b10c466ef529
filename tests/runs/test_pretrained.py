"""Trained networks that are found by name: shipped, or below ``PARTTAG_PRETRAINED``.

None of them is real here: an untrained network stands in for one.
"""

import json
import os

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import parttag as pt
from helpers.benchmarks import toy_plan
from helpers.files import write_toptagging_h5
from helpers.runs import toy_config
from parttag.benchmarks.plan import check_jobs
from parttag.cli import app
from parttag.errors import InputError
from parttag.evaluation.calibrate import calibrate_run
from parttag.evaluation.probe import LabeledJets, probe_run
from parttag.models.shipped import find_pretrained, list_pretrained, read_card
from parttag.runs.ensemble import make_ensemble
from parttag.runs.pretrained import write_pretrained
from parttag.runs.run import load_run, weights_sum
from parttag.runs.train import train_run
from parttag.system.files import sha256
from parttag.testing import toy_batch, toy_jets
from parttag.training.checkpoint import read_checkpoint
from parttag.training.shared_weights import write_shared

SAID = {
    "summary": "A Particle Flow Network that has learned nothing.",
    "data": "60 toy jets.",
    "training": "Two steps.",
    "command": "pytest",
    "numbers": {"toys": {"accuracy": 0.5}},
    "limits": ["It is of no use."],
}
NAME = "pretrained/toy_small"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of trained networks, and the run that the one in it was made of."""
    folder = tmp_path_factory.mktemp("made")
    config = toy_config(folder, "training.steps=2", "training.steps_per_epoch=2")
    run = load_run(train_run(config, folder / "run"))
    write_pretrained(run, folder / "networks" / "toy_small", SAID)
    return folder / "networks", run


@pytest.fixture
def known(made, monkeypatch, tmp_path):
    """The run of the trained network that has a name now, in an empty folder to work in."""
    monkeypatch.setenv("PARTTAG_PRETRAINED", str(made[0]))
    monkeypatch.chdir(tmp_path)
    return made[1]


def test_a_network_has_the_name_and_the_logits_of_its_run(known, made):
    (one,) = (found for found in pt.pretrained() if found.name == NAME)
    assert one.directory == made[0] / "toy_small"
    loaded = pt.load(NAME)
    with torch.no_grad():
        assert torch.equal(loaded.model(toy_batch(5)), known.model(toy_batch(5)))
    assert loaded.classes == known.classes == one.card.classes
    assert one.card.num_parameters == sum(p.numel() for p in known.model.parameters())
    assert one.card.summary == SAID["summary"]
    assert str(loaded.directory) == NAME
    assert weights_sum(loaded) == sha256(made[0] / "toy_small" / "weights.safetensors")
    # Nothing in it tells of the files of whoever trained it.
    assert loaded.config.data.train == loaded.config.data.val == loaded.config.data.test == ()
    assert str(made[0].parent) not in (made[0] / "toy_small" / "card.json").read_text()
    assert str(made[0].parent).encode() not in one.weights.read_bytes()


def test_the_card_can_be_read_by_people(made):
    text = (made[0] / "toy_small" / "README.md").read_text()
    for part in ("# pretrained/toy_small", SAID["data"], "| toys | 0.5 |", "- It is of no use."):
        assert part in text


def test_without_any_none_is_found(monkeypatch):
    monkeypatch.delenv("PARTTAG_PRETRAINED", raising=False)
    assert not any("toy" in one.name for one in list_pretrained())
    for name in ("runs/first", "/pretrained/a", "pretrained", "pretrained/a/b", "a/pretrained/b"):
        assert find_pretrained(name) is None
    with pytest.raises(InputError, match=r"pretrained/none: there is no such run, and no pretrai"):
        pt.load("pretrained/none")
    monkeypatch.setenv("PARTTAG_PRETRAINED", os.pathsep + "/nowhere")
    with pytest.raises(InputError, match="PARTTAG_PRETRAINED: /nowhere is no folder"):
        pt.pretrained()


def test_the_name_goes_wherever_a_run_does(known, tmp_path):
    init = [f"init_from.path={NAME}", "init_from.load=all", "optimizer.lr=1e-9"]
    config = toy_config(tmp_path, *init, "training.steps=1", "training.steps_per_epoch=1")
    begun = load_run(train_run(config, tmp_path / "run"))
    with torch.no_grad():
        expected = known.model(toy_batch(5))
        torch.testing.assert_close(begun.model(toy_batch(5)), expected, atol=1e-6, rtol=0)

    test = write_toptagging_h5(tmp_path / "test.h5", toy_jets(40, 9))
    scores = pt.load(NAME).predict(test).columns()
    ours = pt.Run.of(known).predict(test).columns()
    assert (scores["score_top"] == ours["score_top"]).all()

    labeled = LabeledJets([tmp_path / "train.h5"])
    probed = probe_run(load_run(NAME), "linear", labeled, [test])
    assert probed.auc == probe_run(known, "linear", labeled, [test]).auc
    assert not (tmp_path / "pretrained").exists()


def test_the_command_line_lists_probes_and_predicts(known, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG"))
    answer = CliRunner().invoke(app, ["pretrained"])
    assert NAME in answer.output
    assert "2 classes: A Particle Flow Network" in answer.output
    test = write_toptagging_h5(tmp_path / "test.h5", toy_jets(40, 9))
    train = write_toptagging_h5(tmp_path / "train.h5", toy_jets(60, 1))
    command = ["evaluate", NAME, "--probe", "linear", "--train", str(train), "--data", str(test)]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / NAME / "evaluation" / "probe" / "metrics.json").is_file()
    # What it has written there is not taken for a run.
    command = ["predict", NAME, str(test), "--out", "scores.h5"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "scores.h5").is_file()


def test_a_run_that_is_there_under_the_name_wins(known, tmp_path):
    config = toy_config(tmp_path, "training.steps=1", "training.steps_per_epoch=1")
    own = train_run(config, tmp_path / NAME)
    assert find_pretrained(NAME) is None
    assert weights_sum(load_run(NAME)) == sha256(own / "checkpoints" / "best.pt")


def test_a_table_knows_the_name(known, tmp_path):
    def plan_from(name):
        row = {"recipe": "pfn.yaml", "overrides": {"init_from": {"path": name}}}
        return toy_plan(tmp_path, rows={"PFN": row})

    plan, missing = plan_from(NAME), plan_from("pretrained/none")
    check_jobs(plan, plan.jobs())
    with pytest.raises(InputError, match="pretrained/none: there is no such run"):
        check_jobs(missing, missing.jobs())


def test_what_would_change_or_copy_it_is_refused(known, tmp_path):
    with pytest.raises(InputError, match=f"{NAME} comes with parttag, and a calibration is kept"):
        calibrate_run(load_run(NAME), toy_jets(20, 1))
    with pytest.raises(InputError, match=f"{NAME} comes with parttag, and an ensemble has copies"):
        make_ensemble([NAME, known.directory], tmp_path / "all")
    with pytest.raises(InputError, match="toy_small exists already; give another"):
        write_pretrained(known, find_pretrained(NAME).directory, SAID)
    with pytest.raises(InputError, match="summary"):
        write_pretrained(known, tmp_path / "new", {})
    assert not (tmp_path / "new").exists()


@pytest.fixture
def copied(known, tmp_path, monkeypatch):
    """A network of one's own to damage."""
    write_pretrained(known, tmp_path / "own" / "toy_small", SAID)
    monkeypatch.setenv("PARTTAG_PRETRAINED", str(tmp_path / "own"))
    return tmp_path / "own" / "toy_small"


def test_other_weights_than_the_card_says_are_refused(copied):
    weights = load_file(copied / "weights.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, copied / "weights.safetensors")
    with pytest.raises(InputError, match=r"missing, or has other weights than card\.json"):
        pt.load(NAME)


def test_a_damaged_card_is_refused(copied):
    card = copied / "card.json"
    content = json.loads(card.read_text())
    for text, match in [
        ("{", "card.json"),
        ("[]", "card.json"),
        (json.dumps(content | {"schema_version": 99}), "newer parttag"),
        (json.dumps(content | {"weights_sha256": "no"}), r"card\.json: weights_sha256"),
    ]:
        card.write_text(text)
        with pytest.raises(InputError, match=match):
            read_card(card)


def test_files_of_weights_that_are_not_parttags_are_refused(known, tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="there is no such checkpoint"):
        read_checkpoint(path)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="damaged, or is no safetensors"):
        read_checkpoint(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="parttag has not written these weights"):
        read_checkpoint(path)
    for text in ("{", "[]", '{"config": {}}'):
        save_file({"a": torch.zeros(2)}, path, metadata={"parttag": text})
        with pytest.raises(InputError):
            read_checkpoint(path)
    content = read_checkpoint(known.directory / "checkpoints" / "best.pt")
    write_shared(path, content)
    again = read_checkpoint(path)
    assert {k: v for k, v in again.items() if k != "weights"} == {
        k: v for k, v in content.items() if k != "weights"
    }
    assert all(torch.equal(again["weights"][k], v) for k, v in content["weights"].items())
    first = path.read_bytes()
    write_shared(path, content)
    assert path.read_bytes() == first
