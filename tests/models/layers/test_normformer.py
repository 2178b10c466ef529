"""NormFormer layers against a restatement jet by jet, and as they begin."""

import torch

from parttag.models.layers.normformer import NormFormer, NormFormerLayer
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import FLOAT64_NETWORK

LENGTHS = [5, 1, 0, 9]


def particles(width=12):
    torch.manual_seed(2)
    return torch.randn(sum(LENGTHS), width, dtype=torch.float64)


def test_a_layer_is_attention_with_a_norm_before_the_output_projection():
    torch.manual_seed(0)
    layer = NormFormerLayer(12, 8, num_heads=3, dropout=0.0).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = particles()
    expected = []
    for before in x.split(LENGTHS):
        if not len(before):
            continue
        q, k, v = layer.qkv(layer.attention_norm(before)).view(-1, 3, 3, 4).permute(1, 2, 0, 3)
        heads = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        jet = before + layer.out(layer.heads_norm(heads.transpose(0, 1).flatten(1)))
        first, _, norm, last = layer.dense
        hidden = torch.nn.functional.leaky_relu(first(layer.dense_norm(jet)), 0.1)
        expected.append(jet + last(norm(hidden)))
    ours = layer(x, JetLayout(torch.tensor(LENGTHS).numpy()))
    torch.testing.assert_close(ours, torch.cat(expected), **FLOAT64_NETWORK)


def test_a_fresh_layer_changes_nothing_and_learns():
    torch.manual_seed(0)
    layer = NormFormerLayer(12, 8, num_heads=3, dropout=0.1).double()
    x = particles()
    output = layer(x, JetLayout(torch.tensor(LENGTHS).numpy()))
    assert torch.equal(output, x)
    output.square().sum().backward()
    assert layer.out.weight.grad.any()
    assert layer.dense[-1].weight.grad.any()


def test_without_layers_particles_stay_on_their_own():
    torch.manual_seed(0)
    encoder = NormFormer(12, 8, 6, num_layers=0, num_heads=2, dropout=0.0).double()
    x = particles()
    whole = encoder(x, JetLayout(torch.tensor(LENGTHS).numpy()))
    alone = encoder(x[3:4], JetLayout(torch.tensor([1]).numpy()))
    torch.testing.assert_close(whole[3:4], alone, **FLOAT64_NETWORK)
