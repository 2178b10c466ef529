"""Checkpoints of others: every part is of the type and size that a training has, or is refused."""

import warnings
from copy import deepcopy

import pytest
import torch

from helpers.limits import memory_for
from helpers.runs import toy_config
from parttag.errors import InputError
from parttag.runs.run import load_run
from parttag.runs.train import _build_trainer, open_jets, train_run
from parttag.training.checkpoint import read_checkpoint, write_checkpoint
from parttag.training.distributed import Ranks

OPTIMIZERS = {"ranger": ["optimizer.name=ranger"], "adam": ["optimizer.name=adam"]}


@pytest.fixture(scope="module", params=OPTIMIZERS)
def trained(request, tmp_path_factory):
    """Return a run's trainer at the beginning, and its last checkpoint."""
    folder = tmp_path_factory.mktemp(request.param)
    config = toy_config(folder, *OPTIMIZERS[request.param], "training.epochs=1")
    train_run(config, folder / "run")
    content = read_checkpoint(folder / "run" / "checkpoints" / "last.pt")
    (folder / "new").mkdir()
    from parttag.progress import no_progress

    train, val = (open_jets(config, part) for part in ("train", "val"))
    return _build_trainer(config, folder / "new", train, val, Ranks(), no_progress), content, folder


def inner(content):
    return content["optimizer"].get("inner", content["optimizer"])


def set_in(place, *keys, value):
    def change(content):
        below = place(content)
        for key in keys[:-1]:
            below = below[key]
        below[keys[-1]] = value

    return change


def whole(content):
    return content


FOREIGN = {
    "optimizer is a list": set_in(whole, "optimizer", value=[1]),
    "optimizer is empty": set_in(whole, "optimizer", value={}),
    "groups are a tensor": set_in(inner, "param_groups", value=torch.zeros(3)),
    "many groups": set_in(inner, "param_groups", value=[{"params": []}] * 1000),
    "many parameters": set_in(inner, "param_groups", 0, "params", value=[*range(10_000)]),
    "the same parameter": set_in(inner, "param_groups", 0, "params", 0, value=5),
    "states of many parameters": lambda c: inner(c)["state"].update(
        {n: {"step": torch.tensor(1.0)} for n in range(100, 20_000, 10)}
    ),
    "state of a name": set_in(inner, "state", "x", value={}),
    "moments of another shape": set_in(inner, "state", 0, "exp_avg", value=torch.zeros(7, 7)),
    "moments expanded": set_in(
        inner, "state", 0, "exp_avg", value=torch.zeros(1).expand(1 << 30, 1 << 10)
    ),
    "moments of text": set_in(inner, "state", 0, "exp_avg", value="x"),
    "a huge moment besides": set_in(inner, "state", 0, "more", value=torch.zeros(3)),
    "step of many numbers": set_in(inner, "state", 0, "step", value=torch.ones(3)),
    "learning rate of infinity": set_in(inner, "param_groups", 0, "lr", value=float("inf")),
    "learning rate of text": set_in(inner, "param_groups", 0, "lr", value="0.1"),
    "other betas": set_in(inner, "param_groups", 0, "betas", value=(0.1, 0.1)),
    "betas of text": set_in(inner, "param_groups", 0, "betas", value="ab"),
    "the loss is made larger": set_in(inner, "param_groups", 0, "weight_decay", value=-1e9),
    "an option besides": set_in(inner, "param_groups", 0, "hook", value="os.system"),
    "fused is a list": set_in(inner, "param_groups", 0, "fused", value=[1]),
    "state is a list": set_in(whole, "state", value=[]),
    "state of other keys": set_in(whole, "state", "hook", value=1),
    "state without steps": lambda c: c["state"].pop("step"),
    "step is negative": set_in(whole, "state", "step", value=-1),
    "step is endless": set_in(whole, "state", "step", value=10**30),
    "step is true": set_in(whole, "state", "step", value=True),
    "step is text": set_in(whole, "state", "step", value="1"),
    "sums are text": set_in(whole, "state", "sums", value="1"),
    "sums of another size": set_in(whole, "state", "sums", value=torch.zeros(99).double()),
    "sums are sparse": set_in(whole, "state", "sums", value=torch.zeros(4).double().to_sparse()),
    "seconds of text": set_in(whole, "state", "seconds", value="1"),
    "seconds are no number": set_in(whole, "state", "seconds", value=float("nan")),
    "is_cut is text": set_in(whole, "state", "is_cut", value="no"),
    "history is a number": set_in(whole, "state", "history", value=3),
    "history of texts": set_in(whole, "state", "history", value=["x"]),
    "history of texts by name": set_in(whole, "state", "history", value=[{"loss": "x"}]),
    "history is longer": set_in(whole, "state", "history", value=[{"loss": 1.0}] * 1000),
    "random states are a number": set_in(whole, "random_states", value=3),
    "random states of text": set_in(whole, "random_states", value=["x"]),
    "random states of another size": set_in(
        whole, "random_states", value=[{"cpu": torch.zeros(3, dtype=torch.uint8)}]
    ),
    "random states of zeros": set_in(
        whole, "random_states", value=[{"cpu": torch.zeros(5056, dtype=torch.uint8)}]
    ),
    "random states of floats": set_in(whole, "random_states", value=[{"cpu": torch.zeros(5056)}]),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_training_is_not_continued_with_what_is_none(kind, trained):
    trainer, content, _ = trained
    foreign = deepcopy(content)
    FOREIGN[kind](foreign)
    before = deepcopy(trainer.optimizer.state_dict())
    with memory_for(1 << 30), pytest.raises(InputError, match=r"last\.pt: "):
        trainer.restore(foreign)
    assert str(trainer.optimizer.state_dict()) == str(before)


def test_what_a_training_wrote_is_continued(trained):
    _, content, folder = trained
    config = toy_config(folder, f"optimizer.name={content['config']['optimizer']['name']}")
    train_run(config, folder / "two")  # of four epochs
    last = read_checkpoint(folder / "two" / "checkpoints" / "last.pt")
    write_checkpoint(folder / "two" / "checkpoints" / "last.pt", last)
    train_run(config, folder / "two")


NETWORKS = {
    "classes are a number": set_in(whole, "classes", value=3),
    "classes are numbers": set_in(whole, "classes", value=[1, 2]),
    "features are a text": set_in(whole, "features", value="kin"),
    "config is a list": set_in(whole, "config", value=[]),
    "config.model is a text": set_in(whole, "config", value={"model": "pfn"}),
    "config holds a tensor": set_in(whole, "config", "model", value={"a": torch.zeros(3)}),
    "weights are a list": set_in(whole, "weights", value=[torch.zeros(3)]),
    "weights are numbers": set_in(whole, "weights", value={"head.weight": 3}),
    "weights by number": lambda c: c["weights"].update({3: torch.zeros(1)}),
    "weights expanded": lambda c: c["weights"].update(
        {"head.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}
    ),
    "weights are sparse": lambda c: c["weights"].update(
        {k: v.to_sparse() for k, v in c["weights"].items() if v.ndim}
    ),
    "weights are complex": lambda c: c["weights"].update(
        {k: v.to(torch.complex64) for k, v in c["weights"].items()}
    ),
    "weights are nowhere": lambda c: c["weights"].update(
        {k: v.to("meta") for k, v in c["weights"].items()}
    ),
}


def test_a_configuration_in_itself_is_refused(trained, tmp_path):
    content = deepcopy(trained[1])
    config = content["config"]
    for _ in range(40):
        config = {"a": config, "b": config}
    content["config"] = config
    write_checkpoint(tmp_path / "laughs.pt", content)
    with pytest.raises(InputError, match=r"laughs\.pt: config is larger"):
        read_checkpoint(tmp_path / "laughs.pt")


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_not_loaded_from_what_is_none(kind, trained):
    _, content, folder = trained
    foreign = deepcopy(content)
    best = folder / "run" / "checkpoints" / "best.pt"
    kept = best.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NETWORKS[kind](foreign)
        torch.save(foreign, best)
    try:
        with memory_for(1 << 30), pytest.raises(InputError, match=r"best\.pt: "):
            load_run(folder / "run")
    finally:
        best.write_bytes(kept)
    load_run(folder / "run")
