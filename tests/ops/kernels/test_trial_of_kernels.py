"""The trial before the first use of kernels on a GPU, and what comes of it."""

import json
import logging

import pytest
import torch

from parttag.ops.kernels import attention, choose_path, trial, trust

pytest.importorskip("triton")

# No machine has so many: whatever is tried there fails.
GPU, CPU = torch.device("cuda", 99), torch.device("cpu")


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
    faults = []

    def spoiled(*args):
        if faults:
            raise RuntimeError(faults[0])
        return 1.001 * whole(*args)

    whole = attention.attend
    monkeypatch.setattr(attention, "attend", spoiled)
    assert [t.passed for t in of_triton()] == [False, True, True]
    faults.append("no C compiler\nand much more")
    first, *rest = of_triton()
    assert not first.passed
    assert first.fault == "RuntimeError: no C compiler"
    assert all(t.passed for t in rest)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where results of trials are kept, on a machine with a GPU in name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    trust.fault_of_kernels.cache_clear()
    yield tmp_path / "parttag" / "kernels.json"
    trust.fault_of_kernels.cache_clear()


def test_a_failed_trial_leaves_the_jets_to_torch_and_is_remembered(cache, caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
        assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
    assert len(caplog.records) == 1
    assert "plain torch computes attention and pairs: on a GPU (sm_90)" in caplog.text
    (fault,) = json.loads(cache.read_text()).values()
    assert fault in caplog.text
    cache.write_text(cache.read_text().replace(fault, "a fault found before"))
    trust.fault_of_kernels.cache_clear()  # as another process
    assert choose_path("auto", GPU, torch.float32, 16, 20) == "torch"
    assert trust.fault_of_kernels(GPU) == "a fault found before"
    assert choose_path("triton", GPU, torch.float32, 16, 20) == "triton"


def test_a_spoiled_cache_is_made_anew(cache):
    cache.parent.mkdir()
    cache.write_text("{]")
    assert trust.fault_of_kernels(GPU)
    assert len(json.loads(cache.read_text())) == 1


@pytest.mark.parametrize(("width", "path"), [(16, "triton"), (32, "triton"), (64, "torch")])
def test_kernels_that_have_passed_are_used_unless_heads_are_wide(cache, width, path):
    cache.parent.mkdir()
    cache.write_text(json.dumps({trust._combination(GPU): ""}))
    assert choose_path("auto", GPU, torch.float32, width, 20) == path
    assert choose_path("auto", GPU, torch.bfloat16, 2 * width, 20) == path


def test_before_ampere_kernels_are_for_float32(cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    cache.parent.mkdir()
    cache.write_text(json.dumps({trust._combination(GPU): ""}))
    assert choose_path("auto", GPU, torch.float32, 16, 20) == "triton"
    assert choose_path("auto", GPU, torch.bfloat16, 16, 20) == "torch"
