"""The Particle Flow Network of the ParT repository: counts, and itself restated."""

import numpy as np
import pytest
import torch

from helpers.networks import small_network
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.models import build_model
from parttag.models.pfn import PFNOptions
from parttag.testing import toy_jets


@pytest.mark.parametrize(
    ("features", "num_classes", "count"), [("kin", 2, 83_842), ("full", 10, 86_154)]
)
def test_the_network_has_the_published_number_of_parameters(features, num_classes, count):
    network = build_model(PFNOptions(), features, num_classes)
    assert sum(p.numel() for p in network.parameters()) == count


def affine(state, name, x):
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def restated_logits(state, particles):
    """Return the logits of one jet in NumPy, particle by particle, from the state dict."""
    total = np.zeros(128)
    for x in particles:
        for layer in (0, 2, 4):
            x = np.maximum(affine(state, f"backbone.{layer}", x), 0)  # noqa: PLW2901
        total += x
    for layer in (0, 2, 4):
        total = np.maximum(affine(state, f"head.{layer}", total), 0)
    return affine(state, "head.6", total)


@pytest.mark.parametrize(("features", "num_classes"), [("kin", 2), ("full", 10)])
def test_logits_are_those_of_the_published_network_restated(features, num_classes):
    published = {"particle_dims": (128, 128, 128), "jet_dims": (128, 128, 128)}
    network = small_network("pfn", features, num_classes, **published).double().eval()
    batch = make_batch(toy_jets(lengths=[1, 3, 40, 0, 128], seed=3)).to("cpu", torch.float64)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    inputs = np.split(particle_features(batch, features).numpy(), batch.offsets[1:-1].numpy())
    expected = np.array([restated_logits(state, particles) for particles in inputs])
    with torch.no_grad():
        torch.testing.assert_close(network(batch), torch.from_numpy(expected), rtol=0, atol=1e-9)
