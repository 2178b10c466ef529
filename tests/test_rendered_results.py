"""Tables of the documentation are made from the table.json files that are kept beside them."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        yield importlib.import_module("render_results")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


ORIGIN = {"commit": "1a2b3c4", "data": "toys", "hardware": "a core", "command": "parttag benchmark"}
ROW = {
    "row": "PFN | small",
    "seeds": [0, 1],
    "accuracy": {"value": 0.93, "spread": 0.002, "error": 0.001, "low": 0.929, "high": 0.931},
    "auc": {"value": 0.98, "spread": None, "error": 0.001, "low": 0.9789, "high": 0.981},
    "rejection": {
        "top": {
            "0.5": {"value": 88.0, "spread": None, "error": 9.0, "low": 79.5, "high": 97.4},
            "0.3": {"value": 900.0, "spread": None, "error": None, "lower_limit": True},
        }
    },
    "parameters": 83842,
    "jets_seen": 100000.0,
    "training_time": 20.0,
    "cpu_time": 75.0,
    "hardware": "CPU, 1 thread",
    "published": {"auc": 0.98, "mark": "S"},
    "footnote": "ours <b>",
    "notes": ["other jets"],
    "missing": {"2": "not run yet"},
    "cut": True,
}


def keep(folder, **changes):
    """Write a table and where it comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps([{**ROW, **changes}]))
    (folder / "provenance.json").write_text(json.dumps(ORIGIN))


def test_the_pages_are_those_of_the_tables_that_are_kept(script):
    for path, text in script.rendered(ROOT / "docs" / "results").items():
        assert path.read_text(encoding="utf-8") == text, "run scripts/render_results.py"


def test_marks_are_pairs_and_name_benchmarks():
    pages = sorted((ROOT / "docs" / "results").glob("*.md"))
    marks = [
        mark
        for page in pages
        for mark in re.findall(
            r"^<!-- (table|end) (\w+) -->$", page.read_text("utf-8"), re.MULTILINE
        )
    ]
    names = [name for kind, name in marks if kind == "table"]
    assert marks == [mark for name in names for mark in (("table", name), ("end", name))]
    assert "toptagging_cpu" in names
    assert all((ROOT / "configs" / "benchmarks" / f"{name}.yaml").exists() for name in names)


def test_a_table_has_numbers_errors_limits_notes_and_its_origin(script):
    lines = script.render([ROW], ORIGIN).splitlines()
    assert lines[0].split(" | ")[5:7] == ["1/ε_B at 50 %", "1/ε_B at 30 %"]
    assert lines[2] == (
        "| PFN \\| small [1] [2] [3] [4] | 2 | 83.8k | 0.9300 ± 0.0010 [0.0020] "
        "| 0.9800 +0.0010 −0.0011 | 88.0 +9.4 −8.5 | > 900 | 100k | 1.2 min | 0.980 (S) |"
    )
    assert "| [1] | ours \\<b> |" in lines
    assert "| [3] | seed 2: not run yet |" in lines
    assert "| commit | 1a2b3c4 |" in lines


def test_differences_from_a_reference_have_paired_errors(script):
    found = {
        "accuracy": {"value": -0.0158, "error": 0.00248, "sigmas": -6.36},
        "top: ln R at ε_S = 0.5": {"value": 0.04, "error": 0.17, "sigmas": 0.24},
    }
    row = {**ROW, "reference": "ParticleNet", "differences": found}
    lines = script.render([ROW, row], ORIGIN).splitlines()
    assert "Less ParticleNet, on the same jets, with paired errors:" in lines
    assert "| PFN \\| small | -0.0158 ± 0.0025 (-6.4 σ) | +0.04 ± 0.17 (+0.2 σ) |" in lines


def test_a_table_that_is_dropped_in_updates_its_page(script, tmp_path, monkeypatch, capsys):
    page = tmp_path / "many.md"
    page.write_text("# Many\n\n<!-- table cpu -->\nold\n<!-- end cpu -->\n\nAfter.\n")
    assert script.rendered(tmp_path) == {}
    keep(tmp_path / "cpu")
    arguments = ["render_results.py", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    with pytest.raises(SystemExit, match=r"run scripts/render_results\.py"):
        script.main()
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    text = page.read_text()
    assert "old" not in text
    assert "| PFN" in text
    assert text.startswith("# Many\n\n<!-- table cpu -->")
    assert text.endswith("<!-- end cpu -->\n\nAfter.\n")
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    script.main()
    keep(tmp_path / "cpu", parameters=1)
    with pytest.raises(SystemExit):
        script.main()


def test_a_table_without_origin_or_page_is_refused(script, tmp_path):
    keep(tmp_path / "cpu")
    with pytest.raises(SystemExit, match="no page of"):
        script.rendered(tmp_path)
    (tmp_path / "cpu" / "provenance.json").write_text(json.dumps({**ORIGIN, "commit": ""}))
    with pytest.raises(SystemExit, match="must say commit"):
        script.rendered(tmp_path)


def test_numbers_of_the_readme_and_the_first_page_are_those_of_the_results():
    """They stand in three places, for who reads one; a row is the same in all."""
    results = (ROOT / "docs" / "results" / "toptagging.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (ours,) = (line for line in readme.splitlines() if line.endswith("| ours |"))
    assert ours in results.splitlines()
    _, _, jets, _, _, auc, half, *_ = (part.strip() for part in ours.split("|"))
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert f"| {jets} | {auc} | {half} |" in first
