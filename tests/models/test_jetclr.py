"""JetCLR's encoder: counts, itself beside torch's layers on padded jets, and what safety means."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import SMALL, small_network
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.jetclr import JetCLROptions
from parttag.options import read_options
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK
from parttag.training.objectives import build_objective
from parttag.training.objectives.contrastive import ContrastiveOptions

LENGTHS = [1, 2, 3, 17, 24, 23, 11]


def test_the_network_with_its_projection_head_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = build_model(JetCLROptions(), "kin", 2)
        build_objective(ContrastiveOptions(), network)
    assert sum(p.numel() for p in network.backbone.parameters()) == 4_000 + 24_040_000
    assert sum(p.numel() for p in network.parameters()) == 26_046_000


def torch_layers(network):
    """Return torch's own encoder layers with the weights of ours."""
    layers = nn.ModuleList()
    for ours in network.backbone.layers:
        width, hidden = ours.out.in_features, ours.feedforward[0].out_features
        sizes = (width, ours.num_heads, hidden, 0.0)
        layer = nn.TransformerEncoderLayer(*sizes, batch_first=True).double()
        layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias = (
            ours.qkv.weight,
            ours.qkv.bias,
        )
        layer.self_attn.out_proj = ours.out
        layer.norm1, layer.norm2 = ours.attention_norm, ours.feedforward_norm
        layer.linear1, layer.linear2 = ours.feedforward[0], ours.feedforward[3]
        layers.append(layer)
    return layers.train()  # in evaluation torch takes another path, which gives NaN at −∞


def restated(network, batch, origin):
    """Return the representations, all jets padded to the longest, from (pT, η, φ) in NumPy."""
    padded = batch.pad()
    px, py, pz, _ = np.moveaxis(padded.p4.numpy(), -1, 0)
    mask, pt = padded.mask.numpy(), np.hypot(px, py)
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.where(mask, np.arcsinh(pz / pt), 0)
        phi = np.where(mask, np.unwrap(np.arctan2(py, px)), 0)
        half_log_pt = 0.5 * np.log(pt / 600)
    if origin == "centroid":
        eta0, phi0 = ((pt * x).sum(1) / pt.sum(1) for x in (eta, phi))
    else:
        eta0, phi0 = batch.jet_axis.numpy().T
    deta = np.where(mask, eta - eta0[:, None], 0)
    dphi = np.where(mask, (phi - phi0[:, None] + np.pi) % (2 * np.pi) - np.pi, 0)
    inputs = np.stack([pt / 600, deta, dphi], axis=2)
    key_bias = torch.from_numpy(half_log_pt)[:, None, :].expand(-1, inputs.shape[1], -1)
    heads = network.backbone.layers[0].num_heads
    x = network.backbone.embedding(torch.from_numpy(inputs))
    for layer in torch_layers(network):
        x = layer(x, src_mask=key_bias.repeat_interleave(heads, dim=0))
    return (x * torch.from_numpy(pt / 600)[..., None]).sum(dim=1)


@pytest.mark.parametrize("origin", ["centroid", "axis"])
def test_representations_are_those_of_torchs_layers_with_the_mask_of_the_paper(origin):
    network = small_network("jetclr", origin=origin).double().eval()
    batch = make_batch(toy_jets(lengths=LENGTHS, seed=7)).to("cpu", torch.float64)
    with torch.no_grad():
        expected = restated(network, batch, origin)
        torch.testing.assert_close(network.encode(batch), expected, **FLOAT64_NETWORK)


def with_one_more(batch, momentum):
    """Return a batch of a single jet with one more particle."""
    p4 = torch.cat([batch.p4, torch.tensor([momentum], dtype=batch.p4.dtype)])
    extra = torch.cat([batch.extra, batch.extra[:1]])
    number = batch.num_particles + 1
    return replace(
        batch, p4=p4, extra=extra, offsets=torch.tensor([0, number]), lengths=np.array([number])
    )


@pytest.mark.parametrize("pz", [0.0, 7.0])
def test_a_particle_without_transverse_momentum_changes_nothing(pz):
    network = small_network("jetclr").double().eval()
    batch = toy_batch(lengths=[9]).to("cpu", torch.float64)
    with torch.no_grad():
        expected = network.encode(batch)
        more = network.encode(with_one_more(batch, [0.0, 0.0, pz, pz]))
    torch.testing.assert_close(more, expected, **FLOAT64_NETWORK)


def test_what_a_soft_particle_changes_falls_with_the_root_of_its_momentum():
    network = small_network("jetclr").double().eval()
    batch = toy_batch(lengths=[9]).to("cpu", torch.float64)
    direction = np.array([*torch.nn.functional.normalize(batch.jet_p4[0, :3], dim=0).tolist(), 1.0])
    with torch.no_grad():
        expected = network.encode(batch)
        changes = [
            (network.encode(with_one_more(batch, (x * direction).tolist())) - expected)
            .norm()
            .item()
            for x in (1e-2, 1e-4, 1e-6, 1e-8)
        ]
    # A hundredth of the pT has a tenth of the weight in the attention.
    ratios = np.array(changes[:-1]) / np.array(changes[1:])
    assert ratios == pytest.approx(10, rel=0.2)
    assert changes[-1] < 1e-4 * expected.norm().item()


def test_a_collinear_splitting_changes_the_representation_unless_one_share_is_nothing():
    network = small_network("jetclr").double().eval()
    batch = toy_batch(lengths=[9]).to("cpu", torch.float64)

    def change(share):
        hardest = batch.p4[0]
        rest = replace(batch, p4=torch.cat([(1 - share) * hardest[None], batch.p4[1:]]))
        with torch.no_grad():
            split = network.encode(with_one_more(rest, (share * hardest).tolist()))
            return ((split - network.encode(batch)).norm() / network.encode(batch).norm()).item()

    assert change(0.0) < 1e-9
    assert change(0.5) > 1e-3


def test_jets_that_are_moved_look_the_same_about_their_centroid_and_not_about_their_axis():
    arrays = toy_jets(lengths=[9, 30])
    jets = make_batch(arrays).to("cpu", torch.float64)
    px, py = jets.p4[:, 0], jets.p4[:, 1]
    cos, sin = np.cos(2.5), np.sin(2.5)
    turned = torch.stack([cos * px - sin * py, sin * px + cos * py, *jets.p4.t()[2:]], dim=1)
    with torch.no_grad():
        centred = small_network("jetclr").double().eval()
        expected = centred.encode(jets)
        moved = replace(jets, p4=turned)  # whose axis is left where it was
        torch.testing.assert_close(centred.encode(moved), expected, **FLOAT64_NETWORK)
        other = small_network("jetclr", origin="axis").double().eval()
        assert ((other.encode(moved) - other.encode(jets)).norm(dim=1) > 0.1).all()


def test_dropout_is_of_the_training_only():
    network, batch = small_network("jetclr", dropout=0.5).train(), toy_batch(4)
    assert not torch.equal(network(batch), network(batch))
    network.eval()
    assert torch.equal(network(batch), network(batch))


def test_a_width_that_does_not_split_into_heads_is_refused():
    with pytest.raises(InputError, match="embed_dim, 10, is not a multiple of num_heads, 4"):
        read_options(JetCLROptions, {"embed_dim": 10})
    assert SMALL["jetclr"]["embed_dim"] % JetCLROptions().num_heads == 0
