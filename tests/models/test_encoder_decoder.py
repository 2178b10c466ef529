"""The original Transformer on jets, against torch's own layers and hand numbers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import SMALL, small_network
from parttag.errors import InputError
from parttag.jets.features import particle_features
from parttag.models import build_model
from parttag.models.encoder_decoder import EncoderDecoderOptions
from parttag.options import read_options
from parttag.runs.config import load_config
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK

LENGTHS = [1, 2, 16, 17, 40, 5]
WRITTEN = np.array([0, 3, 1, 7, 2, 0])
SIZES = SMALL["encoder_decoder"]


def network():
    return small_network("encoder_decoder", "kin").double().eval()


def batch(lengths=LENGTHS):
    return toy_batch(lengths=lengths, seed=3).to("cpu", torch.float64)


def entries(lengths=WRITTEN, seed=0):
    generator = torch.Generator().manual_seed(seed)
    width = SIZES["embed_dim"]
    return torch.randn(int(lengths.sum()), width, generator=generator, dtype=torch.float64)


def test_the_stacks_of_the_base_network_have_the_papers_number_of_parameters():
    with torch.device("meta"):
        network = build_model(EncoderDecoderOptions(), "kin", 2)
    encoder, decoder = network.backbone.encoder, network.backbone.decoder
    counts = [
        [sum(p.numel() for p in layer.parameters()) for layer in half.layers]
        for half in (encoder, decoder)
    ]
    assert counts == [[3_152_384] * 6, [4_204_032] * 6]
    # And no norm after the last layer: what else there is are the embedding, start and logits.
    others = (7 + 1) * 512 + 512 + (512 + 1) * 2
    assert sum(p.numel() for p in network.parameters()) == 44_138_496 + others


def test_the_small_network_of_the_recipes_has_as_many_parameters_as_they_say():
    path = Path(__file__).parents[2] / "configs" / "pretraining" / "encoder_decoder_small.yaml"
    network = build_model(load_config(path).model, "kin", 2)
    assert sum(p.numel() for p in network.backbone.parameters()) == 234_048


def torch_layer(layer):
    """Return torch's layer with the weights of ours."""
    options = {"norm_first": False, "activation": "relu", "batch_first": True, "dropout": 0.0}
    width, heads, hidden = (SIZES[n] for n in ("embed_dim", "num_heads", "feedforward_dim"))
    state = {
        "self_attn.in_proj_": layer.qkv,
        "self_attn.out_proj.": layer.out,
        "linear1.": layer.feedforward[0],
        "linear2.": layer.feedforward[2],
        "norm1.": layer.attention_norm,
    }
    if hasattr(layer, "cross_out"):
        other = nn.TransformerDecoderLayer(width, heads, hidden, **options)
        state |= {
            "multihead_attn.out_proj.": layer.cross_out,
            "norm2.": layer.cross_norm,
            "norm3.": layer.feedforward_norm,
        }
    else:
        other = nn.TransformerEncoderLayer(width, heads, hidden, **options)
        state |= {"norm2.": layer.feedforward_norm}
    values = {
        prefix + name: value
        for prefix, module in state.items()
        for name, value in module.named_parameters()
    }
    if hasattr(layer, "cross_out"):
        for name in ("weight", "bias"):
            parts = (getattr(module, name) for module in (layer.cross_query, layer.cross_keys))
            values[f"multihead_attn.in_proj_{name}"] = torch.cat(list(parts))
    other.double().load_state_dict(values)
    return other


def positions(length, width):
    """Return sin(p / 10000^(2i/width)) in column 2i and the cosine in column 2i + 1."""
    table = torch.zeros(length, width, dtype=torch.float64)
    for place in range(length):
        for i in range(width // 2):
            angle = place / 10_000 ** (2 * i / width)
            table[place, 2 * i], table[place, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


def restated(network, batch, written, lengths):
    """Return the decoder's outputs by torch's own layers, jet by jet."""
    encoder, decoder = network.backbone.encoder, network.backbone.decoder
    width = SIZES["embed_dim"]
    features = particle_features(batch, "kin").split(batch.lengths.tolist())
    outputs = []
    for own, list_ in zip(features, written.split(lengths.tolist()), strict=True):
        x = width**0.5 * (own @ encoder.embedding.weight.T + encoder.embedding.bias)[None]
        for layer in encoder.layers:
            x = torch_layer(layer)(x)
        y = width**0.5 * torch.cat([decoder.start[None], list_])
        y = (y + positions(len(y), width))[None]
        later = nn.Transformer.generate_square_subsequent_mask(y.shape[1], dtype=torch.float64)
        for layer in decoder.layers:
            y = torch_layer(layer)(y, x, tgt_mask=later)
        outputs.append(y[0])
    return outputs


def test_outputs_are_those_of_torchs_own_layers():
    net, jets, written = network(), batch(), entries()
    with torch.no_grad():
        expected = restated(net, jets, written, WRITTEN)
        ours = net.write(net.read(jets), jets.lengths, written, WRITTEN)
        torch.testing.assert_close(ours, torch.cat(expected), **FLOAT64_NETWORK)
        # What classifies is the decoder's output at the start vector.
        at_start = torch.stack([output[0] for output in expected])
        torch.testing.assert_close(net.encode(jets), at_start, **FLOAT64_NETWORK)
        torch.testing.assert_close(net(jets), net.head(at_start), **FLOAT64_NETWORK)


def test_an_output_depends_on_what_was_written_before_and_on_nothing_after():
    net, jets = network(), batch()
    written = entries().requires_grad_()
    memory = net.read(jets)
    output = net.write(memory, jets.lengths, written, WRITTEN)
    # The fourth jet has seven entries, after 3 + 1 of other jets, and eight positions, after 1 +
    # 4 + 2: its third position has seen two entries.
    (gradient,) = torch.autograd.grad(output[7 + 2].square().sum(), written)
    seen = gradient.abs().sum(dim=1) > 0
    assert seen.nonzero().flatten().tolist() == [4, 5]


def test_what_the_decoder_reads_is_its_own_jet():
    net, jets = network(), batch()
    memory = net.read(jets).detach().requires_grad_()
    output = net.write(memory, jets.lengths, entries(), WRITTEN)
    (gradient,) = torch.autograd.grad(output[7 + 2].square().sum(), memory)
    start = sum(LENGTHS[:3])
    seen = (gradient.abs().sum(dim=1) > 0).nonzero().flatten()
    assert seen.tolist() == list(range(start, start + LENGTHS[3]))


def test_dropout_is_where_the_paper_has_it_and_can_be_left_out():
    net = small_network("encoder_decoder", dropout=0.5)
    jets = toy_batch(lengths=LENGTHS)
    with torch.no_grad():
        assert not torch.equal(net.train()(jets), net(jets))
        assert torch.equal(net.eval()(jets), net(jets))
        without = small_network("encoder_decoder", dropout=0.0)
        torch.testing.assert_close(without.train()(jets), without.eval()(jets))
    dropped = [name for name, m in net.named_modules() if isinstance(m, nn.Dropout)]
    layers = SIZES["num_encoder_layers"] + SIZES["num_decoder_layers"]
    assert len(dropped) == 2 + layers


def test_inputs_of_order_one_are_embedded_to_order_one():
    torch.manual_seed(0)
    options = EncoderDecoderOptions(num_encoder_layers=1, num_decoder_layers=1, feedforward_dim=8)
    backbone = build_model(options, "kin", 2).backbone
    features = torch.randn(100, 7)
    embedded = backbone.encoder.scale * backbone.encoder.embedding(features)
    assert embedded.std().item() == pytest.approx(1, rel=0.05)
    assert (backbone.decoder.scale * backbone.decoder.start).std().item() == pytest.approx(
        1, rel=0.1
    )
    weight = backbone.encoder.layers[0].qkv.weight
    assert weight.abs().max().item() == pytest.approx((6 / 1024) ** 0.5, rel=0.01)


def test_the_start_vector_is_not_decayed():
    net = network()
    (name,) = net.no_weight_decay()
    assert net.get_parameter(name) is net.backbone.decoder.start


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"embed_dim": 20, "num_heads": 8}, "embed_dim, 20, is not a multiple of num_heads, 8"),
        ({"embed_dim": 9, "num_heads": 3}, "embed_dim, 9, is not a multiple of 2"),
    ],
)
def test_a_width_that_does_not_split_is_refused(changes, match):
    with pytest.raises(InputError, match=match):
        read_options(EncoderDecoderOptions, changes)
