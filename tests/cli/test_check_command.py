"""``parttag check`` on a CPU: what a user runs first on a new machine."""

import json

import pytest
import torch
from typer.testing import CliRunner

from parttag.api import check as module
from parttag.cli import app
from parttag.errors import InputError
from parttag.ops.attention import grouped
from parttag.ops.kernels import trial

RUNNER = CliRunner()


def test_a_sound_machine(tmp_path):
    path = tmp_path / "check.json"
    result = RUNNER.invoke(app, ["check", "--speed", "--device", "cpu", "--json", str(path)])
    assert result.exit_code == 0, result.output
    written = json.loads(path.read_text())
    assert written["passed"]
    assert written["machine"]["torch"] == torch.__version__
    tried = {(t["part"], t["path"], t["precision"]) for t in written["trials"]}
    parts = ("attention", "class attention", "pair network")
    assert tried >= {(part, "torch", p) for part in parts for p in ("fp32", "bf16")}
    assert {t["path"] for t in written["trials"]} == {"torch", "triton"}  # by the interpreter
    assert all(t["seconds"] > 0 for t in written["trials"])
    with pytest.raises(InputError, match="overwrite"):
        module.check(device="cpu").save(path)


def test_a_spoiled_path_ends_with_exit_code_1(monkeypatch, tmp_path):
    whole = grouped.attend
    monkeypatch.setattr("parttag.ops.attention.attend_grouped", lambda *args: 1.001 * whole(*args))
    path = tmp_path / "check.json"
    result = RUNNER.invoke(app, ["check", "--device", "cpu", "--json", str(path)])
    assert result.exit_code == 1
    written = json.loads(path.read_text())
    assert {t["part"] for t in written["trials"] if not t["passed"]} == {"attention"}
    assert "FAILED" in result.output


def test_a_device_that_is_not_there():
    with pytest.raises(InputError, match="must be auto, cpu or cuda"):
        module.check(device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no GPU"):
            module.check(device="cuda")


def test_a_number_that_is_none_is_no_pass():
    lost = trial.Trial("attention", "torch", "fp32", 16, float("nan"), 1e-5)
    assert not lost.passed
    assert '"error": null' in module.Check({}, (lost,), {}, ()).to_json()
