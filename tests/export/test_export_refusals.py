"""What cannot be exported, or must not be written, is said in one sentence and leaves nothing."""

import re
import subprocess
import sys

import pytest
import torch

from helpers.untrained import small_run
from parttag.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run("pfn", tmp_path_factory.mktemp("runs") / "tagger", features="kin")


def refused(run, path, **options):
    there = sorted(path.parent.glob("*")) if path.parent.exists() else []
    with pytest.raises(InputError) as caught:
        run.export(path, **options)
    assert (sorted(path.parent.glob("*")) if path.parent.exists() else []) == there
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["pct", "lgn", "jedi_net", "rpcn"])
def test_a_network_without_a_graph(name, tmp_path):
    said = refused(small_run(name, tmp_path / "run"), tmp_path / "model" / "model.onnx")
    assert said.startswith(f"the network {name} cannot be exported")
    assert "particle_transformer, particle_net, pfn, pcnn, lorentz_net" in said


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lorentz_net", {"reference_padding": True}),
        ("lorentz_net", {"scalars": "features"}),
        ("particle_transformer", {"block": "swiglu"}),
    ],
)
def test_options_without_a_graph(name, options, tmp_path):
    run = small_run(name, tmp_path / "run", model=options)
    ((key, value),) = options.items()
    said = refused(run, tmp_path / "model" / "model.onnx")
    assert said.startswith(f"the network {name} with {key}: {str(value).lower()} cannot be")


@pytest.mark.parametrize("there", ["model.onnx", "preprocess.json"])
def test_a_file_that_exists_is_left_as_it_is(there, run, tmp_path):
    (tmp_path / there).write_text("mine")
    assert "exists already" in refused(run, tmp_path / "model.onnx")
    assert (tmp_path / there).read_text() == "mine"
    run.export(tmp_path / "model.onnx", overwrite=True)
    assert (tmp_path / there).read_bytes() != b"mine"


def test_scores_that_are_too_far_apart(run, tmp_path):
    said = refused(run, tmp_path / "model.onnx", precision="int8", max_difference=1e-7)
    assert re.search(r"differ from the run's by at most \d\.\de-\d\d", said)
    assert "1e-07 is allowed" in said
    assert "max_difference" in said


def test_scores_that_are_no_numbers(tmp_path):
    run = small_run("pfn", tmp_path / "run", features="kin")
    with torch.no_grad():
        run.model.head[-1].bias[0] = float("nan")
    assert "at most inf" in refused(run, tmp_path / "model.onnx")


def test_a_run_without_classes_has_only_its_embedding(tmp_path):
    run = small_run(
        "particle_transformer", tmp_path / "run", features="kin", objective={"name": "masked"}
    )
    said = refused(run, tmp_path / "model.onnx")
    assert "gives jets no scores" in said
    run.export(tmp_path / "model.onnx", output="embedding")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": {"log_ptt": "x"}}, "no variable log_ptt; the nearest of its own is log_pt"),
        ({"convention": "atlas", "output": "logits"}, "leave out"),
        ({"convention": "atlas", "model_name": "GN_2"}, "letters and digits only"),
        ({"max_difference": 0.1}, "every fp32 model must keep"),
        ({"max_difference": -1.0, "precision": "fp16"}, "is not above 0"),
    ],
)
def test_options_that_do_not_go_together(options, words, run, tmp_path):
    assert words in refused(run, tmp_path / "model.onnx", **options)


def test_a_file_of_names_that_has_no_names(run, tmp_path):
    names = tmp_path / "names.yaml"
    names.write_text("log_pt: 3\n")
    assert "log_pt must have a name" in refused(run, tmp_path / "model.onnx", names=names)


def test_another_suffix(run, tmp_path):
    assert "must end in .onnx" in refused(run, tmp_path / "model.pt")


WITHOUT = """
import sys, types
from importlib.machinery import ModuleSpec
spec = ModuleSpec("onnxruntime", None)
{change}
from parttag.cli import main
sys.argv = ["parttag", "export", {run!r}, "--out", {out!r}]
main()
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('sys.modules["onnxruntime"] = None', "pip install 'parttag[export]'"),
        (
            'old = types.ModuleType("onnxruntime"); old.__version__ = "1.12.1"; '
            "old.__spec__ = spec; "
            'sys.modules["onnxruntime"] = old',
            "onnxruntime 1.12.1 is too old",
        ),
    ],
)
def test_a_runtime_that_is_missing_or_too_old(change, words, run, tmp_path):
    out = tmp_path / "model.onnx"
    code = WITHOUT.format(change=change, run=str(run.directory), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_clamp_of_the_published_lorentz_net_is_exported(tmp_path):
    run = small_run("lorentz_net", tmp_path / "run", model={"reference": True})
    with torch.no_grad():
        for block in run.model.backbone.blocks[:-1]:
            block.step[2].weight.mul_(1000)  # so that it is reached
    report = run.export(tmp_path / "model.onnx")
    assert report.differences.largest < 1e-5
