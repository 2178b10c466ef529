"""On a pretended GPU everything trains, validates and scores, and the host waits for nothing.

Every network, objective, precision and path of attention. A CPU tensor that meets one of the GPU
raises (``tensors.py``); within a step of training, what makes the host wait is in ``ALLOWED``.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lgatr  # noqa: F401 - it loads tensors of its own, which no pretended device may take
import numpy as np
import pytest
import torch
import yaml

from helpers.files import write_jetclass_root
from helpers.networks import NETWORKS, SMALL, VARIANTS
from parttag.evaluation.scorer import Scorer
from parttag.models import build_model
from parttag.models.particle_tokenizer import ParticleTokenizerOptions
from parttag.runs.config import load_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.objectives import OBJECTIVES
from pretended_device.device import pretended_device
from pretended_device.tensors import DeviceMixError

ALLOWED = {
    # Asked twice in a run, at its first batch: whether the codebook is set.
    "aten._local_scalar_dense.default @ models/layers/vector_quantizer.py:_initialize",
    # The package counts the pairs of real particles in every step.
    "aten.nonzero.default @ models/lloca_particle_transformer.py:_attend",
    # Once in a process: the package's tables of the geometric algebra.
    "copy to the device @ models/lgatr.py:_attend",
    # Once in a run, at its first batch: whether masses of pairs are standardized.
    "aten._local_scalar_dense.default @ models/layers/local_frames.py:_standardize",
    # The way back of the definition of attention, jet by jet, which is there for comparisons.
    "index of the host in aten.index_put.default @ training/loop.py:_differentiate",
}
"""Waits within a step of training, "what @ file:function", each with its reason."""

TOKENIZER = SMALL["particle_tokenizer"]
SMALL_MASKED = {"positions": "jet", "width": 16, "num_heads": 2, "dense_dim": 12, "num_layers": 1}
# Heads as narrow as the kernels take.
FOR_KERNELS: dict[str, dict[str, Any]] = {
    "particle_transformer": {"embed_dims": [32, 32], "num_heads": 2},
    "plain_transformer": {"embed_dims": [32, 32], "num_heads": 2},
    "mpm": {"width": 32, "num_heads": 2},
    "encoder_decoder": {"embed_dim": 32, "num_heads": 2},
    "particle_tokenizer": {"width": 32, "num_heads": 2},
}
WITHOUT_LABELS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "contrastive": [("particle_transformer", {}), ("jetclr", {}), ("pfn", {})],
    "masked": [
        ("particle_transformer", {"tokenizer": TOKENIZER, **SMALL_MASKED}),
        ("mpm", {"tokenizer": TOKENIZER, **SMALL_MASKED}),
        ("mpm", {"tokenizer": TOKENIZER, "positions": "none"}),
    ],
    "next_particle": [("omnijet", {})],
    "tokenize": [("particle_tokenizer", {})],
    "encoder_decoder": [("encoder_decoder", {})],
}


CLASSIFIERS = [name for name in NETWORKS if "tokenizer" not in name and name != "mpm"]


def network(name: str, **changes: Any) -> dict[str, Any]:
    name, of_variant = VARIANTS.get(name, (name, {}))
    return {"name": name, **SMALL[name], **of_variant, **changes}


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jets")
    for seed, (name, number) in enumerate({"train": 24, "val": 3}.items()):
        lengths = np.random.default_rng(seed).integers(1, 11, number)
        write_jetclass_root(folder / f"{name}.root", toy_jets(seed=seed, lengths=lengths))
    return folder


def configuration(jets, model, features="kin", objective=None, precision="fp32", **training):
    content: dict[str, Any] = {
        "data": {name: str(jets / f"{name}.root") for name in ("train", "val")},
        "features": features,
        "model": model,
        "training": {
            "steps": 1,
            "steps_per_epoch": 1,
            "batch_size": 4,
            "device": "cuda",
            "precision": precision,
            "max_grad_norm": 5.0,
            **training,
        },
    }
    if objective is None or OBJECTIVES[objective["name"]].needs_labels:
        content["data"]["classes"] = {"top": ["label_top"], "QCD": ["label_QCD"]}
    if objective is not None:
        content["objective"] = objective
        content["training"]["best_by"] = "loss"
    return content


def write_tokenizer(content: dict[str, Any], path: Path) -> Path:
    """Write an untrained tokenizer of the sizes that a configuration has."""
    sizes = content["model"].get("tokenizer") or content["objective"]["tokenizer"]
    options = ParticleTokenizerOptions(**sizes)
    described = describe_network(
        build_model(options, "kin", 1), {"model": options.model_dump()}, ()
    )
    weights = build_model(options, "kin", 1).state_dict()
    write_checkpoint(path, {"weights": weights, **described})
    return path


def waits_of_a_training(content, folder, *, scores=True):
    """Train, validate and score; return the ledger, whose waits are those of steps of training."""
    path = folder / "config.yaml"
    if content["model"]["name"] == "omnijet" or "tokenizer" in content.get("objective", {}):
        content["tokenizer_from"] = str(write_tokenizer(content, folder / "tokenizer.pt"))
    path.write_text(yaml.safe_dump(_plain(content)))
    config = load_config(path)
    with pretended_device() as ledger:
        run = train_run(config, folder / "run")
        if scores and config.is_classifier:
            precision = "bf16" if config.training.precision == "bf16" else "fp32"
            scorer = Scorer.of_run(
                load_run(run), labels_required=True, precision=precision, device="cuda"
            )
            assert np.isfinite(scorer.score(toy_jets(seed=7, lengths=[2, 9, 1])).logits).all()
    assert ledger.operations
    return ledger


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def assert_no_new_waits(ledger):
    assert not {wait: n for wait, n in ledger.waits.items() if wait not in ALLOWED}
    # ``training.deterministic`` is for everything.
    assert not ledger.refused


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_networks(jets, name, precision, tmp_path):
    content = configuration(jets, network(name), precision=precision)
    assert_no_new_waits(waits_of_a_training(content, tmp_path))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("objective", "model"),
    [(objective, model) for objective, models in WITHOUT_LABELS.items() for model in models],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_objectives_without_labels(jets, objective, model, precision, tmp_path):
    name, options = model
    content = configuration(
        jets, network(name), objective={"name": objective, **options}, precision=precision
    )
    ledger = waits_of_a_training(content, tmp_path)
    assert_no_new_waits(ledger)


def test_distillation(jets, tmp_path):
    path = tmp_path / "teacher.yaml"
    path.write_text(yaml.safe_dump(_plain(configuration(jets, network("pfn"), device="cpu"))))
    teacher = train_run(load_config(path), tmp_path / "teacher")
    objective = {"name": "distill", "teacher": str(teacher)}
    content = configuration(jets, network("particle_net"), objective=objective)
    assert_no_new_waits(waits_of_a_training(content, tmp_path))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_several_tasks(jets, precision, tmp_path):
    origin = {"column": "part_charge", "classes": {"top": 0, "else": [1, -1]}}
    tasks = {"classify": {"class_weights": {"top": 2.0}}, "mass": {}, "origin": origin}
    objective = {"name": "tasks", "weights": "uncertainty", "tasks": tasks}
    objective["tasks"]["vertex"] = {"column": ["part_d0val", "part_dzval"], "within": 1.0}
    content = configuration(
        jets, network("particle_transformer"), objective=objective, precision=precision
    )
    content["targets"] = {"mass": {"column": "jet_mass", "relative_to": "jet_pt"}}
    content["data"]["classes"] = {"top": ["label_top"], "QCD": ["label_QCD"]}
    assert_no_new_waits(waits_of_a_training(content, tmp_path, scores=False))
    with pretended_device():
        run = load_run(tmp_path / "run")
        scorer = Scorer.of_run(run, labels_required=False, device="cuda")
        scored = scorer.score(toy_jets(seed=7, lengths=[2, 9, 1]))
    assert np.isfinite(scored.predictions["pred_mass"]).all()
    assert scored.predictions["pred_vertex"][1, 0] == 0


def test_every_objective_is_in_the_tests():
    assert {*WITHOUT_LABELS, "classify", "distill", "tasks"} == set(OBJECTIVES)


@pytest.mark.parametrize("name", FOR_KERNELS)
def test_kernels(jets, name, tmp_path):
    pytest.importorskip("triton")
    objectives = {"mpm": "masked", "particle_tokenizer": "tokenize"}
    objective = {"name": objectives[name]} if name in objectives else None
    if name == "mpm":
        objective |= {"tokenizer": TOKENIZER, "positions": "none"}
    # The interpreter is slow, and has no bfloat16 everywhere.
    content = configuration(
        jets, network(name, **FOR_KERNELS[name]), objective=objective, batch_size=2
    )
    ledger = waits_of_a_training(content, tmp_path)
    assert_no_new_waits(ledger)
    assert ledger.launches["attention._forward"]
    assert ledger.launches["attention._backward"]


@pytest.mark.parametrize("path", ["padded", "reference"])
def test_paths_of_attention(jets, path, tmp_path):
    content = configuration(jets, network("particle_transformer", kernels=path), features="full")
    assert_no_new_waits(waits_of_a_training(content, tmp_path))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lion"])
def test_optimizers_and_double_precision(jets, optimizer, tmp_path):
    content = configuration(jets, network("pfn"), precision="fp64")
    content["optimizer"] = {"name": optimizer}
    assert_no_new_waits(waits_of_a_training(content, tmp_path))


def test_trimmed_batches_that_are_not_resident(jets, tmp_path):
    content = configuration(
        jets, network("particle_transformer"), steps=7, steps_per_epoch=7, resident=False
    )
    assert_no_new_waits(waits_of_a_training(content, tmp_path))


@pytest.mark.parametrize(
    ("name", "precision"), [("particle_transformer", "bf16"), ("plain_transformer", "fp32")]
)
def test_steps_that_are_captured(jets, name, precision, tmp_path):
    content = configuration(
        jets,
        network(name, max_particles=10),
        precision=precision,
        graph=True,
        steps=5,
        steps_per_epoch=5,
    )
    ledger = waits_of_a_training(content, tmp_path)
    assert_no_new_waits(ledger)
    assert 1 <= ledger.launches["graph"] < 5
    assert ledger.captured["aten.mm.default"]


def test_kernels_are_captured_by_default(jets, tmp_path):
    pytest.importorskip("triton")
    options = {**FOR_KERNELS["particle_transformer"], "max_particles": 10, "num_layers": 1}
    content = configuration(
        jets, network("particle_transformer", **options), steps=3, steps_per_epoch=3, batch_size=2
    )
    ledger = waits_of_a_training(content, tmp_path)
    assert_no_new_waits(ledger)
    assert ledger.captured["attention._forward"]


def test_scores_are_read_once(jets, tmp_path):
    waits_of_a_training(configuration(jets, network("pfn")), tmp_path, scores=False)
    with pretended_device() as ledger:
        run = load_run(tmp_path / "run")
        scorer = replace(Scorer.of_run(run, labels_required=True, device="cuda"), batch_size=2)
        ledger.is_open = True
        scored = scorer.score(toy_jets(seed=7, lengths=[2, 9, 1, 4, 3]))
    assert np.isfinite(scored.logits).all()
    assert ledger.waits == {"synchronize of an event @ evaluation/late_reads.py:read": 1}


def test_a_wait_and_a_mixture_are_found():
    with pretended_device() as ledger:
        ledger.is_open = True
        x = torch.ones(3, device="cuda")
        with pytest.raises(DeviceMixError, match="cuda:0"):
            x + torch.ones(3)
        assert not ledger.waits
        assert x.sum().item() == 3
        x[x > 0] = 2
        x.cpu()
        torch.arange(3).to("cuda")
        torch.arange(3).to("cuda", non_blocking=True)
        x.new_tensor([1])
    assert [wait.split(" @ ")[0] for wait in ledger.waits] == [
        "aten._local_scalar_dense.default",
        "aten.index_put_.default with a mask",
        "copy to the host",
        "copy to the device",
        "new_tensor of the host's values",
    ]


def test_the_way_back_is_watched_too():
    class Mixed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * torch.ones(3)

    with pretended_device():
        x = torch.ones(3, device="cuda").requires_grad_()
        with pytest.raises(DeviceMixError):
            Mixed.apply(x).sum().backward()


def test_autocast_is_that_of_cuda():
    with pretended_device(), torch.autocast("cuda", torch.bfloat16):
        x = torch.ones(2, 2, device="cuda")
        assert (x @ x).dtype == torch.bfloat16
        assert (x @ x).softmax(dim=0).dtype == torch.float32
