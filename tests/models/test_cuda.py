"""On a GPU every network computes what it computes on the CPU."""

import pytest
import torch

from helpers.networks import NETWORKS, small_network
from parttag.models.layers.particle_blocks import ParticleBlock
from parttag.models.layers.trimmer import ParticleTrimmer
from parttag.testing import toy_batch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def losses_and_gradients(name, device):
    """Return the loss and all gradients of a training step without random numbers, in float64."""
    network = small_network(name).double().to(device).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, ParticleBlock):
            module.attention_dropout = 0.0
        elif isinstance(module, ParticleTrimmer):
            module.eval()
    batch = toy_batch(60, seed=2).to(device, torch.float64)
    loss = torch.nn.functional.cross_entropy(network(batch), batch.labels)
    loss.backward()
    return [loss.detach().cpu(), *(p.grad.cpu() for p in network.parameters())]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_is_that_of_the_cpu(name):
    for ours, expected in zip(
        losses_and_gradients(name, "cuda"), losses_and_gradients(name, "cpu"), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-9)
