"""LorentzNet: counts, symmetry, and its definition with one row for every pair."""

import pytest
import torch
from torch.nn import functional as F

from helpers.lorentz import random_lorentz, transformed_logits
from helpers.networks import small_network
from parttag.models import build_model
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.lorentz_net import LorentzNetOptions, minkowski, psi
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK

LENGTHS = [1, 2, 16, 0, 40, 5]


def double_batch(lengths=LENGTHS, seed=0):
    return toy_batch(lengths=lengths, seed=seed).to("cpu", torch.float64)


def network_without_dropout():
    network = small_network("lorentz_net", dropout=0.0).double()
    with torch.no_grad():  # the published initialization hardly moves the vectors
        for block in network.backbone.blocks[:-1]:
            block.step[2].weight.mul_(1000)
    return network


def test_the_published_network_has_its_number_of_parameters():
    network = build_model(LorentzNetOptions(), "kin", 2)
    assert sum(p.numel() for p in network.parameters()) == 224_072


def pairwise_logits(network, batch, batch_norms=None):
    """Return the logits by the published layers, on a list of all ordered pairs of all jets.

    Torch's own batch norms, which take the place of ours, are added to ``batch_norms``.
    """
    batch_norms = [] if batch_norms is None else batch_norms
    backbone = network.backbone
    parts = [batch.p4[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    x = torch.cat([torch.cat([backbone.beams, p]) for p in parts])
    sizes = [len(p) + 2 for p in parts]
    jet = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    i, j = ((jet[:, None] == jet) & ~torch.eye(len(jet), dtype=torch.bool)).nonzero().t()
    mass = (x[:, 3] ** 2 - (x[:, :3] ** 2).sum(1)).abs().sqrt().log1p()
    is_beam = torch.cat([torch.arange(size) < 2 for size in sizes])
    inputs = torch.stack([mass * ~is_beam, mass * is_beam], dim=1)
    h = backbone.embedding(inputs)

    def norm(layer, values):
        batch_norm = torch.nn.BatchNorm1d(len(layer.weight), dtype=torch.float64)
        batch_norm.load_state_dict(layer.state_dict())
        batch_norm.weight, batch_norm.bias = layer.weight, layer.bias
        batch_norms.append(batch_norm.train(layer.training))
        return batch_norm(values)

    def sum_over_j(values):
        return torch.zeros(len(x), values.shape[1], dtype=values.dtype).index_add(0, i, values)

    for block in backbone.blocks:
        difference = x[i] - x[j]
        square = difference[:, 3] ** 2 - (difference[:, :3] ** 2).sum(1)
        dot = x[i, 3] * x[j, 3] - (x[i, :3] * x[j, :3]).sum(1)
        invariants = torch.stack([v.sign() * (v.abs() + 1).log() for v in (square, dot)], dim=1)
        message = block.first_linear(torch.cat([h[i], h[j], invariants], dim=1))
        message = F.relu(block.message(F.relu(norm(block.pair_norm, message))))
        message = message * block.gate(message).sigmoid()
        if block.step is not None:
            total = sum_over_j(difference * block.step(message))
            x = x + block.coordinate_step * total / sum_over_j(torch.ones_like(square)[:, None])
        first, batch_norm, _, last = block.update
        updated = first(torch.cat([h, sum_over_j(message), inputs], dim=1))
        h = h + last(F.relu(norm(batch_norm, updated)))
    means = torch.stack([h[jet == number].mean(dim=0) for number in range(len(sizes))])
    return network.head(means)


@pytest.mark.parametrize("training", [False, True])
def test_logits_and_gradients_are_those_of_the_list_of_pairs(training):
    network = network_without_dropout().train(training)
    batch = double_batch()
    theirs, ours = pairwise_logits(network, batch), network(batch)
    torch.testing.assert_close(ours, theirs, **FLOAT64_NETWORK)
    parameters = list(network.parameters())
    for mine, expected in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        # A bias before a batch norm has no gradient but rounding.
        atol = 1e-8 * max(expected.abs().max().item(), 1e-6)
        torch.testing.assert_close(mine, expected, rtol=1e-7, atol=atol)


def test_batch_norms_remember_mean_and_variance_of_real_nodes_and_pairs():
    network = network_without_dropout().train()
    batch, expected = double_batch(), []
    pairwise_logits(network, batch, expected)
    network(batch)
    norms = [module for module in network.modules() if isinstance(module, PackedBatchNorm)]
    assert len(norms) == len(expected) == 4
    for mine, theirs in zip(norms, expected, strict=True):
        torch.testing.assert_close(mine.running_mean, theirs.running_mean, **FLOAT64_NETWORK)
        torch.testing.assert_close(mine.running_var, theirs.running_var, **FLOAT64_NETWORK)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_logits_do_not_change_under_boosts_and_rotations(seed):
    network = network_without_dropout().eval()
    batch = double_batch([1, 2, 16, 40])
    with torch.no_grad():
        expected = network(batch)
    logits = transformed_logits(network, batch, random_lorentz(seed))
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-7)
    # They do change if the jet is moved and the beams are not.
    network.backbone.beams = network.backbone.beams @ torch.from_numpy(random_lorentz(seed).T)
    assert (network(batch) - expected).abs().max() > 1e-3


def test_minkowski_products_and_psi_by_hand():
    first, second = torch.tensor([1.0, 2, 3, 10]), torch.tensor([4.0, 5, 6, 20])
    assert minkowski(first, second).item() == 200 - 32
    torch.testing.assert_close(
        psi(torch.tensor([-(torch.e - 1), 0.0, torch.e**2 - 1])), torch.tensor([-1.0, 0, 2])
    )
