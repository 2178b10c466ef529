"""The fast edge network against its definition, forwards and backwards."""

import copy

import numpy as np
import pytest
import torch

from parttag.models.layers.edge_network import EdgeNetwork
from parttag.ops import edge_training
from parttag.ops.knn import nearest_neighbours
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import FLOAT64

LENGTHS = np.array([5, 0, 1, 17, 6, 30, 2])
SIZES = [((8, 8, 8), False), ((8, 6, 12), False), ((7,), False), ((8, 8), True)]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(edge_training, "_CHUNK", 400)


def case(dims=(8, 8, 8), bias=False, dtype=torch.float64):
    """Return a network that is nowhere trivial, particles, and neighbours some of which miss."""
    torch.manual_seed(3)
    network = EdgeNetwork(5, dims, bias=bias).to(dtype)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.dtype.is_floating_point and value.ndim == 1:
                value.add_(0.3 * torch.rand_like(value))
    particles = torch.randn(LENGTHS.sum(), 5, dtype=dtype)
    return network, particles, nearest_neighbours(particles, 4, JetLayout(LENGTHS))


def run(network, function, particles, neighbours):
    """Return output, running statistics and all gradients of a weighted sum of the output."""
    particles = particles.clone().requires_grad_()
    output = function(particles, neighbours)
    torch.manual_seed(4)
    (output * torch.randn_like(output)).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    return [output.detach(), *network.buffers(), particles.grad, *gradients]


@pytest.mark.parametrize(("dims", "bias"), SIZES)
def test_training_is_the_definitions_training(dims, bias):
    network, *inputs = case(dims, bias)
    definition = copy.deepcopy(network)
    expected = run(definition, definition.reference, *inputs)
    for ours, theirs in zip(run(network, network, *inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64)


@pytest.mark.parametrize(("dims", "bias"), SIZES)
def test_training_with_frozen_norms_is_the_definitions(dims, bias):
    network, *inputs = case(dims, bias)
    for layer in network.layers:
        layer.norm.eval()
    definition = copy.deepcopy(network)
    before = [value.clone() for value in network.buffers()]
    expected = run(definition, definition.reference, *inputs)
    for ours, theirs in zip(run(network, network, *inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64)
    assert all(map(torch.equal, network.buffers(), before))


def test_norms_of_which_some_are_frozen_are_the_definitions():
    network, *inputs = case()
    network.layers[1].norm.eval()
    definition = copy.deepcopy(network)
    expected = run(definition, definition.reference, *inputs)
    for ours, theirs in zip(run(network, network, *inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64)


@pytest.mark.parametrize(("dims", "bias"), SIZES)
def test_evaluation_is_the_definitions_evaluation(dims, bias):
    network, *inputs = case(dims, bias)
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(*inputs), network.reference(*inputs), **FLOAT64)
    expected = run(network, network.reference, *inputs)
    network.zero_grad()
    for ours, theirs in zip(run(network, network, *inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64)


def test_a_missing_neighbour_is_a_zero_vector():
    network, particles, neighbours = case()
    network.eval()
    with_zero = torch.cat([particles, particles.new_zeros(1, 5)])
    with torch.no_grad():
        expected = network(with_zero, torch.cat([neighbours, neighbours[:1]]))[:-1]
        assert (neighbours == len(particles)).any()
        torch.testing.assert_close(network(particles, neighbours), expected, **FLOAT64)


def test_statistics_do_not_cancel_when_the_mean_is_large():
    network, particles, neighbours = case(dtype=torch.float32)
    definition = copy.deepcopy(network).double()
    network(particles + 300, neighbours)
    definition.reference((particles + 300).double(), neighbours)
    for name, value in definition.named_buffers():
        if name.endswith("running_var"):
            torch.testing.assert_close(network.get_buffer(name), value.float(), rtol=2e-3, atol=0)


def test_bfloat16_autocast_is_near_float32():
    network, particles, neighbours = case((16, 16, 16), dtype=torch.float32)
    definition = copy.deepcopy(network)
    expected = run(definition, definition.reference, particles, neighbours)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(particles, neighbours)
    assert output.dtype == torch.float32
    assert (output - expected[0]).norm() / expected[0].norm() < 2e-2


def test_no_particles_give_zero_gradients():
    network, particles, neighbours = case()
    output = network(particles[:0], neighbours[:0])
    assert output.shape == (0, 8)
    output.sum().backward()
    assert not any(parameter.grad.any() for parameter in network.parameters())


def test_a_second_backward_pass_is_refused():
    network, *inputs = case()
    output = network(*inputs).sum()
    output.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once only"):
        output.backward()
