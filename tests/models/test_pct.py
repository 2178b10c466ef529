"""PCT and simple PCT against plain restatements on padded jets, whose padding leaks or not."""

import numpy as np
import pytest
import torch

from helpers.networks import SMALL, small_network
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.pct import MomentumSchedule, PCTOptions
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK

SIMPLE = {"embedding": "particles", "num_layers": 2, "particle_dim": 128, "jet_dim": 64}
LENGTHS = [1, 2, 3, 17, 24, 23, 11]
SLOTS = 24


@pytest.mark.parametrize(("changes", "count"), [({}, 171_202), (SIMPLE, 55_810)])
def test_the_published_networks_have_the_number_of_parameters_of_the_code(changes, count):
    network = build_model(PCTOptions(**changes), "kin", 2)
    assert sum(p.numel() for p in network.parameters()) == count


def raw_features(p4, mask):
    """Return Δη, Δφ, ln pT, ln E, ln pT/pT_jet, ln E/E_jet, ΔR; zeros for padding."""
    jet = p4.sum(dim=1, keepdim=True)
    pt, jet_pt = (torch.hypot(v[..., 0], v[..., 1]) for v in (p4, jet))
    eta, jet_eta = torch.asinh(p4[..., 2] / pt), torch.asinh(jet[..., 2] / jet_pt)
    angle = torch.atan2(p4[..., 1], p4[..., 0]) - torch.atan2(jet[..., 1], jet[..., 0])
    deta, dphi = eta - jet_eta, torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
    columns = [deta, dphi, pt.log(), p4[..., 3].log()]
    columns += [(pt / jet_pt).log(), (p4[..., 3] / jet[..., 3]).log(), torch.hypot(deta, dphi)]
    return torch.where(mask[..., None], torch.stack(columns, dim=-1), 0)


class Restated:
    """PCT on jets that are all padded to the same length.

    ``leaks`` is the published treatment of padding. Else the batch norms and averages see what is
    real, and a neighbour that is missing is zero.
    """

    def __init__(self, network, batch, *, leaks):
        self.network, self.leaks = network, leaks
        padded = batch.pad(SLOTS)
        self.mask = padded.mask
        self.x = raw_features(padded.p4, padded.mask)

    def norm(self, norm, x):
        """Batch norm, of what is real only unless padding leaks; x is (jets, slots, …, width)."""
        kept = torch.ones_like(self.mask) if self.leaks else self.mask
        mean, var = norm.running_mean, norm.running_var
        if self.network.training:
            rows = x[kept].flatten(0, -2)
            mean, var = rows.mean(dim=0), rows.var(dim=0, unbiased=False)
        return (x - mean) / torch.sqrt(var + 1e-3) * norm.weight + norm.bias

    def dense(self, layer, x):
        return self.norm(layer[1], layer[0](x))

    def edge_convolution(self, layers, x, points):
        mask = self.mask.double()
        penalty = 10_000 * (mask[:, :, None] - mask[:, None, :]).abs()
        distances = (points[:, :, None] - points[:, None]).square().sum(dim=3) + penalty
        if not self.leaks:
            distances = torch.where(self.mask[:, None, :], distances, torch.inf)
            x = torch.where(self.mask[:, :, None], x, 0)
        nearest = distances.topk(4, dim=2, largest=False).indices
        others = x[torch.arange(len(x))[:, None, None], nearest]
        centre = x[:, :, None].expand_as(others)
        edges = torch.cat([centre, others - centre], dim=3)
        for layer in layers:
            edges = torch.relu(self.norm(layer.norm, layer.linear(edges)))
        return edges.mean(dim=2)

    def attention(self, layer, x):
        query, key, value = (self.dense(part, x) for part in (layer.query, layer.key, layer.value))
        m = torch.where(self.mask, 1.0, -999.0).double()
        additive = m[:, :, None] * m[:, None, :] - 1
        weights = (query @ key.transpose(1, 2) + additive).softmax(dim=2) * (additive == 0)
        weights = weights / (1e-9 + weights.sum(dim=1, keepdim=True))
        attended = torch.einsum("bmc,bmn->bnc", value, weights)
        return x + torch.relu(self.dense(layer.offset, x - attended))

    def logits(self):
        backbone, x = self.network.backbone, self.x
        points = x[..., :2]
        for layer in backbone.embedding:
            if backbone.is_simple:
                x = torch.relu(self.dense(layer, x))
            else:
                x = points = self.edge_convolution(layer.layers, x, points)
        outputs = [x]
        for layer in backbone.attention:
            outputs.append(self.attention(layer, outputs[-1]))
        if backbone.is_simple:
            x = torch.relu(backbone.output[0](torch.cat(outputs[1:], dim=2)))
        else:
            stacked = torch.cat([*outputs[1:], outputs[0]], dim=2)
            x = torch.relu(self.dense(backbone.output, stacked))
        if self.leaks:
            pooled = x.mean(dim=1)
        else:
            pooled = torch.where(self.mask[..., None], x, 0).sum(dim=1)
            pooled = pooled / self.mask.sum(dim=1)[:, None]
        hidden, norm = self.network.head[0](pooled), self.network.head[1]
        mean, var = norm.running_mean, norm.running_var
        if self.network.training:
            mean, var = hidden.mean(dim=0), hidden.var(dim=0, unbiased=False)
        hidden = (hidden - mean) / torch.sqrt(var + 1e-3) * norm.weight + norm.bias
        return self.network.head[4](torch.relu(hidden))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("leaks", [False, True])
@pytest.mark.parametrize("embedding", ["edges", "particles"])
def test_logits_are_those_of_the_restatement(embedding, leaks, training):
    changes = {"reference_padding": leaks, "max_particles": SLOTS, "dropout": 0.0}
    network = small_network("pct", "kin", embedding=embedding, **changes)
    network = network.double().train(training)
    batch = make_batch(toy_jets(lengths=LENGTHS, seed=7)).to("cpu", torch.float64)
    with torch.no_grad():
        expected = Restated(network, batch, leaks=leaks).logits()
        torch.testing.assert_close(network(batch), expected, rtol=0, atol=1e-9)


def test_published_padding_changes_the_logits_and_ours_does_not():
    def logits(slots, **changes):
        network = small_network("pct", "kin", max_particles=slots, **changes).double().eval()
        with torch.no_grad():
            return network(toy_batch(lengths=[3, 17]).to("cpu", torch.float64))

    torch.testing.assert_close(logits(20), logits(100), **FLOAT64_NETWORK)
    leaking = logits(20, reference_padding=True) - logits(100, reference_padding=True)
    assert (leaking.abs().amax(dim=1) > 1e-3).all()


@pytest.mark.parametrize("leaks", [False, True])
def test_softer_particles_than_the_hundred_hardest_change_nothing(leaks):
    network = small_network("pct", "kin", max_particles=10, reference_padding=leaks)
    jets = toy_jets(lengths=[30, 12, 4])
    with torch.no_grad():
        network.double().eval()
        cut = network(make_batch(jets, max_particles=10).to("cpu", torch.float64))
        whole = network(make_batch(jets).to("cpu", torch.float64))
    torch.testing.assert_close(whole, cut, **FLOAT64_NETWORK)


def test_padded_jets_obey_the_edges_too():
    network = small_network("pct", reference_padding=True).double().eval()
    for lengths in ([0, 5], [0], []):
        batch = toy_batch(lengths=lengths).to("cpu", torch.float64)
        assert network(batch).isfinite().all()
        assert len(network(batch)) == len(lengths)


def test_initial_weights_are_xavier_uniform_and_biases_zero():
    torch.manual_seed(0)
    network = build_model(PCTOptions(), "kin", 2)
    first = network.backbone.embedding[0].layers[0].linear
    assert first.weight.abs().max().item() == pytest.approx((6 / (14 + 128)) ** 0.5, rel=0.02)
    linear = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert not any(m.bias.any() for m in linear if m.bias is not None)


def test_momentum_is_halved_every_five_million_jets_down_to_a_hundredth():
    schedule = MomentumSchedule()
    momenta = [schedule(2_500_000) for _ in range(8)]
    assert momenta == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625]
    schedule(100_000_000)
    assert schedule(1) == 0.01


def test_momentum_of_queries_and_keys_is_constant_and_the_count_of_jets_is_kept():
    network = small_network("pct").train()
    network.backbone.momentum.num_jets = 6_000_000
    network(toy_batch(10))
    attention = network.backbone.attention[0]
    assert attention.query[1].momentum == attention.key[1].momentum == 0.1
    assert attention.value[1].momentum == network.head[1].momentum == 0.25
    other = small_network("pct")
    other.load_state_dict(network.state_dict())
    assert other.backbone.momentum.num_jets == 6_000_010
    network.eval()(toy_batch(10))
    assert network.backbone.momentum.num_jets == 6_000_010


def test_the_small_network_of_the_tests_has_few_neighbours():
    # The restatement takes as many.
    assert SMALL["pct"]["num_neighbours"] == 4
    assert np.min(LENGTHS) < 4 < np.max(LENGTHS) <= SLOTS
