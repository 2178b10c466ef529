import math

import torch
from torch import nn

from parttag.models import Tagger, build_model
from parttag.models.pfn import PFNOptions
from parttag.testing import toy_batch
from parttag.training.objectives import build_objective
from parttag.training.objectives.classify import ClassifyOptions


class FixedLogits(Tagger):
    """Gives the logits that it is told."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def encode(self, _):
        return self.logits

    def forward(self, _):
        return self.logits


def test_sums_are_the_weighted_cross_entropy_and_the_weighted_right_answers():
    batch = toy_batch(3)  # labels 0, 1, 0
    batch.jet_weights[:] = torch.tensor([1.0, 2.0, 0.5])
    network = FixedLogits([[0.0, 0.0], [0.0, math.log(3)], [0.0, math.log(9)]])
    sums = build_objective(ClassifyOptions(), network)(network, batch)
    # −ln p of the right class: ln 2, ln(4/3), ln 10; right at argmax: the first (a tie) and second.
    expected = math.log(2) + 2 * math.log(4 / 3) + 0.5 * math.log(10)
    torch.testing.assert_close(sums.loss.item(), expected)
    assert sums.weight.item() == 3.5
    assert sums.metrics["accuracy"].item() == 3.0


def test_the_gradient_is_that_of_the_loss_alone():
    batch = toy_batch(1)
    network = FixedLogits([[0.0, math.log(3)]])
    build_objective(ClassifyOptions(), network)(network, batch).loss.backward()
    # Scores minus the one-hot label.
    torch.testing.assert_close(network.logits.grad, torch.tensor([[0.25 - 1, 0.75]]))


def test_a_batch_without_jets_gives_zeros_and_a_gradient_of_zero():
    network = build_model(PFNOptions(particle_dims=(4,), jet_dims=(4,)), "kin", 2)
    sums = build_objective(ClassifyOptions(), network)(network, toy_batch(0))
    assert (sums.loss.item(), sums.weight.item(), sums.metrics["accuracy"].item()) == (0, 0, 0)
    sums.loss.backward()
    assert all(not parameter.grad.any() for parameter in network.parameters())
