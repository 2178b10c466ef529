"""The chunked pair network is its definition: output, every gradient, running statistics."""

import copy

import pytest
import torch

from helpers.poison import poison_new_memory
from parttag.models.layers.pair_network import PairNetwork
from parttag.ops import pair_training
from parttag.testing.tolerances import FLOAT64_NETWORK, KERNEL_BFLOAT16, KERNEL_FLOAT32


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(pair_training, "_CHUNK", 700)


def random_network(dims, seed=0):
    torch.manual_seed(seed)
    network = PairNetwork(dims).double()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.dtype == torch.float64 and tensor.ndim == 1:
                tensor.add_(0.3 * torch.rand_like(tensor))
    return network


def random_features(count, dtype=torch.float64):
    torch.manual_seed(3)
    spread = torch.tensor([3.0, 1.0, 2.0, 4.0], dtype=dtype)
    return torch.randn(count, 4, dtype=dtype) * spread + torch.tensor(
        [-3.0, -1, -2, 1], dtype=dtype
    )


def gradients(network, bias):
    torch.manual_seed(4)
    bias.backward(torch.randn(bias.shape, dtype=torch.float64).to(bias.dtype))
    return {name: p.grad for name, p in network.named_parameters()}


@pytest.mark.parametrize("dims", [(16, 16, 12, 4), (8, 3), (5, 8, 2)])
@pytest.mark.parametrize("count", [2, 700, 3000])
def test_training_is_the_definition(dims, count):
    network = random_network(dims)
    plain = copy.deepcopy(network)
    features = random_features(count)
    bias, expected = network(features), plain.reference(features)
    torch.testing.assert_close(bias, expected, **FLOAT64_NETWORK)
    ours, theirs = gradients(network, bias), gradients(plain, expected)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = theirs[name].abs().max().clamp(min=1)
        torch.testing.assert_close(ours[name] / scale, theirs[name] / scale, **FLOAT64_NETWORK)
    for (name, ours), theirs in zip(network.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, **FLOAT64_NETWORK, msg=name)


def test_inference_with_folded_norms_is_the_definition():
    network = random_network((16, 16, 4))
    network(random_features(2000))
    network.eval()
    features = random_features(1500)
    expected = network.reference(features)
    with torch.no_grad():
        torch.testing.assert_close(network(features), expected, **FLOAT64_NETWORK)
    torch.testing.assert_close(network(features), expected, **FLOAT64_NETWORK)


@pytest.mark.parametrize("dims", [(32, 32, 8), (64, 64, 64, 8)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, KERNEL_FLOAT32), (torch.bfloat16, KERNEL_BFLOAT16)]
)
def test_short_numbers_stay_close_to_float64(dims, dtype, tolerance):
    network = random_network(dims)
    narrow = copy.deepcopy(network).float()
    features = random_features(3000)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        ours = narrow(features.float())
    expected = network.reference(features)
    assert (ours - expected).norm() <= tolerance * expected.norm()
    ours, expected = gradients(narrow, ours), gradients(network, expected)
    largest = max(value.norm() for value in expected.values())
    for name, value in expected.items():
        # A bias before a batch norm has no gradient but rounding.
        if value.norm() > 1e-6 * largest:
            assert (ours[name] - value).norm() <= tolerance * value.norm(), name


def test_nothing_is_read_before_it_is_written(monkeypatch):
    poison_new_memory(monkeypatch)
    network = random_network((16, 16, 4))
    bias = network(random_features(1500))
    assert bias.isfinite().all()
    assert all(value.isfinite().all() for value in gradients(network, bias).values())
    with torch.no_grad():
        assert network.eval()(random_features(1500)).isfinite().all()


@pytest.mark.parametrize("count", [0, 1])
def test_no_pair_and_one_pair_train_to_finite_numbers(count):
    network = random_network((8, 4))
    before = network.input_norm.running_var.clone()
    bias = network(random_features(count))
    assert bias.shape == (4, count)
    assert all(grad.isfinite().all() for grad in gradients(network, bias).values())
    torch.testing.assert_close(network.input_norm.running_var, before)
