"""The trial before the first use of kernels on a GPU, and what comes of it."""

import json
import logging

import pytest
import torch

from parttag.ops import kernels
from parttag.ops.kernels import attention, choose_path, trial, trust

pytest.importorskip("triton")

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")


def of_triton():
    return trial.run_trials("triton", CPU, ("fp32",), lengths=(0, 1, 17, 5))


def test_every_part_passes_and_random_numbers_go_on():
    state = torch.get_rng_state()
    with torch.inference_mode():
        trials = of_triton()
    assert torch.equal(torch.get_rng_state(), state)
    assert [t.part for t in trials] == ["attention", "class attention", "pair network"]
    assert all(t.passed for t in trials), list(map(str, trials))


def test_a_spoiled_kernel_and_one_that_raises_are_found(monkeypatch):
    def spoiled(*args):
        return 1.001 * whole(*args)

    whole = attention.attend
    monkeypatch.setattr(attention, "attend", spoiled)
    assert [t.passed for t in of_triton()] == [False, True, True]

    def failing(*_):
        raise RuntimeError("no C compiler\nand much more")

    monkeypatch.setattr(attention, "attend", failing)
    first, *rest = of_triton()
    assert not first.passed
    assert first.fault == "RuntimeError: no C compiler"
    assert all(t.passed for t in rest)


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A GPU in name, whose trials run here; returns the calls of the trial."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    calls = []

    def run_trials(path, device, precisions):
        calls.append((path, device, precisions))
        return trial.Trial("attention", "triton", "bf16", 16, error, 2e-2), good

    error = 1.0
    good = trial.Trial("pair network", "triton", "bf16", 16, 1e-3, 2e-2)
    monkeypatch.setattr(trial, "run_trials", run_trials)
    trust.fault_of_kernels.cache_clear()
    yield calls
    trust.fault_of_kernels.cache_clear()


def test_a_failed_trial_leaves_the_jets_to_torch_and_is_remembered(gpu, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
        assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
    assert len(caplog.records) == 1
    assert "plain torch computes attention and pairs: on a GPU (sm_90)" in caplog.text
    assert "relative error 1.0e+00" in caplog.text
    trust.fault_of_kernels.cache_clear()  # as another process
    assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
    assert gpu == [("triton", GPU, ("fp32", "bf16"))]
    assert choose_path("triton", GPU, torch.float32, 16, 20) == "triton"
    (tmp_path / "parttag" / "kernels.json").write_text("{]")
    trust.fault_of_kernels.cache_clear()
    assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
    assert len(gpu) == 2


def test_kernels_that_have_passed_are_used(gpu, tmp_path):
    key = trust._combination(GPU)
    (tmp_path / "parttag").mkdir()
    (tmp_path / "parttag" / "kernels.json").write_text(json.dumps({key: ""}))
    assert choose_path("auto", GPU, torch.float32, 16, 20) == "triton"
    assert not gpu


@pytest.mark.parametrize(("width", "path"), [(16, "triton"), (32, "triton"), (64, "torch")])
def test_wide_heads_are_left_to_torch(monkeypatch, width, path):
    monkeypatch.setattr(kernels, "_are_trusted", lambda _: True)
    assert choose_path("auto", GPU, torch.float32, width, 20) == path
    assert choose_path("auto", GPU, torch.bfloat16, 2 * width, 20) == path
