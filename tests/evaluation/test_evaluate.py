import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.files import write_jetclass_root, write_toptagging_h5
from helpers.limits import largest_file
from parttag import metrics
from parttag.data.readers import read_chunks
from parttag.data.writers.jetclass import write_jets
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.evaluation.evaluation import Evaluation, check_target
from parttag.jets.arrays import concatenate
from parttag.models import build_model
from parttag.runs.config import DataOptions
from parttag.runs.run import load_run
from parttag.testing import toy_jets


@pytest.fixture(autouse=True)
def quick_pictures(request, monkeypatch):
    """Leave out what takes long, except where a test asks for real pictures."""
    if request.function is not test_an_evaluation_leaves_metrics_scores_and_pictures:
        monkeypatch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG"))


TABLES = {"working_points.yaml", "working_points.json"}
AGAINST_QCD = {"roc.png", "rejection_pt.png", "mass_sculpting.png"} | TABLES
NAMES = {"metrics.json", "scores.h5", "scores.png", "training.png", "reliability.png"} | AGAINST_QCD


def saved(found: Evaluation, directory) -> Evaluation:
    """Save an evaluation, and return it."""
    found.save(directory)
    return found


def test_an_evaluation_leaves_metrics_scores_and_pictures(run, tmp_path):
    out = tmp_path / "deep" / "evaluation"
    found = saved(evaluate_run(run), out)
    assert {path.name for path in out.iterdir()} == NAMES
    assert json.loads((out / "metrics.json").read_text()) == found.to_json()
    assert found.num_jets == {"top": 40, "QCD": 40}
    assert found.num_left_out == {"bad": 0, "no_class": 0}
    assert found.data == (str(run.directory.parent / "test.h5"),)
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in NAMES if "png" in name)


def test_metrics_are_those_of_the_scores(run, tmp_path):
    found = saved(evaluate_run(run), tmp_path / "out").to_json()
    with h5py.File(tmp_path / "out" / "scores.h5") as file:
        logits = np.stack([file["logit_top"][:], file["logit_QCD"][:]], axis=1)
        labels = file["label"][:]
    expected = metrics.measure(logits, labels, ("top", "QCD")).to_json()
    measured = ("accuracy", "auc", "rejection", "threshold", "num_jets", "loss")
    assert {name: found[name] for name in measured} == {n: expected[n] for n in measured}


def test_pt_bins_and_sculpting_are_those_of_the_scores(run, tmp_path):
    found = saved(evaluate_run(run), tmp_path / "out").to_json()
    with h5py.File(tmp_path / "out" / "scores.h5") as file:
        logits = np.stack([file["logit_top"][:], file["logit_QCD"][:]], axis=1)
        labels, pt, mass = file["label"][:], file["jet_pt"][:], file["jet_mass"][:]
    classes = ("top", "QCD")
    by_pt = metrics.measure_by_pt(logits, labels, classes, pt)
    assert found["rejection_by_pt"] == by_pt.to_json()
    rocs = metrics.class_rocs(logits, labels, classes)
    passing = metrics.passing_jets(logits, classes, rocs)
    sculpting = metrics.measure_sculpting(mass, labels, classes, passing)
    assert found["mass_sculpting"] == {"top": sculpting["top"].to_json()}
    assert found["mass_sculpting"]["top"]["before"]["num_jets"] == 40


def test_bad_jets_and_jets_of_no_class_are_counted_and_left_out(run, tmp_path):
    jets = toy_jets(40)
    p4, labels = jets.p4.copy(), jets.labels.copy()
    p4[jets.offsets[3]] = np.inf
    labels[[10, 20]] = 0
    path = write_jetclass_root(tmp_path / "in.root", replace(jets, p4=p4, labels=labels))
    found = saved(evaluate_run(run, [path]), tmp_path / "out")
    assert found.num_left_out == {"bad": 1, "no_class": 2}
    assert sum(found.num_jets.values()) == 37
    with h5py.File(tmp_path / "out" / "scores.h5") as file:
        assert file["valid"][:].tolist() == [int(row != 3) for row in range(40)]
        assert np.flatnonzero(file["label"][:] == -1).tolist() == [10, 20]
    with pytest.raises(InputError, match=r"jet 3: bad jet"):
        evaluate_run(run, [path], strict=True)


def test_an_evaluation_is_replaced_only_if_asked(run, tmp_path):
    first = saved(evaluate_run(run), tmp_path / "out")
    other = write_toptagging_h5(tmp_path / "other.h5", toy_jets(30, seed=9))
    second = evaluate_run(run, [other])
    with pytest.raises(InputError, match=r"scores.h5 exists already"):
        second.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == first.to_json()
    with pytest.raises(InputError, match=r"scores.h5 exists already"):
        check_target(run, tmp_path / "out")
    check_target(run, tmp_path / "out", overwrite=True)
    second.save(tmp_path / "out", overwrite=True)
    assert second.to_json() != first.to_json()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == second.to_json()


def test_a_run_without_test_files_asks_for_them(run):
    bare = replace(
        run, config=run.config.model_copy(update={"data": DataOptions(classes=run_classes(run))})
    )
    with pytest.raises(InputError, match=r"no data.test; name the files to evaluate on with data"):
        evaluate_run(bare)
    assert not (run.directory / "evaluation").exists()


def run_classes(run):
    return run.config.data.classes


def test_jets_without_labels_cannot_be_evaluated(run, tmp_path):
    jets = toy_jets(10)
    path = write_jetclass_root(tmp_path / "in.root", jets, without=["label_top", "label_QCD"])
    with pytest.raises(InputError, match="no label label_top for class top"):
        evaluate_run(run, [path])
    unclassed = write_jetclass_root(
        tmp_path / "none.root", replace(jets, labels=np.zeros_like(jets.labels))
    )
    with pytest.raises(InputError, match=r"no good jet of a class in data.classes"):
        evaluate_run(run, [unclassed])


def test_a_full_disk_leaves_nothing(run, tmp_path):
    found = evaluate_run(run)
    with largest_file(3000), pytest.raises(InputError, match=r"cannot be written \(file too large"):
        found.save(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_made_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/out cannot be written \(not a directory\)"):
        evaluate_run(run).save(tmp_path / "file" / "out")
    with pytest.raises(InputError, match=r"file/out cannot be written \(not a directory\)"):
        check_target(run, tmp_path / "file" / "out")
    check_target(run, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_a_network_that_was_not_trained_here_has_no_training_curves(run, tmp_path):
    imported = replace(run, directory=tmp_path)
    evaluate_run(imported).save(tmp_path / "evaluation")
    found = {path.name for path in (tmp_path / "evaluation").iterdir()}
    assert found == NAMES - {"training.png"}


def test_classes_without_a_background_have_no_roc(run, tmp_path):
    jets = toy_jets(60)
    labels = np.eye(3, dtype=np.uint8)[np.arange(60) % 3]
    names = ("label_a", "label_b", "label_c")
    path = write_jetclass_root(
        tmp_path / "in.root", replace(jets, labels=labels, label_names=names)
    )
    classes = {name[-1]: (name,) for name in names}
    data = run.config.data.model_copy(update={"classes": classes})
    three = replace(
        run,
        config=run.config.model_copy(
            update={"data": data, "evaluation": metrics.EvaluationOptions()}
        ),
        model=build_model(run.config.model, "kin", 3).eval(),
        classes=tuple(classes),
    )
    found = saved(evaluate_run(three, [path]), tmp_path / "out").to_json()
    assert found["rejection"] == {}
    assert found["num_jets"] == {"a": 20, "b": 20, "c": 20}
    assert {path.name for path in (tmp_path / "out").iterdir()} == NAMES - AGAINST_QCD
    assert found["rejection_by_pt"] == found["mass_sculpting"] == {}


def test_a_cut_record_of_the_training_is_refused(run_directory, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(run_directory, directory)
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged or cut short"):
        evaluate_run(load_run(directory))


def test_jets_in_memory_are_evaluated_as_those_of_a_file_are(run, tmp_path):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(40, seed=4))
    jets = concatenate(list(read_chunks(path)))
    of_file, of_jets = evaluate_run(run, path), evaluate_run(run, jets)
    assert of_file.data == (str(path),)
    assert of_jets.data == ()
    assert of_jets.to_json() == of_file.to_json() | {"data": []}
    np.testing.assert_array_equal(of_jets.scores.logits, of_file.scores.logits)


def test_the_evaluated_files_decide_whether_published_numbers_stand_beside(run, tmp_path):
    test = run.directory.parent / "test.h5"
    assert evaluate_run(run).beside_published
    jets = concatenate(list(read_chunks(test)))
    assert not evaluate_run(run, jets).beside_published  # of jets in memory it is not known
    write_jets(tmp_path / "simulated.root", jets, {"seed": 1})
    assert not evaluate_run(run, tmp_path / "simulated.root").beside_published
    write_jets(tmp_path / "other.root", jets)
    assert evaluate_run(run, tmp_path / "other.root").beside_published


def test_an_evaluation_is_a_report_with_its_scores_and_curves(run):
    found = evaluate_run(run)
    assert isinstance(found, metrics.Report)
    assert found.rejection["top"][0.5] == found.rocs["top"].rejection(0.5)
    assert len(found.scores) == len(found.used) == 80
    assert repr(found).startswith("small: against QCD")


def test_options_say_background_working_points_and_what_is_measured(run, tmp_path):
    options = metrics.EvaluationOptions(
        background="top", working_points=[0.6], metrics=["accuracy", "rejection"]
    )
    found = saved(evaluate_run(run, options=options), tmp_path / "out").to_json()
    assert found["background"] == ["top"]
    assert list(found["rejection"]["QCD"]) == list(found["threshold"]["QCD"]) == ["0.6"]
    assert found["loss"] is None
    assert found["auc"] == {"value": None, "error": None}
    assert found["rejection_by_pt"] == found["mass_sculpting"] == {}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == NAMES - {"rejection_pt.png", "mass_sculpting.png"}
    with pytest.raises(InputError, match=r"evaluation.background: 'gluon' is none of the classes"):
        evaluate_run(run, options=metrics.EvaluationOptions(background="gluon"))


def test_pictures_are_of_the_formats_that_are_asked_for(run, tmp_path, monkeypatch):
    seen = []

    def save(_, target, **how):
        seen.append(how["format"])
        target.write(b"x")

    monkeypatch.setattr(Figure, "savefig", save)
    found = evaluate_run(run)
    found.save(tmp_path / "out", formats=("pdf", "png"))
    assert sorted(seen) == ["pdf"] * 6 + ["png"] * 6
    suffixes = {".pdf", ".png", ".h5", ".json", ".yaml"}
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == suffixes
    with pytest.raises(InputError, match="formats: 'exe' is none of "):
        found.save(tmp_path / "other", formats=("exe",))
    assert not (tmp_path / "other").exists()
