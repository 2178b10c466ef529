"""ParticleNet: counts, its own definition with torch's layers, and gradients."""

import pytest
import torch

from helpers.networks import small_network
from parttag.jets.features import particle_features
from parttag.models import build_model
from parttag.models.particle_net import ParticleNetOptions
from parttag.ops.knn import nearest_neighbours
from parttag.ops.layout import JetLayout
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK

LITE = ParticleNetOptions(edge_dims=((32, 32, 32), (64, 64, 64)), num_neighbours=7, jet_dims=(128,))
SLOTS = 45


@pytest.mark.parametrize(
    ("options", "features", "num_classes", "count"),
    [
        (ParticleNetOptions(), "kin", 2, 366_160),
        (ParticleNetOptions(), "kin", 10, 368_216),
        (ParticleNetOptions(), "full", 10, 370_156),
        (LITE, "kin", 2, 26_416),
    ],
)
def test_the_published_networks_have_the_published_number_of_parameters(
    options, features, num_classes, count
):
    network = build_model(options, features, num_classes)
    assert sum(p.numel() for p in network.parameters()) == count


def padded_logits(network, batch):
    """Return the logits of a restatement on padded jets, edges in a tensor of their own."""
    mask = batch.pad(SLOTS).mask
    features = torch.zeros(*mask.shape, len(network.feature_names), dtype=torch.float64)
    points = torch.full((*mask.shape, 2), 1e9, dtype=torch.float64)
    features[mask] = network.backbone.input_norm(particle_features(batch, network.feature_names))
    points[mask] = particle_features(batch, ("delta_eta", "delta_phi"))
    x = features
    for block in network.backbone.blocks:
        distances = (points[:, :, None] - points[:, None]).square().sum(dim=3)
        k = block.num_neighbours
        nearest = distances.topk(k + 1, dim=2, largest=False).indices[:, :, 1:]
        others = x[torch.arange(len(x))[:, None, None], nearest]
        centre = x[:, :, None].expand_as(others)
        edges = torch.cat([centre, others - centre], dim=3)
        for layer in block.edges.layers:
            norm = torch.nn.BatchNorm2d(layer.linear.out_features).double().eval()
            norm.load_state_dict(layer.norm.state_dict())
            edges = layer.linear(edges).permute(0, 3, 1, 2)
            edges = torch.relu(norm(edges)).permute(0, 2, 3, 1)
        shortcut = block.shortcut(x.flatten(0, 1)).view(*mask.shape, -1)
        x = torch.relu(shortcut + edges.mean(dim=2)) * mask[:, :, None]
        points = torch.where(mask[:, :, None], x, 1e9)
    pooled = x.sum(dim=1) / mask.sum(dim=1)[:, None]
    return network.head(network.backbone.jet_layers(pooled))


def test_packed_network_is_a_padded_one_whose_missing_neighbours_are_zeros():
    network = small_network("particle_net").double().eval()
    batch = toy_batch(lengths=[1, 2, 3, 4, 5, 6, 16, 17, 40]).to("cpu", torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(batch), padded_logits(network, batch), **FLOAT64_NETWORK)


def test_gradients_are_those_of_finite_differences():
    network = small_network("particle_net", "kin", dropout=0.0).double().train()
    batch = toy_batch(lengths=[2, 7, 12, 9]).to("cpu", torch.float64)

    def loss():
        return torch.nn.functional.cross_entropy(network(batch), batch.labels)

    loss().backward()
    torch.manual_seed(0)
    step = 1e-6
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            direction = torch.randn_like(parameter)
            direction /= direction.norm()
            ends = []
            for sign in (1, -1):
                parameter.add_(direction, alpha=sign * step)
                ends.append(loss())
                parameter.add_(direction, alpha=-sign * step)
            slope = (ends[0] - ends[1]) / (2 * step)
            expected = (parameter.grad * direction).sum()
            assert abs(slope - expected) < 1e-7 + 1e-5 * abs(expected), name


def test_neighbours_of_later_blocks_are_those_in_the_features():
    network = small_network("particle_net", "kin").double().eval()
    batch = toy_batch(lengths=[30]).to("cpu", torch.float64)
    layout, backbone = JetLayout(batch.lengths), network.backbone
    angles = particle_features(batch, ("delta_eta", "delta_phi"))
    with torch.no_grad():
        x = backbone.input_norm(particle_features(batch, "kin"))
        first = nearest_neighbours(angles, 4, layout)
        x = backbone.blocks[0](x, angles, layout)
        second = nearest_neighbours(x, 4, layout)
    assert (first.sort().values != second.sort().values).any()


def test_a_batch_norm_sees_the_edges_of_real_particles_only():
    network = small_network("particle_net").double().train()
    seen = []
    for block in network.backbone.blocks:
        norm = block.edges.layers[0].norm
        block.edges.layers[0].norm.update = lambda mean, var, count, norm=norm: seen.append(count)
    network(toy_batch(lengths=[1, 20, 7]).to("cpu", torch.float64))
    assert [int(count) for count in seen] == [28 * 4] * 3
