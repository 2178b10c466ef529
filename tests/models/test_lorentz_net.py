"""LorentzNet: counts, symmetry, and its definition with one row for every pair."""

import os
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from helpers.lorentz import random_lorentz, transformed_logits
from helpers.networks import small_network
from parttag.data.readers import read_chunks
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.models import build_model
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.layers.beam_particles import minkowski
from parttag.models.lorentz_net import LorentzNet, LorentzNetOptions, psi
from parttag.models.weaver import read_network
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK

SHARED_DATA = os.environ.get("PARTTAG_SHARED_DATA")
LENGTHS = [1, 2, 16, 0, 40, 5]


def double_batch(lengths=LENGTHS, seed=0):
    return toy_batch(lengths=lengths, seed=seed).to("cpu", torch.float64)


def network_without_dropout(**options):
    network = small_network("lorentz_net", dropout=0.0, **options).double()
    with torch.no_grad():  # the published initialization hardly moves the vectors
        for block in network.backbone.blocks[:-1]:
            block.step[2].weight.mul_(1000)
    return network


def test_the_published_network_has_its_number_of_parameters():
    network = build_model(LorentzNetOptions(), "kin", 2)
    assert sum(p.numel() for p in network.parameters()) == 224_072


def pairwise_logits(network, batch, batch_norms=None, *, clamp=None, length=None):
    """Return the logits by the published layers, on a list of all ordered pairs of all jets.

    Torch's own batch norms, which take the place of ours, are added to ``batch_norms``. The steps
    are cut at ±``clamp``, and the mean over the nodes is their sum over ``length``, as published.
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
            steps = difference * block.step(message)
            total = sum_over_j(steps if clamp is None else steps.clip(-clamp, clamp))
            x = x + block.coordinate_step * total / sum_over_j(torch.ones_like(square)[:, None])
        first, batch_norm, _, last = block.update
        updated = first(torch.cat([h, sum_over_j(message), inputs], dim=1))
        h = h + last(F.relu(norm(batch_norm, updated)))
    sums = torch.stack([h[jet == number].sum(dim=0) for number in range(len(sizes))])
    return network.head(sums / (torch.tensor(sizes)[:, None] if length is None else length))


REFERENCE = {"reference": True, "reference_padding": True, "reference_length": 50}


@pytest.mark.parametrize(
    ("training", "options", "pieces"),
    [
        (False, {}, {}),
        (True, {}, {}),
        (False, {"reference": True}, {"clamp": 100}),
        (True, REFERENCE, {"clamp": 100, "length": 50}),
    ],
)
def test_logits_and_gradients_are_those_of_the_list_of_pairs(training, options, pieces):
    network = network_without_dropout(**options).train(training)
    batch = double_batch()
    theirs, ours = pairwise_logits(network, batch, **pieces), network(batch)
    plain = pairwise_logits(network, batch)
    assert bool(pieces) == ((theirs - plain).abs().max() > 1e-4).item()  # the pieces matter
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


@pytest.mark.skipif(SHARED_DATA is None, reason="set PARTTAG_SHARED_DATA")
def test_the_published_weights_give_the_logits_of_the_published_layers():
    folder = Path(SHARED_DATA)
    weights = folder / "weights" / "LorentzNet_top.pt"
    network = read_network(weights, None, "lorentz_net").network.double()
    jets = next(read_chunks(folder / "toptagging" / "test.h5", chunk_jets=6))
    batch = make_batch(jets).to("cpu", torch.float64)
    with torch.no_grad():
        ours, theirs = network(batch), pairwise_logits(network, batch, clamp=100)
        free = pairwise_logits(network, batch)
    scale = theirs.abs().max()
    assert (ours - theirs).abs().max() < 1e-6 * scale
    assert (free - theirs).abs().max() > 1e-3 * scale  # the clamp is reached


def test_the_clamp_of_the_published_network_breaks_the_symmetry():
    network = network_without_dropout(reference=True).eval()
    batch = double_batch([1, 2, 16, 40])
    with torch.no_grad():
        expected = network(batch)
    logits = transformed_logits(network, batch, random_lorentz(3))
    assert (logits - expected).abs().max() > 1e-3


def test_the_fixed_length_is_not_that_of_the_batch():
    network = small_network("lorentz_net", **REFERENCE).double().eval()
    with torch.no_grad():
        alone, beside = (network(double_batch(lengths)) for lengths in ([16], [16, 40]))
    torch.testing.assert_close(alone[0], beside[0], **FLOAT64_NETWORK)


def test_the_fixed_length_has_room_for_all_particles():
    with pytest.raises(
        ValidationError, match="max_particles must be at most 200: reference_length"
    ):
        LorentzNetOptions(reference_padding=True, max_particles=201)
    network = small_network("lorentz_net", **REFERENCE).double().eval()
    with torch.no_grad():
        whole, cut = network(double_batch([60])), network(double_batch([60]).leading(48))
    assert network.max_particles == 48
    assert torch.equal(whole, cut)


def test_scalars_may_be_features_and_then_there_are_no_beams():
    options = {"scalars": "features", "dropout": 0.0}
    network = small_network("lorentz_net", **options).double().eval()
    batch = double_batch([1, 5, 3])
    assert network.backbone.embedding.in_features == len(network.feature_names)
    features = particle_features(batch, network.feature_names)
    x, h = batch.p4[1:6], network.backbone.embedding(features[1:6])
    i, j = (~torch.eye(5, dtype=torch.bool)).nonzero().t()
    for block in network.backbone.blocks:
        pair = torch.stack([psi(minkowski(x[i] - x[j], x[i] - x[j])), psi(minkowski(x[i], x[j]))])
        first = block.first_linear(torch.cat([h[i], h[j], pair.t()], dim=1))
        m = F.relu(block.message(F.relu(block.pair_norm(first))))
        m = m * block.gate(m).sigmoid()
        if block.step is not None:
            steps = (x[i] - x[j]) * block.step(m)
            x = x + block.coordinate_step * torch.zeros_like(x).index_add(0, i, steps) / 4
        sums = torch.zeros_like(h).index_add(0, i, m)
        h = h + block.update(torch.cat([h, sums, features[1:6]], dim=1))
    logits = network(batch)
    torch.testing.assert_close(logits[1], network.head(h.mean(dim=0)), **FLOAT64_NETWORK)
    assert logits.isfinite().all()  # a particle alone has no pair


def test_footnotes_say_what_is_as_published():
    clamp, padding = LorentzNet.footnotes(LorentzNetOptions(reference=True))
    assert "therefore not Lorentz invariant" in clamp
    assert padding.startswith("padding takes no part")
    assert "not clamped" in LorentzNet.footnotes(LorentzNetOptions())[0]


def test_minkowski_products_and_psi_by_hand():
    first, second = torch.tensor([1.0, 2, 3, 10]), torch.tensor([4.0, 5, 6, 20])
    assert minkowski(first, second).item() == 200 - 32
    torch.testing.assert_close(
        psi(torch.tensor([-(torch.e - 1), 0.0, torch.e**2 - 1])), torch.tensor([-1.0, 0, 2])
    )
