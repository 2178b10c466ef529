"""``parttag evaluate``, ``predict`` and ``inspect`` as they are typed."""

import shutil
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import typer
from matplotlib.figure import Figure

from helpers.files import write_jetclass_root, write_toptagging_h5
from parttag.cli import app, main
from parttag.metrics import Report
from parttag.testing import toy_jets


@pytest.fixture
def command(monkeypatch, capsys):
    """Run parttag with some arguments; give the exit code and what was printed."""
    monkeypatch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG"))

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_code:
            main()
        output = capsys.readouterr()
        return int(exit_code.value.code or 0), " ".join((output.out + output.err).split())

    return run


@pytest.fixture
def run_copy(run_directory, tmp_path):
    """A run that a test may write into."""
    return shutil.copytree(run_directory, tmp_path / "run")


def test_evaluate_prints_a_table_and_where_the_rest_is(command, run_copy):
    code, text = command("evaluate", run_copy)
    assert code == 0
    assert "accuracy" in text
    assert "1/ε_B at ε_S = 0.3" in text
    assert "jets: 40 top, 40 QCD; left out: 0 bad, 0 of no class" in text
    assert "background mass" in text
    assert f"written to {run_copy / 'evaluation'}" in text
    assert f"to look at: {run_copy / 'evaluation' / 'report.html'}" in text
    assert (run_copy / "evaluation" / "report.html").stat().st_size > 500_000
    code, text = command("evaluate", run_copy)
    assert code == 2
    assert text.startswith("error: ")
    assert text.endswith("scores.h5 exists already; add --overwrite to replace it")
    assert command("evaluate", run_copy, "--overwrite")[0] == 0


def test_evaluate_takes_working_points_a_background_and_formats(command, run_copy):
    options = ("--working-points", "0.3,0.7", "--background", "top", "--formats", "png,pdf")
    options = (*options, "--no-report")
    code, text = command("evaluate", run_copy, *options)
    assert code == 0
    assert "QCD: 1/ε_B at ε_S = 0.7" in text
    assert "report" not in text
    assert not (run_copy / "evaluation" / "report.html").exists()
    assert "ε_S = 0.5 " not in text.split("jets:")[0]
    report = Report.from_json(run_copy / "evaluation" / "metrics.json")
    assert report.background == ("top",)
    assert list(report.rejection["QCD"]) == [0.3, 0.7]
    assert {path.suffix for path in (run_copy / "evaluation").glob("roc.*")} == {".png", ".pdf"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--working-points", "2"), "evaluation.working_points"),
        (("--background", "tau"), "tau"),
        (("--formats", "bmp"), "formats: 'bmp' is none of"),
    ],
)
def test_evaluate_refuses_what_it_cannot_measure(command, run_copy, options, message):
    code, text = command("evaluate", run_copy, *options)
    assert code == 2
    assert message in text
    assert not (run_copy / "evaluation").exists()


def test_recipes_are_listed_and_taken_by_name(command, tmp_path):
    code, text = command("recipes")
    assert code == 0
    assert "toptagging/pfn" in text
    code, text = command("train", "toptagging/pfn", "data.train=jets.h5", "--print-config")
    assert code == 0
    assert "name: pfn" in text
    code, text = command("train", "toptagging/pfm")
    assert code == 2
    assert "toptagging/pfn" in text


def test_evaluate_takes_several_files_as_a_shell_gives_them(command, run_directory, tmp_path):
    files = [write_toptagging_h5(tmp_path / f"{i}.h5", toy_jets(10, seed=i)) for i in range(3)]
    code, text = command(
        "evaluate", run_directory, "--data", *files, "--out", tmp_path / "out", "--device", "cpu"
    )
    assert code == 0
    assert "jets: 15 top, 15 QCD" in text


def test_a_probe_is_printed_and_written_beside_the_evaluation(command, run_copy):
    code, text = command("evaluate", run_copy, "--probe", "linear", "--probe-jets", "40")
    assert code == 0
    assert "probe (linear) fitted to 40 jets" in text
    assert "accuracy" in text
    assert f"written to {run_copy / 'evaluation' / 'probe'}" in text
    assert (run_copy / "evaluation" / "probe" / "metrics.json").is_file()
    swapped = "{QCD: label_QCD, top: [label_top, label_Tbqq]}"
    code, text = command("evaluate", run_copy, "--probe", "raw", "--classes", swapped)
    assert code == 0
    assert "jets: 40 QCD, 40 top" in text
    code, text = command("evaluate", run_copy, "--classes", swapped)
    assert (code, text) == (2, "error: --train and --classes are of a probe; add --probe linear")
    code, text = command("evaluate", run_copy, "--probe", "raw", "--classes", "{top: label_top}")
    assert code == 2
    assert "classes is {'top': 'label_top'}, but must have 2 or more entries" in text


@pytest.mark.parametrize("keep", [["part_pz,label_QCD"], ["part_pz", "label_QCD"]])
def test_predict_says_what_it_wrote(command, run_directory, tmp_path, keep):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(6))
    out = tmp_path / "out.h5"
    options = [word for names in keep for word in ("--keep", names)]
    code, text = command("predict", run_directory, path, "--out", out, *options)
    assert code == 0
    assert text == f"{out}: 6 jets, 0 of them bad and without scores, 0 of unknown class"
    with h5py.File(out) as file:
        assert {"part_pz", "label_QCD", "score_top"} <= set(file)


def test_no_option_that_takes_a_list_forgets_what_was_given_first():
    """``--keep a --keep b`` is ``--keep a,b``, and so for every option of this kind."""
    commands = typer.main.get_command(app).commands.items()
    lists = {
        f"{name} {option.opts[0]}": option
        for name, command in commands
        for option in command.params
        if str(option.metavar).endswith("...") and option.param_type_name == "option"
    }
    assert {"predict --keep", "evaluate --formats", "download --files"} <= lists.keys()
    assert [name for name, option in lists.items() if not option.multiple] == []


def test_options_of_lists_may_be_repeated_before_the_run(command, run_copy):
    options = ("--working-points", "0.3", "--working-points", "0.7", "--formats", "png")
    code, _ = command("evaluate", *options, "--formats", "svg", "--background", "QCD", run_copy)
    assert code == 0
    report = Report.from_json(run_copy / "evaluation" / "metrics.json")
    assert list(report.rejection["top"]) == [0.3, 0.7]
    assert {path.suffix for path in (run_copy / "evaluation").glob("roc.*")} == {".png", ".svg"}


def test_predict_on_a_missing_file_is_one_sentence(command, run_directory, tmp_path):
    missing = tmp_path / "jets_[ab].root"
    code, text = command("predict", run_directory, missing, "--out", tmp_path / "out.root")
    assert code == 2
    assert text == f"error: {missing}: there is no such file"
    assert list(tmp_path.iterdir()) == []


def test_inspect_looks_into_files_and_draws(command, tmp_path):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(20))
    pictures = tmp_path / "pictures"
    code, text = command("inspect", path, "--plots", pictures)
    assert code == 0
    assert "jets 20" in text
    assert "label_top 10 50.00%" in text
    assert text.endswith(f"drawn: {pictures / 'pt.png'}")
    code, text = command("inspect", path, "--plots", pictures)
    assert code == 2
    assert "num_particles.png exists already" in text
    assert command("inspect", path, "--plots", pictures, "--overwrite")[0] == 0


def test_inspect_names_the_inputs_that_share_jets(command, tmp_path):
    jets = toy_jets(40, seed=5)
    for name, rows in {"train": range(30), "val": range(30, 40), "test": range(28, 40)}.items():
        write_toptagging_h5(tmp_path / f"{name}.h5", jets.take(np.array(rows)))
    train, val, test = (tmp_path / f"{name}.h5" for name in ("train", "val", "test"))
    code, text = command("inspect", train, val, test)
    assert code == 0
    assert "test.h5 val.h5 10 83.33%" in text
    assert "train.h5 test.h5 2 6.67%" in text
    code, text = command("inspect", train, val)
    assert code == 0
    assert "again in" not in text


def test_inspect_warns_of_momenta_in_mev(command, tmp_path):
    jets = toy_jets(20)
    scaled = replace(jets, p4=1000 * jets.p4, jet_p4=1000 * jets.jet_p4)
    code, text = command("inspect", write_toptagging_h5(tmp_path / "in.h5", scaled))
    assert code == 0
    assert "warning: sample: the momenta look like MeV" in text


def test_evaluate_warns_of_labels_that_no_class_has(command, run_copy, tmp_path, caplog):
    jets = toy_jets(20)
    labels = np.stack([jets.labels[:, 0], jets.labels[:, 1], jets.labels[:, 1]], axis=1)
    labels[:, 1] = 0
    other = replace(jets, labels=labels, label_names=("label_top", "label_QCD", "label_Hbb"))
    path = write_jetclass_root(tmp_path / "in.root", other)
    code, text = command("evaluate", run_copy, "--data", path)
    assert code == 0
    assert (
        "no class in data.classes has label_Hbb (10 jets): these jets are left out" in caplog.text
    )
    assert "no jet is of class QCD, as none has label_QCD" in caplog.text
    assert "jets: 10 top, 0 QCD; left out: 0 bad, 10 of no class" in text


def test_inspect_compares_several_files_against_several(command, tmp_path):
    files = [write_toptagging_h5(tmp_path / f"{i}.h5", toy_jets(22, seed=i)) for i in range(4)]
    code, text = command("inspect", *files[:2], "--against", *files[1:])
    assert code == 0
    assert "files 2 jets 44" in text
    assert "files 3 jets 66" in text
    assert "jets of the files that are in the reference too: 22" in text
    assert "label_top: 22 jets against 33; a classifier tells them apart with AUC" in text
    assert "label_QCD: 22 jets against 33" in text


@pytest.mark.parametrize("name", ["evaluate", "predict", "inspect"])
def test_help_has_an_example(command, name):
    code, text = command(name, "--help")
    assert code == 0
    assert f"Example: parttag {name}" in text


def test_explain_and_report_say_what_they_have_found_and_where_it_is(command, run_copy, tmp_path):
    test = run_copy.parent / "jets.h5"
    write_toptagging_h5(test, toy_jets(24, seed=5))
    options = ("--num-jets", 20, "--steps", 2, "--target", "top")
    code, text = command("explain", run_copy, test, *options)
    assert code == 0
    assert "loss rises by" in text
    assert "log_pt" in text
    assert "20 jets; gradients of the log-odds of top, in 2 steps" in text
    names = {path.name for path in (run_copy / "explanation").iterdir()}
    assert names == {"explanation.json", "particles.h5", "importance.png", "places.png"}
    code, text = command("explain", run_copy, test)
    assert code == 2
    assert "particles.h5 exists already; add --overwrite to replace it" in text
    code, text = command("explain", run_copy, test, "--target", "W", "--overwrite")
    assert code == 2
    assert text.endswith("--target W is none of top, QCD; name one of these")
    out = tmp_path / "page.html"
    code, text = command("report", run_copy, "--out", out)
    assert (code, text) == (0, f"written: {out}")
    code, text = command("report", run_copy, "--out", out)
    assert (code, text) == (2, f"error: {out} exists already; add --overwrite to replace it")
    assert command("report", tmp_path / "nothing")[0] == 2
