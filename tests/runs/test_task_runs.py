"""Several tasks from files through training, continuation, ranks, stores, evaluation and scores."""

import json
import sys

import awkward as ak
import h5py
import numpy as np
import pytest
import torch
import yaml

from helpers.files import write_jetclass_root
from helpers.ranks import RankGroup
from helpers.runs import same_weights
from parttag import cli
from parttag.data.preparation.prepare import prepare
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.evaluation.predict import score_files
from parttag.metrics import Report
from parttag.runs.config import load_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets

TARGETS = {
    "mass": {
        "column": "jet_genmass",
        "transform": "log",
        "relative_to": "jet_mass",
        "loss": "quantiles",
    },
    "pt": {"column": "jet_genpt", "relative_to": "jet_pt", "loss": "gaussian"},
}
TASKS = {
    "classify": {"weight": 1, "label_smoothing": 0.1},
    "mass": {"weight": 0.1},
    "pt": {"weight": 0.1},
    "origin": {"classes": {"b": 5, "c": 4, "light": [1, 2]}},
    "vertex": {},
}


def some_jets(number, seed):
    lengths = np.random.default_rng(seed).integers(2, 20, number)
    return toy_jets(seed=seed, lengths=lengths)


def truth_of(jets, seed):
    rng = np.random.default_rng(seed)
    mass = (jets.mass * rng.lognormal(0, 0.1, len(jets)) + 0.1).astype(np.float32)
    mass[::7] = np.nan
    number = len(jets.p4)
    vertex = np.arange(number) % 3 - 1
    return {
        "jet_genmass": mass,
        "jet_sdmass": (0.9 * jets.mass).astype(np.float32),
        "jet_genpt": jets.pt.astype(np.float64) * rng.normal(1.1, 0.02, len(jets)),
        "jet_number": np.arange(len(jets)),
        "jet_same": np.full(len(jets), 3.0),
        "jet_negative": np.where(np.arange(len(jets)) == 4, -1.0, 2.0 + rng.random(len(jets))),
        "jet_nothing": np.full(len(jets), np.nan),
        "part_origin": ak.unflatten(rng.choice([1, 4, 5, 9], number), jets.lengths),
        "part_vertex": ak.unflatten(vertex, jets.lengths),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    for seed, (name, number) in enumerate({"train": 48, "val": 20, "test": 30}.items()):
        jets = some_jets(number, seed)
        write_jetclass_root(folder / f"{name}.root", jets, replaced=truth_of(jets, seed))
    return folder


def write_config(folder, name="config.yaml", targets=None, tasks=None, **changes):
    content = {
        "data": {
            **{part: str(folder / f"{part}.root") for part in ("train", "val", "test")},
            "classes": {"top": ["label_top"], "QCD": ["label_QCD"]},
        },
        "targets": TARGETS if targets is None else targets,
        "objective": {
            "name": "tasks",
            "weights": "uncertainty",
            "tasks": TASKS if tasks is None else tasks,
        },
        "model": {
            "name": "particle_transformer",
            "embed_dims": [8],
            "pair_dims": [4],
            "num_heads": 2,
            "num_layers": 1,
            "num_class_layers": 1,
            "dropout": 0.0,
            "trim": False,
        },
        "training": {
            "batch_size": 16,
            "epochs": 2,
            "device": "cpu",
            "precision": "fp64",
            "rank_timeout": 60.0,
        },
    }
    path = folder / name
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def run(folder):
    return train_run(load_config(write_config(folder)), folder / "run")


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_centre_and_scale_are_those_of_the_jets_that_have_the_target(folder, run):
    mass = yaml.safe_load((run / "config.yaml").read_text())["targets"]["mass"]
    jets = some_jets(48, 0)
    known = np.log(truth_of(jets, 0)["jet_genmass"].astype(np.float64) / jets.mass)
    known = known[np.isfinite(known)]
    low, middle, high = np.quantile(known, (0.16, 0.5, 0.84))
    # Masses of few particles are rounded by the momenta of the file, in single precision.
    assert mass["centre"] == pytest.approx(middle, abs=2e-4)
    assert mass["scale"] == pytest.approx(2 / (high - low), rel=5e-3)
    lacking = 48 - len(known)
    assert f"{lacking} of 48 jets lack it" in (run / "train.log").read_text()


def test_a_training_that_is_continued_is_the_one_that_was_not_stopped(folder, run):
    RankGroup(1, [(folder / "config.yaml", folder / "cut")], hurt="0:4:terminate").wait()
    assert len(lines_of(folder / "cut")) < 2
    train_run(load_config(folder / "config.yaml"), folder / "cut")
    assert same_weights(run, folder / "cut")
    one, other = lines_of(run), lines_of(folder / "cut")
    timed = ("seconds", "cpu_seconds", "jets_per_second")
    for mine, theirs in zip(one, other, strict=True):
        assert {k: v for k, v in mine.items() if k not in timed} == {
            k: v for k, v in theirs.items() if k not in timed
        }


def test_two_ranks_train_as_one(folder, run):
    results = RankGroup(2, [(folder / "config.yaml", folder / "ranks")]).wait()
    assert [result.code for result in results] == [0, 0], results
    for mine, theirs in zip(lines_of(run), lines_of(folder / "ranks"), strict=True):
        for name, value in mine.items():
            if name.endswith(("loss", "accuracy")):
                assert theirs[name] == pytest.approx(value, rel=1e-9), name
    weights = [
        torch.load(place / "checkpoints" / "last.pt", weights_only=True)["weights"]
        for place in (run, folder / "ranks")
    ]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-7, atol=1e-9)
    # The evaluation at the end was made by both ranks: it is that of one.
    found = Report.from_json(folder / "ranks" / "evaluation" / "metrics.json").to_json()["tasks"]
    assert found["mass"]["bias"]["value"] == pytest.approx(
        evaluate_run(load_run(run)).tasks["mass"].overall["prediction"].bias.value, rel=1e-5
    )
    expected = evaluate_run(load_run(run)).tasks["origin"].to_json()
    assert found["origin"]["num_particles"] == expected["num_particles"]


def test_a_store_trains_as_its_files_do(folder, run):
    columns = ["jet_genmass", "jet_genpt", "part_origin", "part_vertex"]
    prepare([folder / "train.root"], folder / "store", shuffle=False, column_names=columns)
    config = load_config(folder / "config.yaml", [f"data.train={folder / 'store'}"])
    train_run(config, folder / "of_store")
    assert same_weights(run, folder / "of_store")


def test_predictions_are_in_the_units_of_the_columns(folder, run):
    jets = some_jets(30, 2)
    write_jetclass_root(folder / "plain.root", jets)  # without any truth
    scores = score_files(load_run(run), [str(folder / "plain.root")])
    columns = scores.columns()
    assert {
        "pred_mass", "pred_mass_q16", "pred_mass_q50", "pred_mass_q84", "pred_pt", "pred_pt_error",
        "pred_origin", "pred_vertex", "score_top",
    } <= set(columns)  # fmt: skip
    assert not [name for name in columns if name.startswith("true_")]
    assert np.allclose(columns["pred_pt"] / jets.pt, 1.1, atol=0.2)
    low, middle, high = (columns[f"pred_mass_q{q}"] for q in (16, 50, 84))
    assert ((low <= middle) & (middle <= high)).all()
    assert (low < high).all()
    assert np.array_equal(columns["pred_mass"], middle)
    assert ak.all(ak.num(columns["pred_origin"]) == jets.lengths)
    assert set(ak.flatten(columns["pred_origin"]).to_list()) <= {0, 1, 2}
    assert ak.all(columns["pred_vertex"][:, 0] == 0)
    scores.write(folder / "scores.h5")
    scores.write(folder / "scores.root")
    with h5py.File(folder / "scores.h5") as file:
        assert np.array_equal(file["pred_mass"][:], columns["pred_mass"])
        assert file["pred_origin"][3].tolist() == columns["pred_origin"][3].to_list()
    with pytest.raises(InputError, match="the scores have a column of this name"):
        scores.keeping(["pred_mass"])


def test_an_evaluation_measures_each_task(folder, run):
    found = evaluate_run(load_run(run))
    found.save(folder / "evaluation")
    tasks = json.loads((folder / "evaluation" / "metrics.json").read_text())["tasks"]
    assert set(tasks) == {"mass", "pt", "origin", "vertex"}
    mass = tasks["mass"]
    jets = some_jets(30, 2)
    truth = truth_of(jets, 2)
    known = np.isfinite(truth["jet_genmass"])
    assert mass["num_missing"] == (~known).sum()
    off = found.scores.predictions["pred_mass"][known] / truth["jet_genmass"][known] - 1
    assert mass["bias"]["value"] == pytest.approx(np.median(off), abs=1e-5)
    assert set(mass["beside"]) == {"jet_mass", "jet_sdmass"}
    plain = (jets.mass[known] / truth["jet_genmass"][known]) - 1
    assert mass["beside"]["jet_mass"]["bias"]["value"] == pytest.approx(np.median(plain), abs=1e-4)
    below = truth["jet_genmass"][known] < found.scores.predictions["pred_mass_q84"][known]
    assert mass["coverage"]["q84"]["value"] == pytest.approx(below.mean())
    assert set(mass["by_class"]) == {"top", "QCD"}
    assert set(tasks["pt"]["coverage"]) == {"error"}
    origin = ak.flatten(truth["part_origin"]).to_numpy()
    assert tasks["origin"]["num_particles"]["light"] == (origin == 1).sum()
    assert tasks["vertex"]["num_true"] > 0
    for name in ("regression_mass.png", "regression_pt.png", "origin.png", "vertex.png"):
        assert (folder / "evaluation" / name).stat().st_size > 1000
    read = Report.from_json(folder / "evaluation" / "metrics.json")
    assert read.to_json() == found.to_json()
    rows = {row[0] for row in read.rows()}
    assert {"mass: resolution", "mass as jet_sdmass: bias", "origin: efficiency of b"} <= rows


def test_a_regression_needs_no_classes(folder, monkeypatch, capsys):
    config = write_config(
        folder,
        "regression.yaml",
        {"mass": {**TARGETS["mass"], "loss": "huber"}},
        {"mass": {}},
        data={part: str(folder / f"{part}.root") for part in ("train", "val", "test")},
        model={"name": "pfn", "particle_dims": [4], "jet_dims": [4]},
    )
    command = ["parttag", "train", str(config), "--out", str(folder / "regression")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code, capsys.readouterr().err
    assert "mass: resolution" in capsys.readouterr().out
    scores = score_files(load_run(folder / "regression"), [str(folder / "test.root")]).columns()
    assert "score_top" not in scores
    assert np.isfinite(scores["pred_mass"]).all()
    files = {path.name for path in (folder / "regression" / "evaluation").iterdir()}
    assert {"metrics.json", "scores.h5", "regression_mass.png"} <= files
    assert "roc.png" not in files


def test_each_fold_says_targets_in_its_own_standardization(folder):
    config = write_config(
        folder,
        "folds.yaml",
        {"pt": TARGETS["pt"]},
        {"classify": {}, "pt": {}},
        model={"name": "pfn", "particle_dims": [4], "jet_dims": [4]},
        data={
            "train": str(folder / "train.root"),
            "classes": {"top": ["label_top"], "QCD": ["label_QCD"]},
            "folds": {"number": 2, "by": "jet_number"},
        },
    )
    run = load_run(train_run(load_config(config), folder / "folds"))
    scales = [fold.head.target_options["pt"].scale for fold in run.fold_models]
    assert scales[0] != scales[1]
    report = evaluate_run(run).tasks["pt"]
    assert abs(report.overall["prediction"].bias.value) < 0.1


def test_jets_of_several_classes(folder):
    config = write_config(
        folder,
        "several.yaml",
        {},
        {"classify": {"multi_label": True}},
        model={"name": "pfn", "particle_dims": [4], "jet_dims": [4]},
        data={
            **{part: str(folder / f"{part}.root") for part in ("train", "val", "test")},
            "classes": {"top": ["label_top"], "any": ["label_top", "label_QCD"]},
        },
    )
    run = load_run(train_run(load_config(config), folder / "several"))
    found = evaluate_run(run)
    logits, scores = found.scores.logits, found.scores.columns()
    assert scores["score_any"] == pytest.approx(1 / (1 + np.exp(-logits[:, 1])), rel=1e-5)
    report = found.tasks["classify"]
    assert report.num_jets == {"top": 15, "any": 30}
    assert report.accuracy["any"].value == pytest.approx((logits[:, 1] > 0).mean())
    with pytest.raises(InputError, match="needs scores of classes of which each jet is of one"):
        run.refuse_multi_label("a calibration")


SAME = {"column": "jet_same"}


@pytest.mark.parametrize(
    ("targets", "tasks", "sentence"),
    [
        ({"x": {"column": "jet_nothing"}}, {"x": {}}, "jet_nothing has no value for any of the 48"),
        ({"x": {"column": "jet_same"}}, {"x": {}}, "jet_same is 3 for all jets .* a width of 0"),
        (
            {"x": {"column": "jet_negative", "transform": "log"}},
            {"x": {}},
            r"targets.x: .*train.root.*has jet_negative = -1, of which there is no log",
        ),
        (
            {},
            {"origin": {"column": "part_orgin", "classes": {"a": 1, "b": 2}}},
            "objective.tasks.origin.column: .*root has no branch part_orgin; .* is part_or",
        ),
        ({"x": {"column": "jet_no"}}, {"x": {}}, "targets.x.column: .*root has no branch jet_no"),
        (
            {"mass": SAME},
            {"mas": {}},
            "objective.tasks.mas: there is no such task; .* is mass",
        ),
        ({"origin": SAME}, {"classify": {}}, "'origin' cannot be the name of a target"),
        (
            {},
            {"vertex": {"weigth": 2}},
            "objective.tasks.vertex.weigth: there is no such .*weight",
        ),
        ({}, {"origin": {"classes": {"a": 1}}}, "origin.classes .* must have 2 or more entries"),
        (
            {},
            {"origin": {"classes": {"a": 1, "b": [1, 2]}}},
            "objective.tasks.origin.classes: 1 means two classes",
        ),
        (
            {},
            {"classify": {"class_weights": {"tops": 2}}},
            "objective.tasks.classify.class_weights.tops: data.classes has no such class",
        ),
        (
            {"x": {"column": "jet_genmass", "quantiles": [0.5, 0.2]}},
            {"x": {}},
            "must rise; give them in their order",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(folder, targets, tasks, sentence):
    path = write_config(folder, "wrong.yaml", targets, tasks)
    with pytest.raises(InputError, match=sentence):
        train_run(load_config(path), folder / "wrong")
    assert not (folder / "wrong" / "checkpoints").exists()
