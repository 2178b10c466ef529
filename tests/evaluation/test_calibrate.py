"""Calibration kept in a run, its scores everywhere, and working points from evaluate to predict."""

import json
import shutil
import sys

import correctionlib
import h5py
import numpy as np
import pytest
import yaml

import parttag as pt
from helpers.files import write_toptagging_h5
from parttag.cli import main
from parttag.errors import InputError
from parttag.testing import toy_jets

CLASSES = ("top", "QCD")


@pytest.fixture(scope="module")
def files(tmp_path_factory, run_directory):
    """Jets to calibrate on, half of them top and four of five where the network is for it."""
    folder = tmp_path_factory.mktemp("jets")
    jets = toy_jets(100, seed=5)
    logits = pt.load(run_directory).predict(jets).logits
    order = (logits[:, 0] - logits[:, 1]).argsort().argsort()
    is_top = (order >= 50) != (order % 5 == 0)
    column = jets.label_names.index("label_top")
    jets.labels[:, column] = is_top
    val = write_toptagging_h5(folder / "val.h5", jets)
    test = write_toptagging_h5(folder / "test.h5", toy_jets(80, seed=3))
    return [str(val), str(test)]


@pytest.fixture
def directory(run_directory, tmp_path):
    """A copy of the small run, which may be calibrated."""
    shutil.copytree(run_directory, tmp_path / "run")
    (tmp_path / "run" / "calibration.json").unlink(missing_ok=True)
    return tmp_path / "run"


def command(*arguments) -> int:
    sys.argv = ["parttag", *map(str, arguments)]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def refusal(capsys, *arguments) -> str:
    """Return the sentence with which a command refuses, without its line breaks."""
    assert command(*arguments) == 2
    return capsys.readouterr().err


def softmax(logits):
    exponentials = np.exp(logits.astype(float))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_scores_and_logits_change_together_everywhere(directory, files):
    val, test = files
    plain = pt.load(directory)
    before = plain.predict(test)
    run = plain.calibrate(val, priors={"QCD": 0.9, "top": 0.1})
    found = run.calibration
    assert found.fractions == pytest.approx({"top": 0.5, "QCD": 0.5})
    assert found.target == pytest.approx({"top": 0.1, "QCD": 0.9})
    assert found.num_jets == 100
    shifts = np.log(np.array([0.1, 0.9]) / 0.5)
    expected = before.logits / found.temperature + shifts

    predicted = run.predict(test)
    assert predicted.logits == pytest.approx(expected, abs=1e-5)
    columns = predicted.columns()
    assert columns["score_top"] == pytest.approx(softmax(expected)[:, 0], abs=1e-5)
    assert run.evaluate(test).scores.logits == pytest.approx(expected, abs=1e-5)
    called = run(pt.read(test).to_awkward().particles)
    assert np.asarray(called.logit_QCD) == pytest.approx(expected[:, 1], abs=1e-5)
    direct = run.model(pt.batch(pt.read(test))).detach().numpy()
    assert direct == pytest.approx(expected, abs=1e-5)


def test_the_temperature_is_that_of_the_validation_jets(directory, files):
    """At its minimum the cross-entropy does not change to first order."""
    run = pt.load(directory)
    scores = run.predict(files[0])
    temperature = run.calibrate(files[0]).calibration.temperature

    def loss(t):
        probabilities = softmax(scores.logits / t)
        return -np.log(probabilities[np.arange(100), scores.labels]).sum()

    assert loss(temperature) < min(loss(1.01 * temperature), loss(0.99 * temperature))


def test_a_report_says_what_the_scores_are_for(directory, files):
    plain = pt.load(directory)
    assert plain.evaluate(files[1]).reliability.calibration is None
    run = plain.calibrate(files[0], priors={"top": 0.2, "QCD": 0.8})
    report = run.evaluate(files[1])
    assert report.reliability.calibration == run.calibration.name
    assert report.reliability.fractions == pytest.approx({"top": 0.2, "QCD": 0.8})
    assert "at class fractions top 0.2, QCD 0.8 (calibrated, T = " in repr(report)
    back = pt.Report.from_json(report.to_json())
    assert back.reliability.to_json() == report.reliability.to_json()


def test_a_calibration_is_of_its_weights_and_is_not_replaced(directory, files):
    run = pt.load(directory).calibrate(files[0])
    with pytest.raises(InputError, match=r"calibration.json"):
        run.calibrate(files[0])
    again = run.calibrate(files[0], overwrite=True)
    assert again.calibration == run.calibration
    weights = directory / "checkpoints" / "best.pt"
    weights.write_bytes((directory / "checkpoints" / "last.pt").read_bytes())
    with pytest.raises(InputError, match="is of other weights than those of the run now"):
        pt.load(directory)
    assert command("calibrate", directory, "--data", files[0], "--overwrite") == 0
    assert pt.load(directory).calibration is not None


def test_working_points_from_evaluate_to_predict(directory, files, tmp_path, capsys):
    val, test = files
    tables = "{points: {loose: {efficiency: 0.8}, few: {mistag: 0.1}}, pt: [596.5, 598.5, 599.8]}"
    assert command("calibrate", directory, "--data", val) == 0
    assert command("evaluate", directory, "--data", test, "--tables", tables) == 0
    out = tmp_path / "scores.h5"
    assert command("predict", directory, "--working-points", test, "--out", out) == 0
    with h5py.File(out) as file:
        columns = {name: file[name][:] for name in file}
    own = columns["label"] == 0
    inside = (columns["jet_pt"] >= 596.5) & (columns["jet_pt"] < 599.8)
    assert 0 < inside.sum() < 80
    assert not columns["pass_loose"][~inside].any()
    for low, high in ((596.5, 598.5), (598.5, 599.8)):
        rows = own & (columns["jet_pt"] >= low) & (columns["jet_pt"] < high)
        assert columns["pass_loose"][rows].sum() == np.ceil(0.8 * rows.sum())
    read = correctionlib.CorrectionSet.from_file(str(directory / "evaluation/working_points.json"))
    cuts = read["threshold"].evaluate("few", columns["jet_pt"].astype(float))
    scores = [columns[f"score_{name}"] for name in CLASSES]
    values = read["discriminant_top"].evaluate(*scores)
    assert ((values >= cuts) == columns["pass_few"]).all()
    assert pt.load(directory).calibration.name in read["threshold"].description

    points = directory / "evaluation" / "working_points.yaml"
    of_file = pt.load(directory).predict(test, working_points=points).columns()
    assert (of_file["pass_few"] == columns["pass_few"]).all()
    capsys.readouterr()
    assert (
        command(
            "calibrate", directory, "--data", val, "--priors", "{top: 0.3, QCD: 0.7}", "--overwrite"
        )
        == 0
    )
    sentence = refusal(
        capsys, "predict", directory, test, "--working-points", points, "--out", out, "--overwrite"
    )
    assert "was made with the calibration T = " in sentence
    assert "evaluate the run again" in sentence


def test_working_points_that_cannot_be_used(directory, files, tmp_path):
    run = pt.load(directory)
    with pytest.raises(InputError, match=r"working_points.yaml is missing: evaluate the run"):
        run.predict(files[1], working_points=True)
    run.evaluate(files[1]).save(directory / "evaluation")
    tables = directory / "evaluation" / "working_points.yaml"
    passed = run.predict(files[1], working_points=True).columns()
    assert {"pass_eff50", "pass_eff30"} <= passed.keys()
    with pytest.raises(InputError, match="is what correctionlib reads; give the working_points"):
        run.predict(files[1], working_points=tables.with_suffix(".json"))
    content = yaml.safe_load(tables.read_text())
    broken = tmp_path / "broken.yaml"
    for change, sentence in (
        ({"points": {}}, "holds no working points"),
        ({"points": 3}, "holds no working points"),
        ({"classes": ["QCD", "top"]}, "is for the classes QCD, top"),
        ({"schema_version": 9}, "was made by a newer parttag"),
        ({"bins": {"pt": [1, 2, 3]}}, "is damaged or cut short"),
    ):
        broken.write_text(yaml.safe_dump({**content, **change}))
        with pytest.raises(InputError, match=sentence):
            run.predict(files[1], working_points=broken)


def test_jets_that_calibrate_nothing(directory, files, tmp_path, capsys):
    one_class = toy_jets(60, 4)
    only = write_toptagging_h5(
        tmp_path / "top.h5", one_class.take(np.flatnonzero(one_class.labels[:, 0] == 1))
    )
    assert "there are no jets of class QCD to calibrate on" in refusal(
        capsys, "calibrate", directory, "--data", only
    )
    for priors, sentence in (
        ("{top: 0.5}", "the fraction of QCD is missing"),
        ("{top: 0.5, qcd: 0.5}", "the nearest is QCD"),
        ("{top: 0, QCD: 1}", "greater than 0"),
    ):
        assert sentence in refusal(
            capsys, "calibrate", directory, "--data", files[0], "--priors", priors
        )
    assert not (directory / "calibration.json").exists()


def test_a_damaged_calibration_is_one_sentence(directory, files):
    pt.load(directory).calibrate(files[0])
    path = directory / "calibration.json"
    content = json.loads(path.read_text())
    for text in (
        "{",
        json.dumps({**content, "temperature": -1}),
        json.dumps({**content, "fractions": {}}),
        json.dumps({key: value for key, value in content.items() if key != "before"}),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=r"calibration\.json"):
            pt.load(directory)


def test_an_exported_graph_has_the_calibration(directory, files, tmp_path):
    """The exporter compares the graph with the run's own scores, and refuses one that differs."""
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    run = pt.load(directory).calibrate(files[0], priors={"top": 0.1, "QCD": 0.9})
    run.export(tmp_path / "model.onnx")
    model = onnx.load(str(tmp_path / "model.onnx"))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert run.calibration.name in properties.values()
