"""Which speed-ups a training takes, and the trial of them."""

import json
import logging

import pytest
import torch

from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFNOptions
from parttag.ops.kernels import trust
from parttag.training import speedups
from parttag.training.distributed import Ranks
from parttag.training.objectives.classify import Classify, ClassifyOptions
from parttag.training.options import TrainingOptions

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
CLASSIFY = Classify(ClassifyOptions())


def transformer(**options):
    sizes = {"embed_dims": (32,), "num_heads": 2, "num_layers": 1, "num_class_layers": 1}
    return build_model(ParticleTransformerOptions(**sizes, **options), "kin", 2)


def chosen(model, device=GPU, size=1, **options):
    ranks = Ranks(size=size, device=device)
    return speedups.choose_speedups(model, CLASSIFY, TrainingOptions(**options), ranks)


def trial(capture):
    return speedups.try_steps(CPU, compiled=False, graphed=True, capture=capture)


def test_the_trial_passes_where_steps_are_right_and_leaves_random_numbers_alone():
    state = torch.get_rng_state()
    assert trial(lambda function: function) == ""
    assert torch.equal(torch.get_rng_state(), state)


def test_the_trial_finds_wrong_steps_and_what_is_raised():
    def refuse(function):
        raise RuntimeError("operation not permitted\nand much more")

    assert trial(refuse) == "RuntimeError: operation not permitted"

    def idle(function):
        first = function()
        return lambda: first

    assert "are off by" in trial(idle)


def test_a_cpu_takes_none_unless_it_is_asked_to():
    assert chosen(transformer(), CPU) == (False, False)
    assert chosen(transformer(), CPU, compile=True).is_compiled
    with pytest.raises(InputError, match=r"training\.graph: CUDA graphs need a GPU"):
        chosen(transformer(), CPU, graph=True)


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Let a machine have a GPU in name, on which everything has been tried, with these faults."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    caches = (speedups._fault, trust.fault_of_kernels)

    def write(**faults):
        for cache in caches:
            cache.cache_clear()
        (tmp_path / "parttag").mkdir(exist_ok=True)
        key = trust._combination(GPU)
        names = {"kernels": "", "compiled": ", compiled", "both": ", compiled, graphed"}
        known = {key + names[name]: fault for name, fault in faults.items()}
        known.setdefault(key + ", graphed", "")
        (tmp_path / "parttag" / "kernels.json").write_text(json.dumps(known))

    yield write
    for cache in caches:
        cache.cache_clear()


def test_what_has_passed_is_used(tried):
    pytest.importorskip("triton")
    tried(kernels="", compiled="", both="")
    assert chosen(transformer()) == (True, True)
    assert chosen(transformer(), compile=False, graph=False) == (False, False)
    assert chosen(transformer(kernels="triton"), compile=False) == (False, True)


def test_what_has_failed_is_not_and_one_line_says_why(tried, caplog):
    pytest.importorskip("triton")
    tried(kernels="", compiled="no C compiler", both="")
    with caplog.at_level(logging.INFO):
        assert chosen(transformer()) == (False, True)
    assert [r.getMessage() for r in caplog.records if "compile" in r.getMessage()] == [
        "training.compile=auto: not compiled: no C compiler"
    ]
    tried(kernels="", compiled="", both="weights after some steps are off by 1e-2")
    with caplog.at_level(logging.INFO):
        assert chosen(transformer()) == (True, False)
    assert "steps are no CUDA graphs: weights after some steps are off by 1e-2" in caplog.text


@pytest.mark.parametrize(
    ("model", "size", "said"),
    [
        (lambda: build_model(PFNOptions(), "kin", 2), 1, "this network takes no batches"),
        (lambda: transformer(max_particles=None), 1, "this network takes no batches"),
        (transformer, 2, "for one process"),
    ],
)
def test_where_there_can_be_no_graphs_it_is_said(tried, model, size, said, caplog):
    tried(kernels="", compiled="")
    with pytest.raises(InputError, match=said):
        chosen(model(), size=size, graph=True)
    with caplog.at_level(logging.INFO):
        assert not chosen(model(), size=size).is_graphed
    assert said in caplog.text


def test_plain_torch_is_not_captured_by_default(tried, caplog):
    tried(kernels="a wrong number", compiled="")
    with caplog.at_level(logging.INFO):
        assert not chosen(transformer()).is_graphed
    assert "plain torch would pad" in caplog.text
    assert chosen(transformer(), graph=True).is_graphed
