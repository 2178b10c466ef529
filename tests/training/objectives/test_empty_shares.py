"""A rank's share of a small last batch may be no jets at all, whatever is trained on what."""

import pytest
import torch

from helpers.golden import CASES, one_thread, train_others
from helpers.runs import toy_config
from parttag.runs.run import build_network
from parttag.testing import toy_batch
from parttag.training.tokenizers import take_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden")
    train_others(path)
    return path


# The loss of a distillation is that of a classification, of targets that a training gives it.
@pytest.mark.parametrize(
    "case", [c for c in CASES.values() if c.objective != "distill"], ids=lambda case: case.name
)
def test_a_share_without_jets_has_no_loss_and_gradients_of_the_same_parameters(case, folder):
    overrides = [option.replace("{folder}", str(folder)) for option in case.options]
    config = toy_config(
        folder, f"objective.name={case.objective}", *overrides, model=case.network()
    )
    model, objective = build_network(config)
    take_tokenizer(model, config.tokenizer_from, config.init_from)
    model.train()

    def gradients(batch):
        model.zero_grad()
        sums = objective(model, batch)
        sums.loss.backward()
        return sums, {k: p.grad for k, p in model.named_parameters() if p.grad is not None}

    jets = toy_batch(8)
    with one_thread():
        _, others = gradients(jets)
        for _ in range(6):  # what a network does only after some batches, such as trimming
            sums, own = gradients(jets.span(0, 0))
    assert sums.loss.item() == 0
    assert sums.weight.item() == 0
    assert own.keys() == others.keys()
    assert all(torch.isfinite(gradient).all() for gradient in own.values())
