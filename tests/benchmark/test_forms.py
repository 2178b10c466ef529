import csv
import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parttag.benchmarks.forms import to_csv, to_json, to_latex, to_markdown
from parttag.benchmarks.options import RowOptions
from parttag.benchmarks.plan import Job, Row
from parttag.benchmarks.results import Quantity, SeedResult, gather_row
from parttag.benchmarks.table import make_table, quantity
from parttag.metrics import Estimate, Report
from parttag.metrics.published import TOP_TAGGING
from parttag.runs.config import build_config

PUBLISHED = {line.name: line for line in TOP_TAGGING}


CONFIG = {"data": {"classes": {"top": "a", "QCD": "b"}}, "model": {"name": "pfn"}}
JOB = Job("PFN, seed 0", Path("PFN"), build_config(CONFIG))


def seed_result(accuracy, half, *, cut=False):
    """Return a seed with these numbers; ``half`` is the rejection at 50 %."""
    third = Estimate(900.0, is_limit=True)
    report = Report(
        accuracy=Estimate(accuracy, 0.002),
        auc=Estimate(0.98, 0.001),
        rejection={"top": {0.5: Estimate(half, 40.0, scale="log"), 0.3: third}},
    )
    epoch = {"jets": 1000, "seconds": 4000.0, "cpu_seconds": 7000.0}
    epochs = [epoch, {**epoch, "cut": True} if cut else epoch]
    record = {"parameters": 83842, "multiply_adds": 1.5e6}
    return SeedResult(JOB, report, record, epochs, {}, "CPU, 1 thread")


@pytest.fixture
def results():
    row = Row("JEDI-net with ΣO | 1", RowOptions(recipe="a.yaml", footnote="masked & 100 %"), {})
    seeds = {0: seed_result(0.93, 200.0), 2: seed_result(0.94, 240.0, cut=True)}
    published = PUBLISHED["JEDI-net with ΣO"]
    empty = Row("ParT", RowOptions(recipe="b.yaml"), {})
    return [
        gather_row(row, seeds, {1: "failed: no jets"}, published),
        gather_row(empty, {}, {0: "not run yet", 1: "not run yet"}, PUBLISHED["ParT"]),
    ]


def test_json_has_means_spreads_errors_and_limits(results):
    first, second = map(to_json, results)
    assert first["accuracy"]["value"] == pytest.approx(0.935)
    assert first["accuracy"]["spread"] == pytest.approx(0.01 / 2**0.5)
    assert first["accuracy"]["error"] == pytest.approx(0.002)
    half, third = first["rejection"]["top"]["0.5"], first["rejection"]["top"]["0.3"]
    mean = 2 / (1 / 200 + 1 / 240)
    assert half["value"] == pytest.approx(mean)
    assert half["spread"] == pytest.approx((1 / 200 - 1 / 240) / 2**0.5 * mean**2)
    assert half["standard_error"] == pytest.approx(half["spread"] / 2**0.5)
    # Of either training, σ(ε_B) = σ(R)/R².
    of_jets = (((40 / 200**2) ** 2 + (40 / 240**2) ** 2) / 2) ** 0.5 * mean**2
    assert half["error"] == pytest.approx(of_jets)
    whole = (half["standard_error"] ** 2 + of_jets**2) ** 0.5
    assert (
        half["high"] / mean
        == pytest.approx(mean / half["low"])
        == pytest.approx(np.exp(whole / mean))
    )
    assert (third["value"], third["error"], third["lower_limit"]) == (900.0, None, True)
    assert first["training_time"] == 8000
    assert first["cpu_time"] == 14000
    assert first["jets_seen"] == 2000
    assert first["jets_per_second"] == 0.25
    assert first["cut"]
    assert first["missing"] == {"1": "failed: no jets"}
    assert (first["notes"], first["unlike_recipe"]) == ([], {})
    assert first["published"]["rejection"] == {"top": {"0.3": {"value": 774.6, "spread": None}}}
    assert second["seeds"] == []
    nothing = dict.fromkeys(("value", "spread", "standard_error", "error"))
    assert second["accuracy"] == nothing
    assert second["rejection"] == {}
    assert second["parameters"] is None
    json.dumps([first, second], allow_nan=False)


def test_markdown_is_a_table_of_the_same_numbers_with_its_notes(results):
    lines = to_markdown(make_table(results)).splitlines()
    cells = [cell.strip() for cell in lines[2].replace("\\|", "/").split("|")[1:-1]]
    header = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    named = dict(zip(header, cells, strict=True))
    assert named[""] == "JEDI-net with ΣO / 1 [1] [2]"
    assert named["seeds"] == "2"
    assert named["accuracy"] == "0.9350 ± 0.0054 [0.0071]"
    assert named["1/ε_B at 50 %"] == "218 +51 −41 [28]"
    assert named["1/ε_B at 30 %"] == "> 900"
    assert named["parameters"] == "83.8k"
    assert named["multiply-adds"] == "1.5M"
    assert named["jets seen"] == "2k [3]"
    assert named["time"] == "3.9 h"  # of the processor, as this was on a CPU
    assert named["publ. accuracy"] == "0.930 (S)"
    assert named["publ. AUC"] == "0.9807 (S)"
    assert named["publ. 1/ε_B at 50 %"] == "–"
    assert named["publ. 1/ε_B at 30 %"] == "774.6 (S)"
    assert lines[1].count("|") == lines[0].count("|")
    text = "\n".join(lines)
    assert "[1] masked & 100 %" in text
    assert "[2] JEDI-net with ΣO | 1, seed 1: failed: no jets" in text
    assert "[3] ended by training.max_seconds before its last step" in text
    assert "[4] ParT, seeds 0, 1: not run yet" in text


def test_without_published_numbers_there_are_no_columns_for_them(results):
    rows = [replace(result, published=None) for result in results]
    table = make_table(rows)
    assert not any("publ." in header for header in table.headers)
    assert {len(line) for line in table.lines} == {len(table.headers)}
    assert not any(note.startswith("Published: ") for note in table.notes)


def test_what_holds_for_all_rows_is_said_once_below_the_table(results):
    rows = [replace(result, notes=["trained in bf16"]) for result in results]
    rows[1] = replace(rows[1], notes=["padding takes no part", "trained in bf16"])
    table = make_table(rows)
    assert "All rows: trained in bf16." in table.notes
    assert [line[0] for line in table.lines] == [f"{rows[0].name} [1] [2]", "ParT [4] [5]"]
    assert "[4] padding takes no part" in table.notes
    alone = make_table(rows[1:])
    assert alone.lines[0][0] == "ParT [1] [2] [3]"
    assert "[2] trained in bf16" in alone.notes


def test_latex_escapes_what_tex_would_take_for_commands(results):
    text = to_latex(make_table(results))
    assert r"JEDI-net with $\Sigma$O | 1 [1] [2] & 2 & 0.9350 $\pm$ 0.0054 [0.0071]" in text
    assert r"$1/\varepsilon_\mathrm{B}$ at 50 \%" in text
    assert r"$>$ 900" in text
    assert r"[1] masked \& 100 \%" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in rows}) == 1
    assert text.isascii() or not set(text) & set("±Σ×–ε")


def test_csv_has_plain_numbers_under_flat_names(results):
    first, second = csv.DictReader(to_csv(results).splitlines())
    assert float(first["accuracy.value"]) == pytest.approx(0.935)
    assert float(first["rejection.top.0.5.spread"]) == pytest.approx(28.05, abs=0.01)
    assert first["rejection.top.0.3.lower_limit"] == "True"
    assert first["seeds"] == "0 2"
    assert (second["row"], second["accuracy.value"]) == ("ParT", "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # √(0.1²/4 + 0.2²) of four seeds, and their spread.
        (Quantity(0.5, 0.1, 0.2, num_seeds=4), "0.50 ± 0.21 [0.10]"),
        (Quantity(0.5, None, 0.2), "0.50 ± 0.20"),
        (Quantity(2.0, None, 1.0, scale="log"), "2.00 +1.30 −0.79"),
        (Quantity(0.5, None, None), "0.50"),
        (Quantity(0.5, None, None, is_limit=True), "> 0.50"),
        (Quantity(None, None, None), "–"),
    ],
)
def test_a_number_stands_with_what_is_known_of_its_error(value, text):
    assert quantity(value, ".2f") == text


def test_the_documentation_shows_the_cells_of_the_table(results, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    script = importlib.import_module("render_results")
    for result, line in zip(results, make_table(results).lines, strict=True):
        row = json.loads(json.dumps(to_json(result)))
        points = row["rejection"].get("top", {})
        shown = [script.cell(row[key], 4) for key in ("accuracy", "auc")]
        shown += [script.cell(points.get(eps_s)) for eps_s in ("0.5", "0.3")]
        assert shown == list(line[2:6])
        assert script.count(row["parameters"]) == line[6]
        assert script.count(row["jets_seen"]) == line[8].split(" [")[0]
        assert script.duration(row) == line[9]
        assert script.published_auc(row) in line
