"""Runs beside one another, on the same jets: in Python and on the command line."""

import json

import numpy as np
import pytest

import parttag as pt
from parttag import cli


@pytest.fixture(scope="module")
def runs(run, files, tmp_path_factory):
    """Two evaluated runs of other weights."""
    config = run.config.model_dump(mode="json")
    config["training"] |= {"seed": 1, "epochs": 1}
    other = pt.train(config, out=tmp_path_factory.mktemp("other") / "second")
    for one in (run, other):
        one.evaluate(files["test"]).save(one.directory / "evaluation", overwrite=True)
    return run, other


def test_runs_are_compared_jet_by_jet_from_what_they_wrote(runs, tmp_path):
    first, second = runs
    found = pt.compare([first.directory, second.directory])
    (pair,) = found.pairs
    assert (pair.name, pair.reference, pair.num_jets) == ("second", "first", 80)
    accuracy, auc, *rejections = pair.differences
    reports = [pt.Report.from_json(one.directory / "evaluation" / "metrics.json") for one in runs]
    expected = reports[1].accuracy.value - reports[0].accuracy.value
    assert accuracy.difference.value == pytest.approx(expected)
    assert auc.difference.value == pytest.approx(reports[1].auc.value - reports[0].auc.value)
    assert [d.quantity for d in rejections] == [("top", 0.5), ("top", 0.3)]
    assert {p.of for p in pair.disagreements} >= {"top", "QCD"}
    assert "less first" in repr(found)
    paths = found.save(tmp_path / "out")
    assert [path.name for path in paths] == ["compare.json", "compare.png"]
    (content,) = json.loads(paths[0].read_text())
    assert content["differences"]["AUC"]["sigmas"] == pytest.approx(auc.sigmas)
    with pytest.raises(pt.InputError, match="exists"):
        found.save(tmp_path / "out")
    html = found._repr_html_()
    assert html.count("<table>") == 2


def test_a_run_beside_itself_differs_by_nothing(runs, files):
    first, _ = runs
    found = pt.compare({"one": first, "two": first}, files["test"])
    for difference in found.pairs[0].differences:
        assert difference.difference.value == pytest.approx(0, nan_ok=True)
    assert found.pairs[0].correlation["top"] == pytest.approx(1)
    report = found.rows[0].report
    names = [row.name for row in pt.compare([report, report]).rows]
    assert names == ["first (1)", "first (2)"]
    assert np.isfinite(found.pairs[0].differences[0].sigmas)


def test_runs_of_other_jets_have_a_table_and_no_differences(runs, files):
    first, second = runs
    found = pt.compare([first.evaluate(files["test"]), second.evaluate(files["val"])])
    assert len(found.lines()) == 2
    assert not found.pairs
    assert "measured on other jets" in found.sentences()[0]
    with pytest.raises(pt.InputError, match="nothing to write"):
        found.save("nowhere")


def test_the_command_prints_the_differences_and_draws_them(runs, files, tmp_path, capsys):
    first, second = (str(one.directory) for one in runs)
    out = tmp_path / "compared"
    words = ["compare", first, second, "--data", str(files["test"]), "--out", str(out)]
    assert cli.app(words, standalone_mode=False) is None
    text = capsys.readouterr().out
    assert "differences from first" in text
    assert "σ" in text
    assert (out / "compare.png").stat().st_size > 1000
    with pytest.raises(pt.InputError, match="two or more"):
        cli.app(["compare", first], standalone_mode=False)


def test_a_plan_says_how_many_jets_an_error_needs(runs, files):
    first, _ = runs
    report = first.evaluate(files["test"], working_points=[0.5])
    line = report.plan(0.1)
    assert line.startswith("for an error of 10 % of 1/ε_B, mixed as these 40 top")
    half = report.rejection["top"][0.5]
    if not half.is_limit and np.isfinite(half.error):
        needed = 80 * (half.error / half.value / 0.1) ** 2
        number = int(line.split("at ε_S = 0.5: ")[1].split(" jets")[0].replace(",", ""))
        assert needed <= number <= 1.11 * needed
    with pytest.raises(pt.InputError, match="no relative error"):
        report.plan(0.0)
