"""Kernels of the pairs against plain torch in float64, under the interpreter or on CUDA."""

import numpy as np
import pytest
import torch

from parttag.jets.pair_features import pair_features as plain_pair_features
from parttag.models.layers.pair_network import PairNetwork
from parttag.ops.layout import JetLayout
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT32_FEATURE, KERNEL_BFLOAT16, KERNEL_FLOAT32

pytest.importorskip("triton")
from parttag.ops.kernels.pair_features import pair_features
from parttag.ops.kernels.pair_inference import infer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHORT = torch.bfloat16 if DEVICE == "cuda" else torch.float16  # the interpreter lacks bfloat16


def make_network(dims, dtype=torch.float32):
    torch.manual_seed(3)
    network = PairNetwork(dims).to(DEVICE)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point() and value.ndim == 1:
                value.add_(0.3 * torch.rand_like(value))
    return network.to(dtype)


def make_features(num_pairs):
    generator = torch.Generator().manual_seed(num_pairs)
    features = torch.randn(num_pairs, 4, generator=generator) @ torch.tensor(
        [[2.0, 0.5, 0, 0], [0, 1, 0, 1.5], [0, 0, 1, 0.3], [0, 0, 0, 3]]
    )
    return (features - torch.tensor([3.0, 2, 1, 0])).to(DEVICE)


def near(value, expected, tolerance):
    return (value.double() - expected).norm() <= tolerance * expected.norm()


def test_features_are_those_of_the_definition():
    batch = toy_batch(lengths=[1, 0, 40, 17])
    layout = JetLayout(batch.lengths, DEVICE)
    p4 = batch.p4.to(DEVICE)
    expected = plain_pair_features(p4, layout.first, layout.second)
    features = pair_features(p4, layout)
    torch.testing.assert_close(features[:, :3], expected[:, :3], **FLOAT32_FEATURE)
    # ln m² of a nearly collinear pair is rounding: compare m² on the scale of the energy.
    energy2 = (p4[layout.first, 3] + p4[layout.second, 3]).square()
    difference = (features[:, 3].exp() - expected[:, 3].exp()) / energy2
    assert difference.abs().max() < 1e-6


@pytest.mark.parametrize("length", [1, 2, 5, 128, 256])
def test_every_pair_of_a_jet_is_found(length):
    # Each particle has a pT of its own: min and max of a pair tell which it is.
    layout = JetLayout(np.array([3, length]), DEVICE)
    pt = torch.arange(1.0, length + 4)
    p4 = torch.stack([pt, 0 * pt, 0 * pt, 2 * pt], dim=1).to(DEVICE)
    features = pair_features(p4, layout)
    expected = plain_pair_features(p4, layout.first, layout.second)
    torch.testing.assert_close(features[:, [1, 3]], expected[:, [1, 3]], **FLOAT32_FEATURE)


@pytest.mark.parametrize("dims", [(16, 16, 2), (8, 24, 3)], ids=str)
@pytest.mark.parametrize("num_pairs", [7, 64, 150])
def test_training_is_that_of_the_reference(dims, num_pairs):
    features = make_features(num_pairs)
    reference, network = make_network(dims, torch.float64), make_network(dims)
    expected = reference.reference(features.double())
    weights = torch.linspace(-1, 1, expected.numel(), device=DEVICE).view(expected.shape)
    expected_gradients = torch.autograd.grad(
        (expected * weights).sum(), list(reference.parameters())
    )
    output = network(features, uses_kernels=True)
    gradients = torch.autograd.grad((output * weights).sum(), list(network.parameters()))
    assert near(output, expected, KERNEL_FLOAT32)
    names = [name for name, _ in network.named_parameters()]
    # A bias before a batch norm has no gradient: what is there is rounding.
    scale = max(gradient.norm() for gradient in expected_gradients)
    for name, ours, theirs in zip(names, gradients, expected_gradients, strict=True):
        error = (ours.double() - theirs).norm()
        assert error <= KERNEL_FLOAT32 * max(theirs.norm(), 0.1 * scale), name
    for ours, theirs in zip(network.buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, KERNEL_FLOAT32), (SHORT, KERNEL_BFLOAT16)]
)
def test_inference_is_that_of_the_reference(dtype, tolerance):
    features = make_features(150)
    expected = make_network((16, 16, 2), torch.float64).eval().reference(features.double())
    network = make_network((16, 16, 2)).eval()
    with torch.no_grad():
        output = infer(features, network.folded(), dtype)
    assert output.dtype == dtype
    assert near(output, expected, tolerance)


def test_networks_that_no_kernel_takes_run_without():
    features = make_features(70)
    network = make_network((8, 24, 3)).eval()
    with torch.no_grad():
        output = network(features, uses_kernels=True)
        torch.testing.assert_close(output, network(features))
