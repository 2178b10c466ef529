"""P-CNN: counts, and the published network restated position by position."""

import numpy as np
import pytest
import torch

from helpers.networks import small_network
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.models import build_model
from parttag.models.pcnn import PCNNOptions
from parttag.testing import toy_batch, toy_jets

LENGTH = 12


def make_network(**changes):
    return small_network("pcnn", max_particles=LENGTH, **changes).double().eval()


@pytest.mark.parametrize(
    ("features", "num_classes", "count"), [("kin", 2, 349_456), ("full", 10, 354_540)]
)
def test_the_network_has_the_published_number_of_parameters(features, num_classes, count):
    network = build_model(PCNNOptions(), features, num_classes)
    assert sum(p.numel() for p in network.parameters()) == count


def test_128_positions_become_32():
    network = build_model(PCNNOptions(), "kin", 2)
    shapes = []
    for stage in network.backbone.stages:
        stage.register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape)))
    network(toy_batch(2))
    assert shapes == [(2, 64, 128), (2, 64, 64), (2, 128, 32)]


class Restated:
    """The published layers on one jet in NumPy, from the network's state dict."""

    def __init__(self, network):
        self.state = {name: value.numpy() for name, value in network.state_dict().items()}

    def norm(self, x, name):
        weight, bias, mean, var = (
            self.state[f"{name}.{key}"][:, None]
            for key in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * weight + bias

    def convolve(self, x, name, stride=1):
        weight = self.state[f"{name}.weight"]
        width_out, _, taps = weight.shape
        padded = np.pad(x, [(0, 0), (taps // 2, taps // 2)])
        positions = range(0, x.shape[1], stride)
        out = np.zeros((width_out, len(positions)))
        for place, start in enumerate(positions):
            for channel in range(width_out):
                out[channel, place] = (weight[channel] * padded[:, start : start + taps]).sum()
        bias = self.state.get(f"{name}.bias", np.zeros(width_out))
        return out + bias[:, None]

    def unit(self, x, name, stride):
        y = np.maximum(
            self.norm(self.convolve(x, f"{name}.layers.0", stride), f"{name}.layers.1"), 0
        )
        y = np.maximum(self.norm(self.convolve(y, f"{name}.layers.3"), f"{name}.layers.4"), 0)
        shortcut = f"{name}.shortcut"
        has_convolution = f"{shortcut}.weight" in self.state
        return y + (self.convolve(x, shortcut, stride) if has_convolution else x)

    def logits(self, features):
        x = np.zeros((features.shape[1], LENGTH))
        x[:, : len(features)] = features[:LENGTH].T
        x = self.convolve(self.norm(x, "backbone.stem.0"), "backbone.stem.1")
        x = np.maximum(self.norm(x, "backbone.stem.2"), 0)
        for stage, num_units in enumerate((2, 1, 2)):
            for unit in range(num_units):
                stride = 2 if stage > 0 and unit == 0 else 1
                x = self.unit(x, f"backbone.stages.{stage}.{unit}", stride)
        hidden = self.state["head.0.weight"] @ x.mean(axis=1) + self.state["head.0.bias"]
        return self.state["head.3.weight"] @ np.maximum(hidden, 0) + self.state["head.3.bias"]


def test_logits_are_those_of_the_published_network_restated():
    network = make_network()
    batch = toy_batch(lengths=[1, 5, LENGTH, 0, 20]).to("cpu", torch.float64)
    features = particle_features(batch, network.feature_names).numpy()
    parts = np.split(features, batch.offsets[1:-1])
    restated = Restated(network)
    expected = torch.tensor(np.array([restated.logits(part) for part in parts]))
    with torch.no_grad():
        torch.testing.assert_close(network(batch), expected, rtol=0, atol=1e-9)


def test_a_longer_jet_is_cut_to_its_leading_particles():
    network, jets = make_network(), toy_jets(lengths=[30, 3])
    whole, cut = (
        make_batch(jets, max_particles=length).to("cpu", torch.float64) for length in (None, LENGTH)
    )
    with torch.no_grad():
        torch.testing.assert_close(network(whole), network(cut), rtol=0, atol=1e-12)


def test_padding_enters_the_statistics_of_the_batch_norms():
    network = make_network().train()
    batch = toy_batch(8).to("cpu", torch.float64)
    norm = network.backbone.stem[0]
    norm.running_mean.zero_()
    network(batch)
    features = batch.pad_values(particle_features(batch, network.feature_names), LENGTH)
    torch.testing.assert_close(norm.running_mean, 0.1 * features.mean(dim=(0, 1)))


def test_the_fixed_length_is_not_that_of_the_batch():
    short, long = make_network(), small_network("pcnn", max_particles=40).double().eval()
    long.load_state_dict(short.state_dict())
    batch = toy_batch(lengths=[4, 7]).to("cpu", torch.float64)
    with torch.no_grad():
        assert (short(batch) - long(batch)).abs().min() > 1e-3


def test_batch_norm_over_several_ranks_is_that_of_one(monkeypatch):
    network, batch = make_network(dropout=0.0).train(), toy_batch(8).to("cpu", torch.float64)
    logits = [network(batch).detach()]
    monkeypatch.setattr("parttag.models.pcnn.num_ranks", lambda: 2)
    monkeypatch.setattr("parttag.models.layers.batch_norm.num_ranks", lambda: 2)
    monkeypatch.setattr("parttag.ops.collectives.num_ranks", lambda: 1)  # nothing to sum over
    logits.append(network(batch).detach())
    torch.testing.assert_close(*logits, rtol=0, atol=1e-9)
