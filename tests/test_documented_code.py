"""The Python that README.md, data/README.md and docstrings show, run as it stands."""

import doctest
import importlib
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import parttag
from helpers.files import write_jetclass_root
from helpers.plugins import registers_kept
from parttag.data import prepare
from parttag.models import MODELS
from parttag.testing import toy_jets

ROOT = Path(__file__).parents[1]
SOURCE = Path(parttag.__file__).parent


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def at_the_users(tmp_path, monkeypatch):
    """A directory with files of the names that the documentation uses."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for seed, name in enumerate(("train_0", "train_1", "val_0", "test_0")):
        write_jetclass_root(Path(f"data/{name}.root"), toy_jets(60, seed))


def test_the_readme_shows_a_session_and_a_loader_that_work(at_the_users, capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    session, loader = python_blocks("README.md")
    variables: dict[str, object] = {}
    exec(session, variables)
    assert len(variables["scores"]) == 60
    assert "1/ε_B at ε_S = 0.3" in capsys.readouterr().out
    assert Path("results/roc.pdf").read_bytes().startswith(b"%PDF")
    exec(loader, variables)
    assert variables["position"] == {"epoch": 0, "batch": 1}
    assert "tensor" in capsys.readouterr().out
    assert len(variables["loader"].dataset) == 120


def test_a_network_of_ones_own_is_built_and_obeys_the_laws():
    network, check = python_blocks("CONTRIBUTING.md")
    with registers_kept():
        variables: dict[str, object] = {"__name__": "mypackage.nets"}
        exec(network + check, variables)
        assert MODELS["my_net"].network is variables["MyNet"]


def test_five_lines_of_h5py_read_a_jet(at_the_users):
    prepare(["data/train_0.root"], "STORE", shuffle=False)
    (code,) = python_blocks("data/README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    variables: dict[str, object] = {}
    exec(code, variables)
    np.testing.assert_array_equal(variables["p4"], toy_jets(60, 0).span(7, 8).p4)
    with h5py.File("STORE/shard-00000.h5") as shard:
        assert all(dataset.chunks is None for dataset in shard.values())


@pytest.mark.parametrize(
    "name",
    sorted(
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in SOURCE.rglob("*.py")
        if ">>> " in path.read_text(encoding="utf-8")
        and path.parent.name != "api"  # these have files of their own: tests/api
    ),
)
def test_examples_of_docstrings_say_what_happens(name):
    found = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert found.failed == 0
