"""What trains a tokenizer: its loss and metrics, restated jet by jet."""

import math

import pytest
import torch

from helpers.networks import small_network
from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.models.particle_tokenizer import frame_axis, token_p4
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64
from parttag.training.objectives import build_objective
from parttag.training.objectives.tokenize import TokenizeOptions

LENGTHS = [5, 1, 0, 17]


def tokenizer_and_batch(**options):
    network = small_network("particle_tokenizer").double()
    objective = build_objective(TokenizeOptions(**options), network)
    batch = toy_batch(lengths=LENGTHS, seed=3).to("cpu", torch.float64)
    batch.jet_weights[:] = torch.tensor([1.0, 2.0, 1.0, 0.5])
    return network, objective, batch


@pytest.mark.parametrize(("reconstruction", "power"), [("mse", 2), ("l1", 1)])
def test_the_loss_is_the_mean_over_a_jets_particles_then_over_jets(reconstruction, power):
    network, objective, batch = tokenizer_and_batch(reconstruction=reconstruction, commitment=0.7)
    network.eval()
    sums = objective(network, batch)
    tokens, features = network.tokenize(batch), network.inputs(batch)
    losses = ((tokens.features - features).abs() ** power).mean(dim=1) + 0.7 * tokens.commitment
    means = [jet.mean() if len(jet) else torch.tensor(0.0) for jet in losses.split(LENGTHS)]
    expected = means[0] + 2 * means[1] + 0.5 * means[3]
    torch.testing.assert_close(sums.loss, expected, **FLOAT64)
    assert sums.weight == 4.5


def test_the_published_losses_add_up_features_or_divide_by_the_slots():
    network, objective, batch = tokenizer_and_batch(
        reconstruction="l1", sum_features=True, commitment=0.7
    )
    network.eval()
    tokens, features = network.tokenize(batch), network.inputs(batch)
    losses = (tokens.features - features).abs().sum(dim=1) + 0.7 * tokens.commitment
    means = [jet.mean() if len(jet) else torch.tensor(0.0) for jet in losses.split(LENGTHS)]
    expected = means[0] + 2 * means[1] + 0.5 * means[3]
    torch.testing.assert_close(objective(network, batch).loss, expected, **FLOAT64)

    objective = build_objective(TokenizeOptions(slots=20, commitment=0), network)
    padded = torch.zeros(4, 20, 3, dtype=torch.float64)
    for number, jet in enumerate((tokens.features - features).split(LENGTHS)):
        padded[number, : len(jet)] = jet
    expected = (batch.jet_weights * padded.square().mean(dim=(1, 2))).sum()
    torch.testing.assert_close(objective(network, batch).loss, expected, **FLOAT64)


def test_metrics_are_what_their_names_say():
    network, objective, batch = tokenizer_and_batch()
    network.eval()
    metrics = objective(network, batch).metrics
    assert set(metrics) == set(objective.metric_names)
    tokens, features = network.tokenize(batch), network.inputs(batch)
    axis = frame_axis(batch, "hardest")
    jets = [p4.sum(dim=0) for p4 in batch.p4.split(LENGTHS)]
    decoded = [p4.sum(dim=0) for p4 in token_p4(tokens.features, axis).split(LENGTHS)]
    weights = batch.jet_weights.tolist()
    mass_error = sum(
        weight * (kinematics.mass(one) - kinematics.mass(other)).abs()
        for weight, one, other in zip(weights, decoded, jets, strict=True)
    )
    torch.testing.assert_close(metrics["jet_mass_error"], mass_error, **FLOAT64)
    pt_error = sum(
        weight * (kinematics.pt(decoded[n]) / kinematics.pt(jets[n]) - 1).abs()
        for n, weight in enumerate(weights)
        if LENGTHS[n]
    )
    torch.testing.assert_close(metrics["jet_pt_error"], pt_error, **FLOAT64)
    log_pt = (tokens.features - features)[:, 0].abs().split(LENGTHS)
    expected = log_pt[0].mean() + 2 * log_pt[1].mean() + 0.5 * log_pt[3].mean()
    torch.testing.assert_close(metrics["pt_error"], expected, **FLOAT64)
    counts = torch.bincount(tokens.codes, minlength=12).double()
    shares = [n / 23 for n in counts.tolist() if n]
    torch.testing.assert_close(metrics["codebook_use"].item(), 4.5 * len(shares) / 12)
    perplexity = math.exp(-sum(p * math.log(p) for p in shares))
    torch.testing.assert_close(metrics["perplexity"].item(), 4.5 * perplexity)


def test_a_batch_without_jets_gives_zeros_and_a_gradient_of_zero_for_all_parameters():
    network = small_network("particle_tokenizer").train()
    objective = build_objective(TokenizeOptions(), network)
    sums = objective(network, toy_batch(0))
    assert (sums.loss.item(), sums.weight.item()) == (0, 0)
    assert all(value.item() == 0 for value in sums.metrics.values())
    sums.loss.backward()
    assert all(not parameter.grad.any() for parameter in network.parameters())


def test_training_brings_particles_back_from_their_codes():
    network = small_network("particle_tokenizer", num_codes=32).train()
    objective = build_objective(TokenizeOptions(), network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    batch, errors = toy_batch(20), []
    torch.manual_seed(0)
    for _ in range(60):
        sums = objective(network, batch)
        sums.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(sums.metrics["pt_error"].item() / 20)
    assert errors[-1] < 0.5
    assert errors[-1] < 0.4 * errors[0]


def test_another_network_is_refused():
    with pytest.raises(InputError, match=r"give model\.name=particle_tokenizer"):
        build_objective(TokenizeOptions(), small_network("pfn"))
