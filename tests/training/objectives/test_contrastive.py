"""The contrastive loss by hand, restated, and on several ranks; what training with it leaves."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.networks import small_network
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.models import Tagger
from parttag.options import read_options
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64
from parttag.training.loop import Trainer
from parttag.training.objectives import build_objective, contrastive
from parttag.training.objectives.contrastive import ContrastiveOptions, compare_views

E1, E2 = [1.0, 0.0], [0.0, 1.0]
SHARES = [5, 0, 1]
WEIGHTS = torch.linspace(0.5, 2, sum(SHARES), dtype=torch.float64)


def compare(first, second, temperature=1.0):
    views = (torch.tensor(view, dtype=torch.float64) for view in (first, second))
    result = compare_views(*views, temperature)
    return {name: getattr(result, name).tolist() for name in result._fields}


def test_two_jets_that_match_and_are_orthogonal():
    # s = 1 with the partner, 0 with both views of the other jet; lengths do not matter.
    result = compare([E1, E2], [[3.0, 0.0], [0.0, 0.5]])
    assert result["loss"] == pytest.approx([math.log(1 + 2 / math.e)] * 2)
    assert result["partner_accuracy"] == [1, 1]
    assert result["alignment"] == pytest.approx([0, 0])
    assert result["uniformity"] == pytest.approx(-4)  # |z − z″|² = 2


def test_two_jets_whose_views_are_exchanged():
    # s = 0 with the partner, 0 with one view of the other jet and 1 with the other one.
    result = compare([E1, E2], [E2, E1], temperature=0.5)
    assert result["loss"] == pytest.approx([math.log(2 + math.e**2)] * 2)
    assert result["partner_accuracy"] == [0, 0]
    assert result["alignment"] == pytest.approx([2, 2])


def test_one_jet_has_nothing_to_be_told_from():
    result = compare([E1], [E2])
    assert (result["loss"], result["uniformity"]) == ([0], 0)


def test_an_encoder_that_has_collapsed_finds_nobody():
    result = compare([E1] * 3, [E1] * 3)
    assert result["loss"] == pytest.approx([math.log(5)] * 3)
    assert result["partner_accuracy"] == [0, 0, 0]
    assert (result["alignment"], result["uniformity"]) == ([0, 0, 0], 0)


def restated(first, second, temperature):
    """Return the numbers of each jet in NumPy, view by view."""
    views = np.concatenate([first, second])
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    number = len(first)
    losses, finds = np.empty(2 * number), np.empty(2 * number)
    for i, anchor in enumerate(views):
        partner = (i + number) % (2 * number)
        others = [k for k in range(2 * number) if k != i]
        similarity = {k: float(anchor @ views[k]) for k in others}
        total = sum(math.exp(s / temperature) for s in similarity.values())
        losses[i] = -math.log(math.exp(similarity[partner] / temperature) / total)
        finds[i] = max(similarity, key=similarity.__getitem__) == partner
    uniformity = []
    for view in (views[:number], views[number:]):
        pairs = [(view[i] - view[j]) @ (view[i] - view[j]) for i in range(number) for j in range(i)]
        uniformity.append(math.log(np.mean(np.exp(-2 * np.array(pairs)))))
    return {
        "loss": losses.reshape(2, number).mean(axis=0),
        "partner_accuracy": finds.reshape(2, number).mean(axis=0),
        "alignment": ((views[:number] - views[number:]) ** 2).sum(axis=1),
        "uniformity": np.mean(uniformity),
    }


def random_views(seed=0):
    """Return views of six jets that are alike, but not the nearest for all."""
    torch.manual_seed(seed)
    first = torch.randn(sum(SHARES), 4, dtype=torch.float64)
    return first, first + 0.8 * torch.randn_like(first)


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_numbers_are_those_of_a_plain_restatement(temperature):
    first, second = random_views()
    expected = restated(first.numpy(), second.numpy(), temperature)
    assert 0 < expected["partner_accuracy"].mean() < 1
    result = compare_views(first, second, temperature)
    for name, value in expected.items():
        ours = getattr(result, name)
        torch.testing.assert_close(ours, torch.tensor(value), **FLOAT64, msg=name)


def test_similarities_are_not_taken_in_bfloat16():
    first, second = (view.float() for view in random_views())
    with torch.autocast("cpu", torch.bfloat16):
        inside = compare_views(first, second, 0.1)
    torch.testing.assert_close(inside.loss, compare_views(first, second, 0.1).loss)


# ------------------------------------------------------------------------------------------ ranks


def test_the_jets_of_a_rank_are_compared_with_those_of_all(monkeypatch):
    views = [view.requires_grad_() for view in random_views()]
    alone = compare_views(*views, 0.3)
    (WEIGHTS * alone.loss).sum().backward()
    expected = [view.grad.clone() for view in views]
    everywhere = torch.cat([F.normalize(view, dim=1) for view in views], dim=1)
    for view in views:
        view.grad = None

    pair_sums = []
    for rank in [*range(len(SHARES))] * 2:  # twice, as a sum is known when all have been there
        start = sum(SHARES[:rank])
        mine = slice(start, start + SHARES[rank])

        def sum_over_ranks(values):
            pair_sums.append(values)
            return sum(pair_sums[-len(SHARES) :])

        monkeypatch.setattr(contrastive, "gather_over_ranks", lambda _: (everywhere, start))  # noqa: B023
        monkeypatch.setattr(contrastive, "sum_over_ranks", sum_over_ranks)
        result = compare_views(*(view[mine] for view in views), 0.3)
        for name in ("loss", "partner_accuracy", "alignment"):
            torch.testing.assert_close(getattr(result, name), getattr(alone, name)[mine], **FLOAT64)
        (WEIGHTS[mine] * result.loss).sum().backward(retain_graph=True)
    torch.testing.assert_close(result.uniformity, alone.uniformity, **FLOAT64)
    for view, gradient in zip(views, expected, strict=True):
        torch.testing.assert_close(view.grad / 2, gradient, **FLOAT64)
        assert gradient.abs().min() > 1e-6


# ------------------------------------------------------------------------------------- networks


class Remembers(Tagger):
    """Encodes a jet as its momentum, and keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)

    def encode(self, batch):
        self.batch = batch
        return batch.jet_p4


def test_sums_are_those_of_the_projected_views_by_the_jets_weights():
    network = Remembers().double()
    batch = toy_batch(6).to("cpu", torch.float64)
    batch.jet_weights[:] = torch.linspace(0.5, 3, 6)
    objective = build_objective(ContrastiveOptions(projection_dims=(5, 3)), network)
    network.double()
    sums = objective(network, batch)
    assert [type(layer).__name__ for layer in network.head] == ["ReLU", "Linear"] * 2
    assert [network.head[i].weight.shape for i in (1, 3)] == [(5, 4), (3, 5)]
    projected = network.head(network.batch.jet_p4)
    contrast = compare_views(projected[:6], projected[6:], 0.1)
    torch.testing.assert_close(sums.loss, (batch.jet_weights * contrast.loss).sum())
    assert sums.weight.item() == pytest.approx(10.5)
    for name in objective.metric_names:
        expected = (batch.jet_weights * getattr(contrast, name)).sum()
        torch.testing.assert_close(sums.metrics[name], expected)
        assert not sums.metrics[name].requires_grad
    assert network.batch.index.tolist() == [*range(6)] * 2


@pytest.mark.parametrize("name", ["jetclr", "pfn", "particle_transformer", "particle_net"])
@pytest.mark.parametrize("number", [6, 1, 0])
def test_any_network_can_be_trained_with_any_number_of_jets(name, number):
    network = small_network(name, "kin").train()
    objective = build_objective(ContrastiveOptions(), network)
    sums = objective(network, toy_batch(number))
    sums.loss.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients) == (number > 1)
    assert all(value.isfinite() for value in (sums.loss, sums.weight, *sums.metrics.values()))


def test_the_views_of_one_batch_are_learned_to_be_matched():
    network = small_network("jetclr", dropout=0.0).train()
    weak = {"rotation": 0.1, "translation": 0.1}
    objective = build_objective(ContrastiveOptions(augmentations=weak), network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    batch, history = toy_batch(30, lengths=[20] * 30), []
    for _ in range(30):
        optimizer.zero_grad()
        sums = objective(network, batch)
        sums.loss.backward()
        optimizer.step()
        history.append((sums.loss.item() / 30, sums.metrics["partner_accuracy"].item() / 30))
    (first_loss, first_accuracy), (last_loss, last_accuracy) = (
        np.mean(part, axis=0) for part in (history[:5], history[-5:])
    )
    assert last_loss < 0.7 * first_loss
    assert last_accuracy > first_accuracy + 0.3


# ------------------------------------------------------------------------------------------ runs

MODEL = {"name": "jetclr", "embed_dim": 8, "num_layers": 1, "feedforward_dim": 8}
PRETRAIN = ("objective.name=contrastive", "training.best_by=loss", "training.epochs=2")


class Killed(BaseException):
    """What a test stops a training with, in place of kill -9."""


def test_a_run_that_was_stopped_goes_on_exactly_and_hands_its_backbone_on(tmp_path, monkeypatch):
    config = toy_config(tmp_path, *PRETRAIN, "training.checkpoint_every=1", model=MODEL)
    whole = train_run(config, tmp_path / "whole")
    train_step = Trainer._step

    def step(trainer, batch):
        if trainer.state.step == 2:
            raise Killed
        train_step(trainer, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_step", step)
        train_run(config, tmp_path / "stopped")
    stopped = train_run(config, tmp_path / "stopped")
    assert same_weights(whole, stopped)
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (whole, stopped)]
    ours, theirs = ([json.loads(line) for line in run] for run in lines)
    names = ("loss", "partner_accuracy", "alignment", "uniformity")
    for key in (f"{part}_{name}" for part in ("train", "val") for name in names):
        assert [line[key] for line in ours] == [line[key] for line in theirs]
        assert np.isfinite(ours[0][key])

    classify = toy_config(tmp_path, f"init_from.path={whole}", "training.steps=2", model=MODEL)
    tuned = load_run(train_run(classify, tmp_path / "tuned"), "last").model
    pretrained = load_run(whole).model
    assert isinstance(pretrained.head, nn.Sequential)
    assert tuned(toy_batch(3)).shape == (3, 2)
    moved = max(
        (tuned.state_dict()[name] - weight).abs().max().item()
        for name, weight in pretrained.state_dict().items()
        if name.startswith("backbone.")
    )
    assert 0 < moved < 0.02  # two steps from where the other run ended


def test_jets_without_classes_are_enough(tmp_path):
    config = toy_config(tmp_path, *PRETRAIN, "training.steps=1", "data.classes={}", model=MODEL)
    assert load_run(train_run(config, tmp_path / "run")).classes == ()


def test_options_out_of_range_are_refused():
    for content, sentence in (
        ({"temperature": 0}, "temperature is 0, but must be greater than 0"),
        ({"augmentations": {"rotation": 2}}, r"augmentations\.rotation is 2, but must be at"),
        ({"augmentations": {"smear": 2}}, r"the nearest known one is augmentations\.smearing"),
        ({"projection_dims": []}, "projection_dims is .* but must have 1 or more"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_options(ContrastiveOptions, content)
