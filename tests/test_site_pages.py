"""The site's pages of the package: every command, key, name, network and layout is on one."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

import parttag
from parttag.api.command_line import json_schema
from parttag.cli import app
from parttag.models.registry import MODELS

EXTENSIONS = Path(__file__).parents[1] / "docs" / "extensions"
TUTORIALS = EXTENSIONS.parent / "tutorials"


@pytest.fixture(scope="module")
def made():
    """Every page that the extensions make, by path."""
    paths = [str(EXTENSIONS), str(EXTENSIONS.parents[1] / "scripts")]
    sys.path[:0] = paths
    try:
        names = ("command", "configuration", "python", "network", "layout")
        modules = [importlib.import_module(f"{name}_pages") for name in names]
    finally:
        del sys.path[: len(paths)]
    pages = {}
    for module in modules:
        pages.update(module.pages())
    return pages


def test_every_command_has_a_page_with_an_example(made):
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    groups = [group.name for group in app.registered_groups]
    assert len(names) > 8
    for name in names:
        page = made[f"commands/{name.replace('_', '-')}"]
        assert f"parttag {name.replace('_', '-')}" in page
        assert "```bash\nparttag " in page, f"parttag {name} has no example"
    for group in groups:
        assert any(page.startswith(f"commands/{group}") for page in made)


def test_every_key_is_on_a_page_with_an_example(made):
    text = "\n".join(page for name, page in made.items() if name.startswith("configuration/"))
    schema = json_schema()
    assert all(f"configuration/{section}" in made for section in schema["properties"])
    keys = set()
    for definition in schema["$defs"].values():
        keys |= set(definition.get("properties", {}))
    assert len(keys) > 150
    missing = {key for key in keys if f"| `{key}` |" not in text}
    assert not missing
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert all(re.search(r"`[\w.\[\]…]+=.*` \|$", row) for row in rows)


def test_every_public_name_is_on_a_page(made):
    text = "\n".join(page for name, page in made.items() if name.startswith("python/"))
    missing = [n for n in parttag.__all__ if n != "__version__" and f"## {n}\n" not in text]
    assert not missing


def test_every_network_has_a_page(made):
    for name in MODELS:
        page = made[f"networks/{name}"]
        assert "## Options" in page
        if MODELS[name].recipe:
            assert " parameters with this recipe." in page
    assert (
        "| ParT | 0.94 | 0.9858 | 413 ± 16 | 1602 ± 81 |" in made["networks/particle_transformer"]
    )


def test_a_network_has_the_numbers_of_tables_that_are_kept(made, tmp_path):
    measured = sys.modules["network_pages"].measured
    (tmp_path / "toptagging_cpu").mkdir()
    half = {"value": 60.0, "low": 55.0, "high": 66.0}
    rows = [
        {
            "row": name,
            "accuracy": {"value": 0.9, "error": 0.003},
            "auc": {"value": 0.95, "error": 0.002},
            "rejection": {"top": {"0.5": half}},
        }
        for name in ("PFN", "ParT", "of another table")
    ]
    (tmp_path / "toptagging_cpu" / "table.json").write_text(json.dumps(rows))
    assert list(measured("pfn_original", tmp_path)) == [
        ("toptagging_cpu", "PFN", "0.9000 ± 0.0030", "0.9500 ± 0.0020", "60.0 +6.0 −5.0", "–")
    ]
    assert not list(measured("lgn", tmp_path))


def test_every_page_is_in_the_contents():
    docs = EXTENSIONS.parent
    listed = set((docs / "index.md").read_text().split())
    folders = ("tutorials", "how_to", "reference", "explanation", "results", "developers")
    pages = {
        path.relative_to(docs).with_suffix("").as_posix()
        for folder in folders
        for path in (docs / folder).iterdir()
        if path.suffix in {".md", ".ipynb"}
    }
    assert pages <= listed


def test_every_layout_is_on_its_page(made):
    for name, layout in parttag.layouts().items():
        assert f"## {name}" in made["layouts"]
        assert layout.text.strip() in made["layouts"]


def test_numbers_of_tables_stay_on_a_line(made):
    markdown = sys.modules["markdown"]
    source = ["| PFN of 3 | 0.93 ± 0.01 | 241 +59 −47 | 1.3 min | 50 % |\n3 ± 1"]
    markdown.keep_numbers_together(None, "page", source)
    expected = "| PFN of 3 | 0.93_±_0.01 | 241_+59_−47 | 1.3_min | 50_% |\n3 ± 1"
    assert source[0].replace("\u00a0", "_") == expected


@pytest.mark.parametrize("path", sorted(TUTORIALS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_tutorials_are_listed_and_hold_no_errors(path):
    notebook = json.loads(path.read_text())
    outputs = [out for cell in notebook["cells"] for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out["output_type"] == "error"]
    assert f"tutorials/{path.stem}\n" in (EXTENSIONS.parent / "index.md").read_text()
