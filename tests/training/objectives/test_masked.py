"""Masked particle modelling: what is hidden, that it stays hidden, and the loss restated."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.leaks import SEED, check_no_leak
from helpers.networks import small_network
from parttag.errors import InputError
from parttag.models.layers.masking import visible_jets
from parttag.models.particle_tokenizer import token_features
from parttag.options import read_options
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64
from parttag.training.objectives import build_objective
from parttag.training.objectives.masked import MaskedOptions, PositionHead, draw_hidden

ENCODERS = ("particle_transformer", "plain_transformer", "mpm")
LENGTHS = [5, 1, 0, 17, 2]
SMALL_TOKENIZER = {"num_codes": 12, "width": 16, "hidden_dim": 16, "num_layers": 1, "num_heads": 4}


def masked(name="mpm", **options):
    network = small_network(name).double()
    sizes = {"width": 16, "dense_dim": 12, "num_heads": 4, "tokenizer": SMALL_TOKENIZER}
    objective = build_objective(MaskedOptions(**{**sizes, **options}), network)
    for parameter in network.head.parameters():  # a fresh position changes nothing
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    network.double()
    return network, objective


def double_batch(lengths=LENGTHS):
    return toy_batch(lengths=lengths, seed=3).to("cpu", torch.float64)


@pytest.mark.parametrize("share", [0.3, 0.29])
def test_the_share_of_each_jet_is_hidden_and_at_least_one_of_two(share):
    lengths = np.array([0, 1, 2, 3, 4, 7, 10, 20, 100])
    torch.manual_seed(0)
    hidden = draw_hidden(lengths, share)
    counts = [part.sum() for part in np.split(hidden, np.cumsum(lengths)[:-1])]
    expected = {0.3: [0, 0, 1, 1, 1, 2, 3, 6, 30], 0.29: [0, 0, 1, 1, 1, 2, 2, 5, 29]}
    assert counts == expected[share]


def test_every_particle_is_hidden_equally_often():
    torch.manual_seed(0)
    times = draw_hidden(np.full(4000, 10), 0.3).reshape(4000, 10).mean(axis=0)
    np.testing.assert_allclose(times, 0.3, atol=0.03)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ENCODERS)
def test_no_output_of_an_encoder_depends_on_hidden_particles(name, training):
    network = small_network(name).double().train(training)
    batch = double_batch()
    hidden = np.zeros(25, dtype=bool)
    hidden[[0, 3, 5, 6, 22, 23]] = True  # the hardest of three jets, and all of one
    placeholder = torch.ones(network.particle_width, dtype=torch.float64)

    def particles(batch):
        return deepcopy(network).encode_particles(batch, hidden, placeholder)

    check_no_leak(particles, batch, hidden)


@pytest.mark.parametrize("options", [{}, {"positions": "jet"}, {"target": "features"}], ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_no_prediction_depends_on_what_is_to_be_predicted(name, options):
    network, objective = masked(name, **options)
    seen = []
    network.head.register_forward_hook(lambda module, args, output: seen.append((args, output)))
    batch = double_batch([5, 0, 17, 2])

    def predictions(batch):
        objective(deepcopy(network).train(), batch)
        return seen[-1][1]

    torch.manual_seed(SEED)
    predictions(batch)
    hidden = seen[-1][0][2]
    assert hidden.sum() == 1 + 5 + 1
    check_no_leak(predictions, batch, hidden)


def test_the_loss_is_the_cross_entropy_averaged_over_a_jets_hidden_particles():
    network, objective = masked(positions="none")
    network.eval()
    batch = double_batch()
    batch.jet_weights[:] = torch.tensor([1.0, 1.0, 1.0, 0.5, 2.0])
    torch.manual_seed(1)
    sums = objective(network, batch)
    torch.manual_seed(1)
    hidden = draw_hidden(batch.lengths, 0.3)
    particles = network.encode_particles(batch, hidden, network.head.placeholder)
    logits = network.head.output(particles)
    codes = network.head.tokenizer.codes(batch)
    losses = F.cross_entropy(logits, codes, reduction="none")
    right = (logits.argmax(dim=1) == codes).double()
    jet = np.repeat(np.arange(5), LENGTHS)
    loss = accuracy = 0.0
    for number, weight in ((0, 1.0), (3, 0.5), (4, 2.0)):
        own = hidden & (jet == number)
        loss += weight * losses[own].mean()
        accuracy += weight * right[own].mean()
    torch.testing.assert_close(sums.loss, loss, **FLOAT64)
    torch.testing.assert_close(sums.metrics["token_accuracy"], accuracy, **FLOAT64)
    assert sums.weight == 5.5  # jets of which nothing can be hidden count, with a loss of zero


def test_features_are_predicted_relative_to_the_visible_particles():
    network, objective = masked(target="features", distance="l1", positions="none")
    network.eval()
    batch = double_batch([6, 9])
    torch.manual_seed(1)
    sums = objective(network, batch)
    torch.manual_seed(1)
    hidden = draw_hidden(batch.lengths, 0.3)
    particles = network.encode_particles(batch, hidden, network.head.placeholder)
    jet = np.repeat([0, 1], [6, 9])
    axis = visible_jets(batch, hidden).jet_axis[jet]
    difference = network.head.output(particles) - token_features(batch.p4, axis)
    expected = sum(difference[hidden & (jet == n)].abs().mean() for n in (0, 1))
    torch.testing.assert_close(sums.loss, expected, **FLOAT64)
    pt_error = sum(difference[hidden & (jet == n), 0].abs().mean() for n in (0, 1))
    torch.testing.assert_close(sums.metrics["pt_error"], pt_error.detach(), **FLOAT64)


@pytest.mark.parametrize(
    ("positions", "lengths", "expected"),
    [
        ("hidden", [5], [[0, 0], [1, 0], [0, 0], [0, 0], [0, 1]]),
        # The first of either jet, and the second of the second.
        ("jet", [1, 2], [[1, 0], [1, 0], [0, 1]]),
    ],
)
def test_positions_count_hidden_particles_or_all_of_a_jet(positions, lengths, expected):
    options = MaskedOptions(positions=positions, num_positions=2, width=16, num_heads=4)
    head = PositionHead(options, 2).double()
    head.positions.data = torch.eye(2, dtype=torch.float64)
    seen = []
    head.network.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    hidden = np.array([False, True, False, False, True][: sum(lengths)])
    outputs = torch.zeros(sum(lengths), 2, dtype=torch.float64)
    head(outputs, double_batch(lengths), hidden)
    assert seen[0].tolist() == expected


def test_later_particles_share_the_last_position():
    options = MaskedOptions(positions="jet", num_positions=2, width=16, num_heads=4)
    head = PositionHead(options, 2).double()
    head.positions.data = torch.eye(2, dtype=torch.float64)
    seen = []
    head.network.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    head(torch.zeros(4, 2, dtype=torch.float64), double_batch([4]), np.zeros(4, dtype=bool))
    assert seen[0].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]


def test_the_published_position_head_has_the_published_number_of_parameters():
    with torch.device("meta"):
        head = PositionHead(MaskedOptions(num_positions=64), 427)
    count = sum(p.numel() for n, p in head.named_parameters() if n != "positions")
    assert f"{count / 1e6:.2f}" == "0.84"
    assert head.positions.numel() == 64 * 427


def test_the_unigram_baseline_guesses_the_most_frequent_code_so_far():
    network, objective = masked()
    batch = double_batch()
    counts = torch.zeros(12, dtype=torch.long)
    for step in range(3):
        torch.manual_seed(step)
        sums = objective(network.train(), batch)
        torch.manual_seed(step)
        hidden = draw_hidden(batch.lengths, 0.3)
        codes = network.head.tokenizer.codes(batch)
        jet = np.repeat(np.arange(5), LENGTHS)
        right = (codes == counts.argmax()).double()
        expected = sum(right[hidden & (jet == n)].mean() for n in (0, 3, 4))
        torch.testing.assert_close(sums.metrics["unigram_accuracy"], expected, **FLOAT64)
        counts += torch.bincount(codes[hidden], minlength=12)
        assert torch.equal(network.head.token_counts, counts)
    objective(network.eval(), batch)  # a validation does not count
    assert torch.equal(network.head.token_counts, counts)


@pytest.mark.parametrize("options", [{}, {"target": "features"}, {"positions": "none"}], ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_all_that_is_trained_has_a_gradient_even_from_a_batch_without_jets(name, options):
    network, objective = masked(name, **options)
    trained = []
    for number in (8, 0):
        network.train().zero_grad()
        sums = objective(network, toy_batch(number).to("cpu", torch.float64))
        sums.loss.backward()
        trained.append({n for n, p in network.named_parameters() if p.grad is not None})
    assert (sums.loss.item(), sums.weight.item()) == (0, 0)
    assert trained[0] == trained[1]
    frozen = {n for n, p in network.named_parameters() if not p.requires_grad}
    # ParT's class token reads particles, and is left to what comes after.
    classes = ("backbone.class_", "backbone.norm.")
    others = {n for n, _ in network.named_parameters()} - trained[0] - frozen
    assert not {n for n in others if not n.startswith(classes)}


def test_training_learns_what_is_hidden():
    network = small_network("mpm").train()
    options = MaskedOptions(target="features", positions="jet", width=16, dense_dim=12, num_heads=4)
    objective = build_objective(options, network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    batch, errors = toy_batch(lengths=[10] * 10), []
    for _ in range(60):
        torch.manual_seed(0)  # the same particles every time
        sums = objective(network, batch)
        sums.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(sums.metrics["pt_error"].item())
    assert np.mean(errors[-5:]) < 0.6 * errors[0]


def test_a_width_that_does_not_split_into_heads_is_refused():
    with pytest.raises(InputError, match="width, 36, is not a multiple of num_heads, 8"):
        read_options(MaskedOptions, {"width": 36})


def test_a_network_without_particles_is_refused():
    with pytest.raises(InputError, match=r"choose model\.name from mpm, particle_transformer"):
        build_objective(MaskedOptions(), small_network("pfn"))
