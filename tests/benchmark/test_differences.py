"""Rows that differ from the reference row, by made-up scores."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from parttag.benchmarks import plots
from parttag.benchmarks.differences import compare_rows, reference_row
from parttag.benchmarks.forms import to_json, to_latex, to_markdown
from parttag.benchmarks.options import BenchmarkOptions, RowOptions
from parttag.benchmarks.plan import Job, Row
from parttag.benchmarks.results import SeedResult, gather_row
from parttag.benchmarks.table import make_table
from parttag.metrics import measure
from parttag.runs.config import build_config

CONFIG = build_config({"data": {"classes": {"top": "a", "QCD": "b"}}, "model": {"name": "pfn"}})
EPOCHS = [{"jets": 1, "seconds": 1.0, "cpu_seconds": 1.0}]
LABELS = np.repeat([0, 1], 2000)
COMMON = np.random.default_rng(0).normal(size=4000)


def logits_of(separation: float, seed: int):
    """Return logits of a tagger; all go together to 0.97."""
    own = np.random.default_rng(seed).normal(size=4000)
    score = np.sqrt(0.97) * COMMON + np.sqrt(0.03) * own + separation * (LABELS == 0)
    return np.stack([score, np.full(4000, 1.0)], axis=1)


def make_row(
    directory: Path, name: str, trainings, labels=None, mass: float = 80.0, jet_weights=None
):
    """Return a row whose trainings made these logits of the jets."""
    seeds = {}
    for number, logits in enumerate(trainings):
        job = Job(f"{name}, seed {number}", directory / name / str(number), CONFIG)
        report, record = measure(logits, LABELS, ("top", "QCD")), {"parameters": 1}
        record["multiply_adds"] = 1
        seeds[number] = SeedResult(job, report, record, EPOCHS, {}, "CPU, 1 thread")
        seeds[number].scores.parent.mkdir(parents=True)
        ones = np.ones(4000)
        columns = {
            "label": LABELS,
            "valid": ones,
            "used": ones,
            "jet_weight": ones if jet_weights is None else jet_weights,
        }
        columns |= {"jet_pt": 600 * ones, "jet_mass": mass * ones}
        with h5py.File(seeds[number].scores, "w") as file:
            for column, values in columns.items():
                file[column] = values
            file["logit_top"], file["logit_QCD"] = logits.T
    return gather_row(Row(name, RowOptions(recipe="a.yaml"), {}, labels=labels), seeds, {})


def by_name(result):
    return {one.name: one for one in result.differences}


def test_rows_that_differ_on_the_same_jets_are_marked(tmp_path):
    reference = make_row(tmp_path, "ParticleNet", [logits_of(2.0, 1)])
    better = make_row(tmp_path, "better", [logits_of(2.08, 2)])
    alike = make_row(tmp_path, "alike", [logits_of(2.0, 3)])
    results = compare_rows([better, reference, alike], "ParticleNet")
    # Errors side by side do not tell it.
    assert abs(better.auc.value - reference.auc.value) < 2 * 1.4 * better.auc.error
    table = make_table(results)
    cells = [dict(zip(table.headers, line, strict=True)) for line in table.lines]
    assert [line["AUC"].endswith(" *") for line in cells] == [True, False, False]
    assert not any("*" in cell for line in cells[1:] for cell in line.values())
    assert any(
        note.startswith("Marked by *: more than 2 standard deviations from ParticleNet")
        for note in table.notes
    )
    assert any("one training that spread is not known" in note for note in table.notes)
    for text in (to_markdown(table), to_latex(table)):
        assert text.split("Ours:")[0].count(" *") == sum(
            cell.endswith(" *") for cell in table.lines[0]
        )
    content = to_json(results[0])
    assert content["reference"] == "ParticleNet"
    assert content["differences"]["AUC"]["sigmas"] > 2
    assert "differences" not in to_json(results[1])


def test_the_spread_of_the_trainings_is_in_the_error(tmp_path):
    ours = [logits_of(separation, 5 + n) for n, separation in enumerate((1.9, 2.1, 2.36))]
    theirs = [logits_of(separation, 9 + n) for n, separation in enumerate((2.0, 2.02))]
    row, reference = make_row(tmp_path, "row", ours), make_row(tmp_path, "ParticleNet", theirs)
    found, _ = compare_rows([row, reference], "ParticleNet")
    right = [[(x.argmax(axis=1) == LABELS).astype(float) for x in of] for of in (ours, theirs)]
    of_jets = np.mean(right[0], axis=0) - np.mean(right[1], axis=0)
    spread = sum(np.var([r.mean() for r in of], ddof=1) / len(of) for of in right)
    expected = of_jets.mean() / np.sqrt(of_jets.var() / 4000 + spread)
    assert by_name(found)["accuracy"].sigmas == pytest.approx(expected)
    # Without the spread the same means differ by far.
    assert abs(expected) < 2 < abs(of_jets.mean() / np.sqrt(of_jets.var() / 4000))
    ln_r = next(one for one in found.differences if not isinstance(one.quantity, str))
    signal, eps_s = ln_r.quantity
    quotient = found.rejection[signal, eps_s].value / reference.rejection[signal, eps_s].value
    assert ln_r.difference.value == pytest.approx(np.log(quotient))
    eps_b = [[1 / s.report.rejection[signal][eps_s].value for s in r.seeds.values()]
             for r in (row, reference)]  # fmt: skip
    of_trainings = sum(np.var(e, ddof=1) / np.mean(e) ** 2 / len(e) for e in eps_b)
    assert ln_r.difference.error**2 > of_trainings
    assert ln_r.difference.error**2 < of_trainings + ln_r.in_quadrature**2
    assert not any("one training" in note for note in make_table([found, reference]).notes)


def test_rows_are_compared_at_the_same_number_of_labels_and_on_the_same_jets(tmp_path):
    few = [make_row(tmp_path / "few", n, [logits_of(1.0, 1)], labels=10) for n in ("a", "b")]
    many = [make_row(tmp_path / "many", n, [logits_of(2.0, 2)], labels=99) for n in ("a", "b")]
    found = compare_rows([*few, *many], "a")
    assert [result.reference for result in found] == [None, "a", None, "a"]
    assert all(one.sigmas == 0 for result in found for one in result.differences)
    other = make_row(tmp_path, "other", [logits_of(2.0, 1)], labels=10, mass=90.0)
    (_, apart) = compare_rows([few[0], other], "a")
    assert (apart.reference, list(apart.differences)) == (None, [])
    assert "not compared with a: other and a were measured on other jets" in apart.notes[-1]
    few[1].seeds[0].scores.unlink()
    _, missing = compare_rows(few, "a")
    assert "not compared with a: " in missing.notes[-1]
    nothing = gather_row(Row("c", RowOptions(recipe="a.yaml"), {}, labels=10), {}, {0: "not run"})
    assert compare_rows([few[0], nothing], "a")[1] == nothing


def test_the_rocs_of_the_table_are_weighted(tmp_path):
    weights = np.random.default_rng(3).uniform(0.1, 3, 4000)
    logits = logits_of(1.0, 1)
    row = make_row(tmp_path, "a", [logits], jet_weights=weights)
    found, cut = plots.read_rocs(next(iter(row.seeds.values())))["top"], 1.5
    passed = logits[:, 0] >= np.min(logits[logits[:, 0] >= cut, 0])
    point = np.searchsorted(-found.thresholds, -np.min(logits[passed, 0] - logits[passed, 1]))
    for label, share in ((0, found.eps_s), (1, found.eps_b)):
        of_class = label == LABELS
        expected = weights[of_class & passed].sum() / weights[of_class].sum()
        assert share[point] == pytest.approx(expected)


def test_the_reference_is_a_row_by_default_particle_net():
    content = {"data": {}, "rows": {"PFN": {"recipe": "a.yaml"}, "ParT": {"recipe": "b.yaml"}}}
    assert reference_row(BenchmarkOptions.model_validate(content)) is None
    named = BenchmarkOptions.model_validate({**content, "reference": "ParT"})
    assert reference_row(named) == "ParT"
    rows = {**content["rows"], "ParticleNet": {"recipe": "c.yaml"}}
    assert (
        reference_row(BenchmarkOptions.model_validate({**content, "rows": rows})) == "ParticleNet"
    )
    with pytest.raises(ValidationError, match="there is no row 'LGN'; give one of PFN, ParT"):
        BenchmarkOptions.model_validate({**content, "reference": "LGN"})
