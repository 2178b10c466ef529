"""The examples of the interface, run where files of the names that they use are."""

import doctest
import importlib
import shutil

import pytest

import parttag as pt
from helpers.files import write_jetclass_root, write_toptagging_h5
from helpers.weaver_files import write_weaver_file
from parttag.testing import toy_jets

MODULES = ("check", "convert", "jets", "run", "runs")


@pytest.fixture
def at_the_users(run, tmp_path, monkeypatch):
    """A directory with a run, a store and files of jets."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write_jetclass_root(tmp_path / f"train_{number}.root", toy_jets(60, number))
    for seed, (name, jets) in enumerate({"train": 60, "val": 20, "test": 40}.items()):
        write_toptagging_h5(tmp_path / f"{name}.h5", toy_jets(jets, seed))
    shutil.copytree(run.directory, tmp_path / "runs" / "first")
    write_weaver_file(tmp_path / "data.yaml")
    pt.prepare("train_0.root", "stores/train", processes=1)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, at_the_users):
    module = importlib.import_module(f"parttag.api.{name}")
    names = {"pt": pt} | ({"run": pt.load("runs/first")} if name == "run" else {})
    found = doctest.testmod(module, extraglobs=names)
    assert found.attempted > 0
    assert found.failed == 0


def test_every_function_of_the_interface_has_an_example():
    for name in pt.__all__:
        value = getattr(pt, name)
        if callable(value) and getattr(value, "__module__", "").startswith("parttag.api."):
            assert ">>> " in value.__doc__, name
