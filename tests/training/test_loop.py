import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.files import write_toptagging_h5
from helpers.runs import NETWORK, same_weights, toy_config
from parttag.data.loading.dataset import open_dataset
from parttag.data.loading.loader import JetLoader
from parttag.errors import InputError
from parttag.models import build_model
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_jets
from parttag.training.loop import Trainer
from parttag.training.monitor import PreemptionError, Stopwatch

GOLDEN = Path(__file__).parents[1] / "golden" / "pfn_losses.json"
SMALL_TRANSFORMER = {
    "name": "particle_transformer",
    "embed_dims": [8],
    "pair_dims": [4],
    "num_heads": 2,
    "num_layers": 1,
    "num_class_layers": 1,
    "dropout": 0.3,
}
NETWORKS = pytest.mark.parametrize("model", [NETWORK, SMALL_TRANSFORMER], ids=lambda m: m["name"])


def _history(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def _only_results(run):
    timings = ("seconds", "cpu_seconds", "jets_per_second")
    return [{k: v for k, v in line.items() if k not in timings} for line in _history(run)]


class StopAt:
    """A progress that interferes before a given step, counted from the start of the command."""

    def __init__(self, step, interfere):
        self.left, self.interfere = step, interfere

    def __call__(self, items, *, total, description):
        del total
        for item in items:
            if description.startswith("epoch"):
                if self.left == 0:
                    self.interfere()
                self.left -= 1
            yield item


class Killed(BaseException):
    """What a test stops a training with, in place of kill -9."""


def _kill():
    raise Killed


def _terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_the_first_epoch_reports_the_means_over_its_jets(tmp_path):
    # With a learning rate of almost zero the network stays as it was at the beginning.
    config = toy_config(tmp_path, "training.epochs=1", "optimizer.lr=1e-30")
    line = _history(train_run(config, tmp_path / "run"))[0]
    torch.manual_seed(config.training.seed)
    model = build_model(config.model, config.features, 2).eval()
    for name in ("train", "val"):
        data = open_dataset(getattr(config.data, name), config.data.classes)
        batch = next(JetLoader(data, len(data), shuffle=False).epoch(0))
        logits = model(batch)
        loss = F.cross_entropy(logits, batch.labels).item()
        accuracy = (logits.argmax(dim=1) == batch.labels).double().mean().item()
        assert line[f"{name}_loss"] == pytest.approx(loss, rel=1e-5)
        assert line[f"{name}_accuracy"] == pytest.approx(accuracy, rel=1e-6)
    assert (line["epoch"], line["step"]) == (1, 4)
    assert line["jets_per_second"] == pytest.approx(60 / line["seconds"])


def test_steps_are_those_of_a_plain_loop(tmp_path):
    config = toy_config(tmp_path, "optimizer={name: adamw, lr: 0.01}", "training.epochs=3")
    run = train_run(config, tmp_path / "run")
    torch.manual_seed(config.training.seed)
    model = build_model(config.model, config.features, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    data = open_dataset(config.data.train, config.data.classes)
    loader = JetLoader(data, 16, shuffle=True, seed=0, max_particles=128)
    for epoch, lr in enumerate([0.01, 0.01, 0.0001]):
        for batch in loader.epoch(epoch):
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad()
            F.cross_entropy(model(batch), batch.labels).backward()
            optimizer.step()
    trained = load_run(run, "last").model
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], weight, rtol=1e-4, atol=1e-6)


@NETWORKS
def test_killed_at_any_step_a_run_ends_with_the_same_weights_bit_for_bit(tmp_path, model):
    overrides = ("training.checkpoint_every=3", "training.epochs=3")
    config = toy_config(tmp_path, *overrides, model=model)
    whole = train_run(config, tmp_path / "whole")
    killed = tmp_path / "killed"
    for step in (2, 6, 3):  # before the first checkpoint, in a second epoch, on a checkpoint
        with pytest.raises(Killed):
            train_run(config, killed, progress=StopAt(step, _kill))
    train_run(config, killed)
    assert same_weights(whole, killed, "last.pt")
    assert same_weights(whole, killed, "best.pt")
    assert _only_results(whole) == _only_results(killed)


@NETWORKS
def test_sigterm_writes_a_checkpoint_from_which_the_run_goes_on_bit_for_bit(tmp_path, model):
    config = toy_config(tmp_path, "training.epochs=2", model=model)
    whole = train_run(config, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    with pytest.raises(PreemptionError, match="SIGTERM after step 6 of 8"):
        train_run(config, stopped, progress=StopAt(5, _terminate))
    assert torch.load(stopped / "checkpoints" / "last.pt")["state"]["step"] == 6
    train_run(config, stopped)
    assert same_weights(whole, stopped)
    assert _only_results(whole) == _only_results(stopped)


def test_sigterm_during_a_validation_loses_no_step(tmp_path):
    config = toy_config(tmp_path)

    def in_validation(items, *, total, description):
        for item in items:
            if description == "validation":
                _terminate()
            yield item

    with pytest.raises(PreemptionError, match="after step 4 of 16"):
        train_run(config, tmp_path / "run", progress=in_validation)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] == 4
    train_run(config, tmp_path / "run")
    whole = train_run(config, tmp_path / "whole")
    assert _only_results(whole) == _only_results(tmp_path / "run")


def test_an_epoch_may_be_any_number_of_steps_and_the_last_may_be_cut_short(tmp_path):
    # Five passes of four batches, in epochs of six steps: 6, 6, 6, 2.
    overrides = ("training.steps=20", "training.steps_per_epoch=6", "schedule.name=constant")
    epochs = _history(train_run(toy_config(tmp_path, *overrides), tmp_path / "epochs"))
    assert [line["step"] for line in epochs] == [6, 12, 18, 20]
    passes = toy_config(tmp_path, "training.epochs=5", "schedule.name=constant")
    train_run(passes, tmp_path / "passes")
    assert same_weights(tmp_path / "epochs", tmp_path / "passes")


def test_an_epoch_sees_every_jet_once_unless_the_last_batch_is_dropped(tmp_path):
    everything = train_run(toy_config(tmp_path, "training.epochs=1"), tmp_path / "everything")
    dropped = toy_config(tmp_path, "training.epochs=1", "training.drop_last=true")
    dropped = train_run(dropped, tmp_path / "dropped")
    line, shorter = _history(everything)[0], _history(dropped)[0]
    assert (line["step"], shorter["step"]) == (4, 3)  # 60 jets in batches of 16
    assert line["jets_per_second"] * line["seconds"] == pytest.approx(60)
    assert shorter["jets_per_second"] * shorter["seconds"] == pytest.approx(48)
    assert shorter["val_loss"] != line["val_loss"]


@pytest.fixture
def steady_clock(monkeypatch):
    """Make every step, and the end of every epoch, take one second."""
    monkeypatch.setattr(Stopwatch, "lap", lambda _: (1.0, 1.0))


def test_a_training_ends_after_the_step_in_which_its_time_is_over(tmp_path, steady_clock):
    config = toy_config(tmp_path, "training.max_seconds=6.5")
    run = train_run(config, tmp_path / "run")
    first, last = _history(run)
    assert (first["step"], first["seconds"]) == (4, 5)
    assert "cut" not in first
    assert (last["step"], last["jets"], last["cut"]) == (6, 32, True)
    assert "val_loss" in last
    # The weights are those of a training of the same plan, stopped there.
    with pytest.raises(PreemptionError):
        train_run(toy_config(tmp_path), tmp_path / "plan", progress=StopAt(5, _terminate))
    assert same_weights(run, tmp_path / "plan")
    before = (run / "checkpoints" / "last.pt").read_bytes()
    train_run(config, run)
    assert (run / "checkpoints" / "last.pt").read_bytes() == before


def test_time_is_counted_over_all_starts(tmp_path, steady_clock):
    config = toy_config(tmp_path, "training.max_seconds=6.5")
    whole, stopped = train_run(config, tmp_path / "whole"), tmp_path / "stopped"
    with pytest.raises(PreemptionError, match="after step 5 of 16"):
        train_run(config, stopped, progress=StopAt(4, _terminate))

    def killed_in_validation(items, *, total, description):
        if description == "validation":
            raise Killed
        return items

    with pytest.raises(Killed):
        train_run(config, stopped, progress=killed_in_validation)
    train_run(config, stopped)
    assert same_weights(whole, stopped)
    assert _only_results(whole) == _only_results(stopped)


def test_a_time_that_is_enough_changes_nothing(tmp_path):
    plain = train_run(toy_config(tmp_path), tmp_path / "plain")
    limited = train_run(toy_config(tmp_path, "training.max_seconds=1e6"), tmp_path / "limited")
    assert same_weights(plain, limited)
    assert not any("cut" in line for line in _history(limited))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    config = toy_config(tmp_path, "training.epochs=1")
    run = train_run(config, tmp_path / "run")
    other = toy_config(tmp_path, "training.epochs=1", "optimizer={name: adamw}")
    other = train_run(other, tmp_path / "other")
    (other / "checkpoints" / "last.pt").replace(run / "checkpoints" / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: this checkpoint is of another run"):
        train_run(config, run)


def test_the_first_losses_are_those_of_the_golden_run(tmp_path):
    config = toy_config(
        tmp_path,
        "training={steps: 20, steps_per_epoch: 1, batch_size: 16, device: cpu}",
        "optimizer={lr: 0.01, weight_decay: 0.01}",
        "data.val=[]",
    )
    losses = [line["train_loss"] for line in _history(train_run(config, tmp_path / "run"))]
    # Sums in another order, as on another processor, move them by 1e-6.
    assert losses == pytest.approx(json.loads(GOLDEN.read_text()), rel=1e-4)


def test_a_batch_that_is_larger_than_the_data_cannot_be_dropped(tmp_path):
    config = toy_config(tmp_path, "training.batch_size=100", "training.drop_last=true")
    with pytest.raises(InputError, match=r"training\.batch_size: a batch of 100 is more than all"):
        train_run(config, tmp_path / "run")


@pytest.mark.parametrize("best_by", ["accuracy", "loss"])
def test_the_best_epoch_is_the_first_of_the_best_validation(tmp_path, best_by):
    overrides = ("optimizer.lr=0.2", "schedule.name=constant", f"training.best_by={best_by}")

    def train(epochs: int) -> Path:
        config = toy_config(tmp_path, *overrides, f"training.epochs={epochs}")
        return train_run(config, tmp_path / f"epochs-{epochs}")

    run = train(8)
    values = [line[f"val_{best_by}"] for line in _history(run)]
    best = int(np.argmax(values) if best_by == "accuracy" else np.argmin(values)) + 1
    assert best < 8
    if best_by == "accuracy":
        assert values.count(max(values)) > 1  # or the last of the best would be the first
    # A training that ends there has the weights that the longer one keeps.
    shorter, kept = (
        torch.load(path / "checkpoints" / name)["weights"]
        for path, name in ((train(best), "last.pt"), (run, "best.pt"))
    )
    assert all(torch.equal(kept[name], weights) for name, weights in shorter.items())
    content = torch.load(run / "checkpoints" / "best.pt")
    names = ["classes", "config", "features", "plugins", "schema_version", "weights"]
    assert sorted(content) == names
    config = load_run(run).config
    data = open_dataset(config.data.val, config.data.classes)
    batch = next(JetLoader(data, len(data), shuffle=False).epoch(0))
    logits = load_run(run).model(batch)
    if best_by == "loss":
        assert F.cross_entropy(logits, batch.labels).item() == pytest.approx(min(values), rel=1e-5)
    else:
        right = (logits.argmax(dim=1) == batch.labels).double().mean().item()
        assert right == pytest.approx(max(values))


def test_of_epochs_of_equal_accuracy_the_first_is_the_best(tmp_path):
    def run(epochs: int) -> Path:
        overrides = (f"training.epochs={epochs}", "optimizer.lr=1e-6", "schedule.name=constant")
        return train_run(toy_config(tmp_path, *overrides), tmp_path / f"epochs-{epochs}")

    one, three = run(1), run(3)
    accuracies = [line["val_accuracy"] for line in _history(three)]
    assert accuracies == [accuracies[0]] * 3  # steps too small to change a decision
    best, first, last = (
        torch.load(path / "checkpoints" / name)["weights"]
        for path, name in ((three, "best.pt"), (one, "last.pt"), (three, "last.pt"))
    )
    assert all(torch.equal(best[name], first[name]) for name in first)
    assert not all(torch.equal(best[name], last[name]) for name in last)


def test_without_an_accuracy_the_best_epoch_is_that_of_the_lowest_loss(tmp_path):
    overrides = ("objective={name: contrastive}", "data.classes={}", "training.epochs=2")
    by_default, by_loss = (
        train_run(toy_config(tmp_path, *overrides, *more), tmp_path / name)
        for name, more in (("default", []), ("loss", ["training.best_by=loss"]))
    )
    assert same_weights(by_default, by_loss, "best.pt")


def test_validation_may_be_rarer_but_the_last_epoch_has_one(tmp_path):
    config = toy_config(tmp_path, "training.epochs=5", "training.validate_every=2")
    history = _history(train_run(config, tmp_path / "run"))
    assert ["val_loss" in line for line in history] == [False, True, False, True, True]


def test_without_validation_the_last_epoch_is_the_best(tmp_path):
    run = train_run(toy_config(tmp_path, "data.val=[]"), tmp_path / "run")
    assert "val_loss" not in _history(run)[-1]
    best, last = (torch.load(run / "checkpoints" / n)["weights"] for n in ("best.pt", "last.pt"))
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_one_batch_is_overfitted(tmp_path):
    config = toy_config(
        tmp_path,
        "training={steps: 90, steps_per_epoch: 30, batch_size: 20, device: cpu}",
        "optimizer={name: adam, lr: 0.02}",
        "schedule.name=constant",
        "model.particle_dims=[32]",
        "data.val=[]",
        jets=20,
    )
    history = _history(train_run(config, tmp_path / "run"))
    assert history[0]["train_loss"] > 0.4
    assert history[-1]["train_loss"] < 0.1
    assert history[-1]["train_accuracy"] == 1


def test_a_clipped_gradient_has_the_norm_that_is_asked_for(tmp_path):
    # Adam's first step has the size of the rate whatever the gradient; eps makes it show.
    base = ("training.steps=1", "optimizer={name: adam, lr: 1.0, eps: 1.0e3}", "data.val=[]")
    moved = []
    for number, norm in enumerate(("0.001", "0.002")):
        config = toy_config(tmp_path, *base, f"training.max_grad_norm={norm}")
        run = train_run(config, tmp_path / f"run{number}")
        torch.manual_seed(config.training.seed)
        start = build_model(config.model, config.features, 2).state_dict()
        end = load_run(run, "last").model.state_dict()
        moved.append(torch.cat([(end[k] - start[k]).double().flatten() for k in start]).norm())
    assert moved[0].item() == pytest.approx(1e-3 / 1e3, rel=0.02)
    assert moved[1].item() == pytest.approx(2e-3 / 1e3, rel=0.02)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.float32), ("fp64", torch.float64)])
def test_other_precisions_train_and_keep_their_weights(tmp_path, precision, dtype):
    config = toy_config(tmp_path, f"training.precision={precision}")
    run = train_run(config, tmp_path / "run")
    exact = _history(train_run(toy_config(tmp_path), tmp_path / "exact"))
    weights = torch.load(run / "checkpoints" / "last.pt")["weights"]
    assert {weight.dtype for weight in weights.values()} == {dtype}
    losses = [line["train_loss"] for line in _history(run)]
    expected = [line["train_loss"] for line in exact]
    assert losses == pytest.approx(expected, rel=0.05 if precision == "bf16" else 1e-4)
    assert losses != expected


def test_a_loss_that_is_not_finite_names_step_files_and_rows(tmp_path):
    config = toy_config(tmp_path, "optimizer.lr=1e38", "schedule.name=constant")
    with pytest.raises(InputError) as refusal:
        train_run(config, tmp_path / "run")
    message = str(refusal.value)
    assert "the loss of step 2 is nan, not a finite number" in message
    assert "docs/how_to/loss_not_finite.md" in message
    bad = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    assert bad["step"] == 2
    data = open_dataset(config.data.train, config.data.classes)
    batches = JetLoader(data, 16, shuffle=True, seed=0).epoch(0)
    second = [batch.index.numpy() for batch in batches][1]
    assert bad["jets"] == {config.data.train[0]: sorted(second.tolist())}
    first_rows = ", ".join(map(str, sorted(second.tolist())[:5]))
    assert f"{config.data.train[0]} rows {first_rows} …" in message
    assert message in (tmp_path / "run" / "train.log").read_text()


def test_a_checkpoint_is_never_written_after_a_bad_loss(tmp_path):
    config = toy_config(
        tmp_path, "optimizer.lr=1e38", "schedule.name=constant", "training.checkpoint_every=1"
    )
    with pytest.raises(InputError, match="the loss of step 2 is nan"):
        train_run(config, tmp_path / "run")
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.pt")
    assert content["state"]["step"] == 1


def test_jets_of_several_files_are_named_by_file(tmp_path):
    config = toy_config(tmp_path, "optimizer.lr=1e38", "training.batch_size=70")
    write_toptagging_h5(tmp_path / "more.h5", toy_jets(10, 5))
    config = toy_config(
        tmp_path,
        f"data.train=[{tmp_path}/train.h5, {tmp_path}/more.h5]",
        "optimizer.lr=1e38",
        "training.batch_size=70",
    )
    with pytest.raises(InputError, match=r"train\.h5 rows 0, 1, 2, 3, 4 …; .*more\.h5 rows 0, 1,"):
        train_run(config, tmp_path / "run")


def test_a_compiled_network_trains_as_the_plain_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _, **kwargs: compiled.append(kwargs))
    compiled = []
    train_run(toy_config(tmp_path, "training.compile=true", "training.epochs=1"), tmp_path / "run")
    assert compiled == [{"dynamic": True}]


def test_a_loss_that_is_not_finite_is_never_the_best(tmp_path, monkeypatch):
    losses = [math.nan, 2.0, 1.0]
    means = Trainer._means

    def with_these_losses(self, prefix, sums):
        values = means(self, prefix, sums)
        if prefix == "val":
            values["val_loss"] = losses[len(self.state.history)]
        return values

    monkeypatch.setattr(Trainer, "_means", with_these_losses)
    config = toy_config(tmp_path, "training.best_by=loss", "training.epochs=3")
    checkpoints = train_run(config, tmp_path / "run") / "checkpoints"
    best, last = (
        torch.load(checkpoints / name, weights_only=True)["weights"]
        for name in ("best.pt", "last.pt")
    )
    assert all(torch.equal(best[name], last[name]) for name in last)
