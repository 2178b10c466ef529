"""Several runs as one: their mean probabilities, files of its own, and what does not fit."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import yaml

import parttag as pt
from helpers.files import write_toptagging_h5
from helpers.runs import toy_config
from parttag.cli.application import app
from parttag.errors import InputError
from parttag.runs.train import train_run
from parttag.testing import toy_jets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("members")


@pytest.fixture(scope="module")
def test_file(folder):
    return str(write_toptagging_h5(folder / "test.h5", toy_jets(60, seed=3)))


@pytest.fixture(scope="module")
def members(folder, test_file):
    """Two seeds of the small network, the second of which sees fewer particles."""
    config = toy_config(folder, f"data.test={test_file}", "training.epochs=1", "optimizer.lr=0.02")
    first = train_run(config, folder / "first")
    other = toy_config(
        folder,
        f"data.test={test_file}",
        "training.epochs=1",
        "training.seed=7",
        "model.max_particles=5",
    )
    return [first, train_run(other, folder / "second")]


@pytest.fixture(scope="module")
def both(members, folder):
    return pt.ensemble(members, folder / "both")


def softmax(logits):
    exponentials = np.exp(logits.astype(float))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_probabilities_are_averaged_and_a_logit_is_their_logarithm(both, members, test_file):
    scores = [softmax(pt.load(member).predict(test_file).logits) for member in members]
    assert abs(scores[0] - scores[1]).max() > 0.01
    mean = (scores[0] + scores[1]) / 2
    found = both.predict(test_file)
    assert found.logits == pytest.approx(np.log(mean), abs=1e-6)
    assert found.columns()["score_top"] == pytest.approx(mean[:, 0], abs=1e-6)
    assert "ensemble of 2, pfn first" in repr(both)


def test_it_needs_nothing_of_its_members(both, members, test_file, tmp_path):
    copy = shutil.copytree(both.directory, tmp_path / "elsewhere")
    expected = both.predict(test_file).logits
    moved = [shutil.move(member, tmp_path / member.name) for member in members]
    try:
        assert (pt.load(copy).predict(test_file).logits == expected).all()
    finally:
        for member, place in zip(members, moved, strict=True):
            shutil.move(place, member)


def test_evaluate_compare_and_calibrate_take_it(both, members, test_file, tmp_path, folder):
    directory = shutil.copytree(both.directory, tmp_path / "both")
    report = pt.load(directory).evaluate()
    scores = np.stack([softmax(pt.load(m).predict(test_file).logits) for m in members]).mean(axis=0)
    labels = report.scores.labels
    assert report.accuracy.value == pytest.approx((scores.argmax(axis=1) == labels).mean())
    found = pt.compare([*members, directory], test_file)
    assert len(found.rows) == 3
    jets = toy_jets(60, seed=8)
    logits = both.predict(jets).logits
    margin = logits[:, 0] - logits[:, 1]
    is_top = (margin > np.median(margin)) != (np.arange(60) % 4 == 0)
    jets.labels[:, jets.label_names.index("label_top")] = is_top
    val = str(write_toptagging_h5(folder / "labelled.h5", jets))
    run = pt.load(directory).calibrate(val)
    expected = both.predict(test_file).logits / run.calibration.temperature
    assert run.predict(test_file).logits == pytest.approx(expected, abs=1e-5)
    shutil.copyfile(
        directory / "members/0/checkpoints/best.pt", directory / "members/1/checkpoints/best.pt"
    )
    with pytest.raises(
        InputError, match=r"has other weights than .* says; make the ensemble again"
    ):
        pt.load(directory)


def test_calibrations_of_members_go_with_them(members, test_file, tmp_path):
    copies = [shutil.copytree(member, tmp_path / member.name) for member in members]
    first = pt.load(copies[0])
    content = {
        "schema_version": 1,
        "temperature": 0.25,
        "temperature_error": 0.1,
        "fractions": {"top": 0.5, "QCD": 0.5},
        "priors": None,
        "num_jets": 10,
        "data": [],
        "before": {"value": 0.1, "error": 0.1},
        "after": {"value": 0.1, "error": 0.1},
        "weights_sha256": _sum(copies[0] / "checkpoints" / "best.pt"),
    }
    (copies[0] / "calibration.json").write_text(json.dumps(content))
    second = pt.load(copies[1]).predict(test_file).logits
    mean = (softmax(first.predict(test_file).logits / 0.25) + softmax(second)) / 2
    found = pt.ensemble(copies, tmp_path / "both").predict(test_file).logits
    assert found == pytest.approx(np.log(mean), abs=1e-6)


def _sum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_members_that_do_not_fit(members, both, tmp_path):
    def changed(name, change):
        directory = shutil.copytree(members[1], tmp_path / name)
        content = yaml.safe_load((directory / "config.yaml").read_text())
        change(content)
        (directory / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return directory

    def swap(content):
        content["data"]["classes"] = dict(reversed(content["data"]["classes"].items()))

    others = {
        "classes": (swap, r"has the class QCD \(label_QCD\) where .* has the class top"),
        "cuts": (
            lambda content: content["data"].update(cuts={"jet_pt": [500, 600]}),
            "has other data.cuts than",
        ),
        "columns": (lambda content: content.update(features="kinpid"), "of other columns"),
    }
    for name, (change, sentence) in others.items():
        with pytest.raises(InputError, match=sentence):
            pt.ensemble([members[0], changed(name, change)], tmp_path / "out")
    for given, sentence in (
        ([members[0]], "has two runs or more"),
        ([members[0], members[0]], "named twice"),
        ([members[0], both], "is an ensemble itself; name its members"),
        ([members[0], tmp_path], "is not a run"),
    ):
        with pytest.raises(InputError, match=sentence):
            pt.ensemble(given, tmp_path / "out")
    with pytest.raises(InputError, match="exists already"):
        pt.ensemble(members, members[0])
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_those_of_all_are_left_out(members, folder, tmp_path):
    """What one fold is validated with, another is trained on."""
    other = shutil.copytree(members[1], tmp_path / "fold")
    content = yaml.safe_load((other / "config.yaml").read_text())
    content["data"]["val"] = content["data"]["train"]
    (other / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run = pt.ensemble([members[0], other], tmp_path / "out")
    assert run.config.data.train == run.config.data.val == ()
    assert run.config.data.test
    with pytest.raises(InputError, match=r"has no data.val; name the jets to calibrate it on"):
        run.calibrate()


def test_an_ensemble_is_neither_trained_nor_probed(both, folder, test_file):
    config = toy_config(folder, "training.epochs=1")
    with pytest.raises(InputError, match="holds an ensemble, which is not trained"):
        train_run(config, both.directory)
    with pytest.raises(InputError, match="probe a member"):
        both.probe(test_file)


def test_an_ensemble_is_exported_as_one_model(both, tmp_path):
    assert both.export(tmp_path / "model.onnx").differences.largest < 1e-5


def test_the_command_makes_one(members, tmp_path):
    app([str(a) for a in ("ensemble", *members, "--out", tmp_path / "out")], standalone_mode=False)
    assert (tmp_path / "out" / "ensemble.json").is_file()
    assert not (tmp_path / "out" / "members" / "0" / "checkpoints" / "last.pt").exists()
