"""Commands, options, recipes and keys that pages show exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from parttag.api.command_line import json_schema
from parttag.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("[!_]*/*.md")),
]


def commands(text: str) -> list[list[str]]:
    """Return the words of every line of a block of code that begins with parttag."""
    blocks = re.findall(r"^```(?:bash|text)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n", " ", "\n".join(blocks)).splitlines()
    lines = [line.split("#")[0].replace("(", "").strip() for line in lines]
    return [shlex.split(line) for line in lines if re.match(r"(srun )?parttag [a-z]", line)]


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command."""
    group = typer.main.get_command(app)
    return {
        name: {option for part in command.params for option in (*part.opts, *part.secondary_opts)}
        for name, command in group.commands.items()
    }


@pytest.fixture(scope="module")
def schema():
    """The schema of the configuration."""
    return json_schema()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_options_exist(path, options):
    for line in commands(path.read_text(encoding="utf-8")):
        words = line[line.index("parttag") + 1 :]
        assert words[0] in options, f"{path.name}: there is no command {words[0]}"
        # weaver's flags follow its command, and are weaver's.
        if words[0] == "convert":
            continue
        named = {word.strip("[]").split("=")[0] for word in words if re.match(r"\[?--[a-z]", word)}
        assert named <= options[words[0]], f"{path.name}: {' '.join(words)}"


def test_recipes_that_commands_name_exist():
    named = {
        words[words.index("parttag") + 2]
        for path in PAGES
        for words in commands(path.read_text(encoding="utf-8"))
        if "train" in words or "benchmark" in words
    }
    named = {name for name in named if "/" in name}
    assert len(named) > 3
    missing = {name for name in named if not exists(name)}
    assert not missing


def exists(name: str) -> bool:
    path = ROOT / name if name.startswith("configs/") else ROOT / "configs" / f"{name}.yaml"
    return path.exists()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_keys_exist(path, schema):
    sections = schema["properties"]
    for block in re.findall(
        r"^```yaml\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        shown = yaml.safe_load(block)
        # A table's configuration, which tests/benchmark reads, or a part from within a section.
        if "rows" in shown or block.startswith(" "):
            continue
        if "columns" in shown:
            shown = {"data": {"columns": shown["columns"]}}
        assert shown.keys() <= sections.keys(), f"{path.name}: {block}"
        for section, content in shown.items():
            known = keys_of(sections[section], schema)
            # Sections such as targets have names of one's own for keys.
            if isinstance(content, dict) and known:
                unknown = content.keys() - known.keys()
                assert not unknown, f"{path.name}: {section} has no {unknown}"
        columns = (shown.get("data") or {}).get("columns")
        if isinstance(columns, dict):
            known = keys_of(keys_of(sections["data"], schema)["columns"], schema)
            assert columns.keys() <= known.keys(), f"{path.name}: {columns.keys() - known.keys()}"


def keys_of(node, schema):
    """Return the properties of a part of the schema, of all its alternatives."""
    if "$ref" in node:
        return keys_of(schema["$defs"][node["$ref"].split("/")[-1]], schema)
    found = dict(node.get("properties", {}))
    for kind in ("anyOf", "oneOf", "allOf"):
        for part in node.get(kind, ()):
            found |= keys_of(part, schema)
    return found


def test_a_key_that_does_not_exist_is_found(schema):
    training = keys_of(schema["properties"]["training"], schema)
    assert "batch_size" in training
    assert "batchsize" not in training
    assert {"name", "kernels"} <= keys_of(schema["properties"]["model"], schema).keys()
