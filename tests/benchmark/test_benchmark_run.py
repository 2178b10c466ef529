"""Whole tables of two tiny rows."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from helpers.benchmarks import CLASSES, run_all, toy_benchmark, toy_plan
from helpers.files import write_jetclass_root, write_root
from helpers.foreign import FOREIGN, foreign_branches, massive
from helpers.weaver import weaver_golden
from parttag.benchmarks import jobs as execution
from parttag.benchmarks.run import run_benchmark
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.metrics import Report
from parttag.runs.run import load_run
from parttag.testing import toy_jets

TIMES = ("training_time", "cpu_time", "jets_per_second")
ROWS = toy_benchmark()["rows"]


def read_table(plan, *, without_times=False):
    rows = json.loads((plan.directory / "table.json").read_text())
    kept = [k for k in rows[0] if not (without_times and k in TIMES)]
    return [{k: row[k] for k in kept} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a table of two rows and two seeds, its plan and its outcome."""
    folder = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(folder):
        plan = toy_plan(Path(), seeds=[0, 1])
        return folder, plan, run_all(plan)


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    """The plan of a copy of it, to be changed, in the current directory."""
    folder, plan, _ = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return plan


def test_a_table_has_every_row_with_all_its_numbers(finished, copy):
    assert not finished[2].failures
    plan = copy
    first, second = read_table(plan)
    assert [first["row"], second["row"]] == ["PFN", "ParT"]
    metrics = [
        json.loads(path.read_text())
        for path in sorted(plan.directory.glob("rows/PFN/seed-*/evaluation/metrics.json"))
    ]
    accuracies = [m["accuracy"]["value"] for m in metrics]
    assert first["accuracy"]["value"] == pytest.approx(sum(accuracies) / 2)
    spread = abs(accuracies[0] - accuracies[1]) / 2**0.5
    assert first["accuracy"]["spread"] == pytest.approx(spread)
    errors = [m["accuracy"]["error"] for m in metrics]
    assert first["accuracy"]["error"] == pytest.approx(sum(errors) / 2)
    assert set(first["rejection"]["top"]) == {"0.5", "0.3"}
    assert first["seeds"] == [0, 1]
    assert first["parameters"] == 7 * 8 + 8 + 8 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2
    assert first["jets_seen"] == 80  # two epochs of 40 jets
    assert first["training_time"] > 0
    assert first["jets_per_second"] > 0
    assert first["multiply_adds"] > 0
    assert not first["cut"]
    assert first["hardware"].startswith("CPU, ")
    assert first["published"] is None  # toys are no reference jets
    assert first["footnote"] == "tiny"
    assert first["notes"] == [
        "published numbers are left out: the test jets were made by parttag, theirs are others"
    ]
    assert first["unlike_recipe"] == {"training.epochs": "2", "training.batch_size": "16"}
    assert not first["missing"]


def test_all_forms_and_pictures_are_written(finished):
    folder, _, outcome = finished
    names = [f"table.{form}" for form in ("md", "tex", "csv", "json")]
    names += ["roc.png", "rejection_parameters.png", "rejection_cost.png"]
    assert [path.name for path in outcome.files] == names
    assert all((folder / path).stat().st_size > 100 for path in outcome.files)


def test_a_table_has_a_page_with_the_first_seed_of_each_row(copy):
    outcome = run_benchmark(copy, [])
    assert list(outcome.runs) == [row.name for row in copy.rows]
    assert outcome.report() == f"to look at: {copy.directory / 'report.html'}"
    text = (copy.directory / "report.html").read_text()
    assert "Rows of the benchmark" in text
    assert all(f"<summary>{name}</summary>" in text for name in outcome.runs)
    (copy.directory / "report.html").unlink()


def test_what_is_done_is_skipped_and_gives_the_same_table(copy):
    before = (copy.directory / "table.json").read_bytes()
    checkpoints = {path: path.stat().st_mtime_ns for path in copy.directory.rglob("*.pt")}
    assert len(checkpoints) == 12
    run_all(copy)
    assert (copy.directory / "table.json").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in checkpoints} == checkpoints


def test_only_what_is_missing_is_done(copy):
    expected = read_table(copy, without_times=True)
    shutil.rmtree(copy.directory / "rows" / "PFN" / "seed-1")
    # One run was killed before its evaluation was complete, one before its costs were counted.
    shutil.rmtree(copy.directory / "rows" / "ParT" / "seed-0" / "evaluation")
    (copy.directory / "rows" / "ParT" / "seed-1" / "evaluation" / execution.RECORD).unlink()
    run_all(copy)
    assert read_table(copy, without_times=True) == expected


def test_a_run_of_another_configuration_is_refused_before_anything_is_trained(copy):
    (copy.directory / "rows" / "PFN" / "seed-0" / "train.log").unlink()
    changed = toy_plan(Path(), seeds=[0, 1, 2], overrides={"optimizer": {"lr": 1}})
    with pytest.raises(InputError, match=r"rows/PFN/seed-0 holds a run whose .* is different"):
        run_all(changed)
    assert not (copy.directory / "rows" / "PFN" / "seed-2").exists()


def test_a_table_is_gathered_from_whatever_is_there(copy):
    shutil.rmtree(copy.directory / "rows" / "PFN" / "seed-1")
    shutil.rmtree(copy.directory / "rows" / "ParT" / "seed-0")
    (copy.directory / "rows" / "ParT" / "seed-1" / "evaluation" / execution.RECORD).unlink()
    run_benchmark(copy, [])
    first, second = read_table(copy)
    assert (first["seeds"], first["missing"]) == ([0], {"1": "not run yet"})
    assert first["accuracy"]["spread"] is None
    assert (second["seeds"], second["accuracy"]["value"]) == ([], None)
    assert second["missing"] == {"0": "not run yet", "1": "interrupted"}
    text = (copy.directory / "table.md").read_text()
    assert "PFN, seed 1: not run yet" in text


def test_jets_may_be_those_of_a_foreign_ntuple(tmp_path):
    files = {
        part: str(
            write_root(
                tmp_path / f"{part}.root",
                foreign_branches(massive(toy_jets(30, seed))),
                tree="analysis/Nominal",
            )
        )
        for seed, part in enumerate(("train", "val", "test"))
    }
    plan = toy_plan(
        tmp_path,
        jets=None,
        data={**files, "classes": CLASSES, "columns": yaml.safe_load(FOREIGN)},
        rows={"PFN": ROWS["PFN"]},
    )
    assert not run_all(plan).failures
    assert read_table(plan)[0]["multiply_adds"] > 0


def test_rows_of_other_jets_never_stand_in_the_same_table(copy):
    (copy.directory / "rows" / "PFN" / "seed-1" / "evaluation" / "scores.h5").unlink()
    record = copy.directory / "rows" / "ParT" / "seed-1" / "evaluation" / execution.RECORD
    content = json.loads(record.read_text())
    content["test"][0]["sha256"] = "0" * 64
    record.write_text(json.dumps(content))
    run_benchmark(copy, [])
    second = read_table(copy)[1]
    assert second["seeds"] == [0]
    expected = "not shown: its data.test holds other jets than that of PFN, seed 0"
    assert second["missing"]["1"].startswith(expected)


def test_a_row_that_was_evaluated_on_other_jets_since_is_not_in_the_table(copy):
    run = copy.directory / "rows" / "PFN" / "seed-1"
    other = load_run(run).config.data.val
    evaluate_run(load_run(run), other).save(run / "evaluation", overwrite=True)
    run_benchmark(copy, [])
    first = read_table(copy)[0]
    assert first["seeds"] == [0]
    assert "has changed since the benchmark made it" in first["missing"]["1"]
    # Without the record, the benchmark evaluates the row again, on the jets of the table.
    (run / "evaluation" / execution.RECORD).unlink()
    assert run_all(copy).failures == {}
    assert read_table(copy)[0]["seeds"] == [0, 1]


def test_imported_weights_are_not_taken_for_others(tmp_path):
    files = []
    for name, network in (("old", ""), ("other", "particle_net_")):
        files.append(tmp_path / f"{name}.pt")
        state, _, _ = weaver_golden("0.5.3", network)
        torch.save(state, files[-1])

    def plan(path, **changes):
        weights = {"weights": str(path), "classes": ["a", "b", "c"], **changes}
        rows = {"PFN": {**ROWS["PFN"], "needs": "net"}}
        return toy_plan(tmp_path, pretraining={"net": weights}, rows=rows)

    (imported,) = (job for job in plan(files[0]).jobs() if not job.is_row)
    assert execution.attempt(imported) is None
    assert execution.is_done(imported)
    assert execution.attempt(imported) is None  # the same again
    for other in (plan(files[1]), plan(files[0], model="particle_net")):
        (job,) = (job for job in other.jobs() if not job.is_row)
        failure = execution.attempt(job)
        assert failure is not None
        assert "holds other weights than" in failure.reason


def test_a_row_that_fails_does_not_stop_the_others_and_the_table_says_why(tmp_path):
    bad = {**ROWS["PFN"], "overrides": {"features": "full"}}
    plan = toy_plan(tmp_path, rows={"bad": bad, "PFN": ROWS["PFN"]})
    outcome = run_all(plan)
    assert [failure.is_users for failure in outcome.failures.values()] == [True]
    first, second = read_table(plan)
    assert first["missing"]["0"].startswith("failed: ")
    assert "has no particle column" in first["missing"]["0"]
    assert second["seeds"] == [0]
    # Another process that only gathers knows it too, until the row is done.
    run_benchmark(plan, [])
    assert read_table(plan) == [first, second]
    plan = toy_plan(tmp_path, rows={"bad": ROWS["PFN"], "PFN": ROWS["PFN"]})
    assert not run_all(plan).failures
    assert read_table(plan)[0]["missing"] == {}


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError])
def test_a_fault_of_ours_is_not_said_to_be_the_users(tmp_path, monkeypatch, error):
    def fault(*_, **__):
        raise error("oops")

    monkeypatch.setattr(execution, "train_run", fault)
    plan = toy_plan(tmp_path, rows={"PFN": ROWS["PFN"]})
    (failure,) = run_all(plan).failures.values()
    assert not failure.is_users
    assert failure.reason == f"a fault of parttag: {error.__name__}: oops"


def test_only_rows_that_were_asked_for_or_begun_are_shown(tmp_path):
    plan = toy_plan(tmp_path)
    run_benchmark(plan, plan.jobs(["ParT"]))
    assert [row["row"] for row in read_table(plan)] == ["ParT"]
    run_benchmark(plan, plan.jobs(["PFN"]))
    assert [row["row"] for row in read_table(plan)] == ["PFN", "ParT"]


def test_rows_start_from_the_network_that_they_need_trained_once(tmp_path):
    rows = {
        name: {"recipe": "pfn.yaml", "needs": "toy", "overrides": {"optimizer": {"lr": 1e-30}}}
        for name in ("a", "b")
    }
    pretraining = {
        "toy": {"recipe": "pfn.yaml", "same_jets": True, "overrides": {"training": {"epochs": 1}}}
    }
    plan = toy_plan(tmp_path, rows=rows, pretraining=pretraining, published=None)
    assert not run_all(plan).failures
    weights = {
        path.parts[-3]: torch.load(path)["weights"]["backbone.0.weight"]
        for path in plan.directory.rglob("best.pt")
    }
    torch.testing.assert_close(weights["seed-0"], weights["toy"], rtol=0, atol=1e-20)
    assert (
        len(json.loads(next(plan.directory.rglob("toy/provenance.json")).read_text())["starts"])
        == 1
    )


def test_killed_and_continued_a_table_of_several_numbers_of_labels_is_the_same(tmp_path):
    rows = {"scratch": {"recipe": "pfn.yaml"}, "tuned": {"recipe": "pfn.yaml", "needs": "toy"}}
    short = {"training": {"epochs": 1, "batch_size": 16}}
    options = {
        "labels": {10: {"training": {"epochs": 4}}, 30: {}},
        "rows": rows,
        "pretraining": {"toy": {"recipe": "pfn.yaml", "same_jets": True, "overrides": short}},
        "published": None,
    }
    whole, folder = toy_plan(tmp_path, **options), tmp_path / "killed"
    folder.mkdir()
    killed = toy_plan(folder, **options)
    run_benchmark(whole, whole.jobs(["scratch"]))

    left = 6

    def kill_in_the_sixth_epoch(items, *, total, description):
        nonlocal left
        del total
        left -= description.startswith("epoch")
        for item in items:
            if left == 0:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        run_all(killed, progress=kill_in_the_sixth_epoch)
    run_benchmark(killed, [])
    parts = [(r["row"], r["labels"], r["seeds"]) for r in read_table(killed)]
    assert parts == [
        ("scratch", 10, [0]),
        ("scratch", 30, []),
        ("tuned", 10, []),
        ("tuned", 30, []),
    ]
    outcome = run_all(killed)
    assert not outcome.failures
    assert outcome.files[-1].name == "data_efficiency.png"
    table = read_table(killed, without_times=True)
    assert table[:2] == read_table(whole, without_times=True)
    # Four epochs of 10 jets, and two of 30.
    assert [row["jets_seen"] for row in table] == [40, 60, 40, 60]
    # The order of so few jets may be one for all, but the networks are not.
    found = [Report.from_json(path) for path in killed.directory.glob("rows/**/metrics.json")]
    assert len({report.loss for report in found}) == len(table)
    (provenance,) = killed.directory.glob("pretraining/*/provenance.json")
    assert len(json.loads(provenance.read_text())["starts"]) == 1
    lines = (killed.directory / "table.md").read_text().splitlines()
    assert lines[0].startswith("|  | labels | seeds | accuracy |")
    assert [line.split(" | ")[1] for line in lines[2:6]] == ["10", "30", "10", "30"]
    header = (killed.directory / "table.csv").read_text().splitlines()[0]
    assert header.startswith("row,labels,seeds,")


def test_a_row_fails_with_what_it_needs(tmp_path):
    rows = {"tuned": {"recipe": "pfn.yaml", "needs": "toy"}, "PFN": ROWS["PFN"]}
    pretraining = {
        "toy": {"recipe": "pfn.yaml", "same_jets": True, "overrides": {"features": "full"}}
    }
    plan = toy_plan(tmp_path, rows=rows, pretraining=pretraining)
    outcome = run_all(plan)
    assert len(outcome.failures) == 2
    tuned, other = read_table(plan)
    assert "it needs" in tuned["missing"]["0"]
    assert "has no particle column" in tuned["missing"]["0"]
    assert other["seeds"] == [0]


def test_several_classes_have_a_rejection_each(tmp_path):
    signals = ("Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
    labels = {"QCD": "label_QCD", "Hbb": "label_top"}
    labels |= {name: f"label_{name}" for name in signals if name != "Hbb"}
    files = {}
    for seed, part in enumerate(("train", "val", "test")):
        # Of ten classes, eight have no jets.
        none = {name: np.zeros(60, dtype=bool) for name in list(labels.values())[2:]}
        path = write_jetclass_root(tmp_path / f"{part}.root", toy_jets(60, seed), replaced=none)
        files[part] = str(path)
    plan = toy_plan(
        tmp_path,
        jets=None,
        data={**files, "classes": labels},
        evaluation={
            "background": "QCD",
            "working_points": dict.fromkeys(signals, 0.5) | {"Hqql": 0.99, "Tbl": 0.995},
        },
        published="jetclass",
        rows={"PFN": {"recipe": "pfn.yaml", "published": "PFN"}},
    )
    assert not run_all(plan).failures
    (row,) = read_table(plan)
    assert set(row["rejection"]) == set(signals)
    assert set(row["rejection"]["Tbl"]) == {"0.995"}
    assert row["rejection"]["Tbl"]["0.995"]["value"] is None
    assert row["published"]["rejection"]["Hbb"]["0.5"]["value"] == 2924


def test_a_benchmark_is_not_for_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="not started by torchrun: give jobs for several"):
        run_all(toy_plan(tmp_path))


def test_there_is_no_table_of_nothing(tmp_path):
    with pytest.raises(InputError, match="there is no such directory, so no table to gather"):
        run_benchmark(toy_plan(tmp_path), [])
