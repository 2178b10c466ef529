"""Averages of weights: ``training.weight_average``."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import SMALL
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.training.averaging import WeightAverage
from parttag.training.monitor import PreemptionError

AVERAGED = ("training.weight_average=0.8", "training.epochs=3", "optimizer.lr=0.05")
TRANSFORMER = {"name": "particle_transformer", **SMALL["particle_transformer"]}


def weights_of(run, name):
    return torch.load(run / "checkpoints" / name, weights_only=True)["weights"]


def test_the_average_follows_as_written():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    values, average = [3.0, -1.0, 4.0, 1.0, 5.0], WeightAverage(model, 0.25)
    expected = model[0].weight.item()
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            model[0].weight.fill_(value)
            model[1].running_mean.fill_(-value)
        average.update(step)
        decay = min(0.25, step / (step + 9))
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert model[0].weight.item() == pytest.approx(expected, rel=1e-6)
        assert model[1].running_mean.item() < 0
    assert model[0].weight.item() == values[-1]
    with pytest.raises(RuntimeError, match="stop"), average.in_place():
        raise RuntimeError("stop")
    assert model[0].weight.item() == values[-1]


def test_the_average_is_kept_as_best_and_the_training_is_that_without_it(tmp_path):
    plain = train_run(toy_config(tmp_path, *AVERAGED[1:]), tmp_path / "plain")
    run = train_run(toy_config(tmp_path, *AVERAGED), tmp_path / "run")
    assert same_weights(plain, run)
    kept, last = weights_of(run, "best.pt"), weights_of(run, "last.pt")
    assert any(not torch.equal(kept[name], last[name]) for name in kept)
    # What is validated is what is kept.
    tagger = load_run(run)
    found = evaluate_run(tagger, tmp_path / "val.h5")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    accuracies = [json.loads(line)["val_accuracy"] for line in lines]
    assert found.accuracy.value == pytest.approx(max(accuracies), abs=1e-6)


def test_an_interrupted_training_goes_on_with_its_average(tmp_path):
    config = toy_config(tmp_path, *AVERAGED, "training.checkpoint_every=1", model=TRANSFORMER)
    whole = train_run(config, tmp_path / "whole")
    left = iter(range(6))

    def stop(items, *, total, description):
        for item in items:
            if description.startswith("epoch") and next(left, None) is None:
                raise PreemptionError("now")
            yield item

    with pytest.raises(PreemptionError):
        train_run(config, tmp_path / "run", progress=stop)
    train_run(config, tmp_path / "run")
    assert same_weights(whole, tmp_path / "run")
    assert same_weights(whole, tmp_path / "run", "best.pt")


def test_an_average_of_another_network_is_refused(tmp_path):
    average = WeightAverage(nn.Linear(2, 2), 0.9)
    other = WeightAverage(nn.Linear(3, 2), 0.9).state_dict()
    for state in (None, [], other, {"weight": 1, "bias": 2}):
        with pytest.raises(InputError, match=r"last\.pt: its average of weights is of another"):
            average.load_state_dict(state, tmp_path / "last.pt")
    own = {name: torch.full_like(value, 7.0) for name, value in average.state_dict().items()}
    average.load_state_dict(own, tmp_path / "last.pt")
    assert np.all(average.state_dict()["weight"].numpy() == 7)
