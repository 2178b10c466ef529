"""The Python that README.md, the how-tos, data/README.md and docstrings show, run as it stands."""

import doctest
import importlib
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import parttag
from helpers.files import write_jetclass_root
from helpers.plugins import registers_kept
from parttag.data import prepare
from parttag.jets.features import FEATURES
from parttag.models import MODELS
from parttag.testing import toy_jets

ROOT = Path(__file__).parents[1]
SOURCE = Path(parttag.__file__).parent


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def at_the_users(tmp_path, monkeypatch):
    """A directory with files of the names that the documentation uses."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for seed, name in enumerate(("train_0", "train_1", "val_0", "test_0")):
        write_jetclass_root(Path(f"data/{name}.root"), toy_jets(60, seed))


def test_the_readme_shows_a_session_and_a_loader_that_work(at_the_users, capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    (session,) = python_blocks("README.md")
    (loader,) = python_blocks("docs/how_to/large_samples.md")
    variables: dict[str, object] = {}
    exec(session, variables)
    assert len(variables["scores"]) == 60
    assert "1/ε_B at ε_S = 0.3" in capsys.readouterr().out
    assert Path("results/roc.pdf").read_bytes().startswith(b"%PDF")
    exec(loader, variables)
    assert variables["position"] == {"epoch": 0, "batch": 1}
    assert "tensor" in capsys.readouterr().out
    assert len(variables["loader"].dataset) == 120
    # The how-tos go on with the run of that session.
    pictures = re.findall(r"report\.plot\.(\w+)", page("docs/how_to/plots_for_a_paper.md"))
    assert all(hasattr(variables["report"].plot, name) for name in pictures)
    exec_blocks("read_files")
    read_scores, _, write_scores = python_blocks("docs/how_to/scores_in_an_analysis.md")
    exec(write_scores + read_scores, variables)
    assert len(variables["frame"]) == len(variables["scores"]["score_top"]) == 60
    Path("runs/first").mkdir()
    bad_batch = {"step": 1, "loss": "nan", "jets": {"data/test_0.root": [3, 5]}}
    Path("runs/first/bad_batch.json").write_text(json.dumps(bad_batch))
    exec_blocks("loss_not_finite")
    assert "data/test_0.root [" in capsys.readouterr().out


def exec_blocks(*pages: str) -> None:
    """Run what pages show, as one program."""
    variables: dict[str, object] = {}
    exec(
        "".join(block for page in pages for block in python_blocks(f"docs/how_to/{page}.md")),
        variables,
    )


def test_the_feature_that_is_shown_is_one():
    (block,) = python_blocks("docs/how_to/add_a_feature.md")
    with registers_kept():
        exec(block, {"__name__": "mypackage.features"})
        assert FEATURES["pt_squared"].scale == 1e-4


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
