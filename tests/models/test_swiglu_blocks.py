"""Weaver's versions 2 and 3 of the Particle Transformer: blocks restated, drop path, the import."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from helpers.networks import SMALL
from helpers.weaver import weaver_golden, without_prefix
from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.layers.swiglu_blocks import SwiGLUClassBlock, SwiGLUParticleBlock
from parttag.models.particle_transformer import ParticleTransformer, ParticleTransformerOptions
from parttag.models.weaver import read_network
from parttag.ops.layout import JetLayout
from parttag.testing import toy_batch

EXACT = {"rtol": 1e-10, "atol": 1e-10}
LENGTHS = torch.tensor([5, 1, 9]).numpy()
VERSIONS = {
    2: {"block": "swiglu"},
    3: {"block": "swiglu", "rms_norm": True, "dropout": 0.0, "drop_path": 0.1},
}


def block_of(kind, **options):
    torch.manual_seed(0)
    block = kind(8, 2, 3, 0.0, **options).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.4)
    return block


def norm_of(layer, x):
    if hasattr(layer, "bias") and layer.bias is not None:
        return F.layer_norm(x, (8,), layer.weight, layer.bias)
    return layer.weight * x / (x.square().mean(dim=1, keepdim=True) + 2.220446049250313e-16).sqrt()


def restated(block, x, keys):
    """Return one jet after a block, written out; the queries of a token are not normalized."""
    is_token = len(x) != len(keys)
    weights = block.qkv.weight.chunk(3)
    biases = (None,) * 3 if block.qkv.bias is None else block.qkv.bias.chunk(3)
    normed = norm_of(block.pre_attention_norm, keys)
    q = F.linear(x if is_token else normed, weights[0], biases[0]).view(-1, 2, 4).transpose(0, 1)
    k, v = (F.linear(normed, weights[n], biases[n]).view(-1, 2, 4).transpose(0, 1) for n in (1, 2))
    heads = ((q @ k.transpose(1, 2)) / 2).softmax(dim=-1) @ v
    x = x + F.linear(heads.transpose(0, 1).flatten(1), block.out.weight, block.out.bias)
    forward = block.feedforward
    hidden = norm_of(forward.norm, x)
    gate = F.linear(hidden, forward.gate.weight, forward.gate.bias)
    hidden = gate * gate.sigmoid() * F.linear(hidden, forward.hidden.weight, forward.hidden.bias)
    return x + F.linear(hidden, forward.out.weight, forward.out.bias)


@pytest.mark.parametrize("rms_norm", [False, True])
def test_blocks_are_attention_and_a_gated_layer(rms_norm):
    x = torch.randn(15, 8, dtype=torch.float64)
    layout = JetLayout(LENGTHS)
    block = block_of(SwiGLUParticleBlock, rms_norm=rms_norm)
    assert (block.qkv.bias is None) == rms_norm
    expected = torch.cat([restated(block, jet, jet) for jet in x.split(LENGTHS.tolist())])
    torch.testing.assert_close(block(x, None, layout), expected, **EXACT)
    block = block_of(SwiGLUClassBlock, rms_norm=rms_norm)
    tokens = torch.randn(3, 8, dtype=torch.float64)
    expected = torch.cat(
        [
            restated(block, token, torch.cat([token, jet]))
            for token, jet in zip(tokens.split(1), x.split(LENGTHS.tolist()), strict=True)
        ]
    )
    torch.testing.assert_close(block(tokens, x, layout), expected, **EXACT)


def test_a_dropped_path_leaves_whole_jets_as_they_were():
    block = block_of(SwiGLUParticleBlock, drop_path=0.5).train()
    x, layout = torch.randn(15, 8, dtype=torch.float64), JetLayout(LENGTHS)
    whole = block_of(SwiGLUParticleBlock).train()(x, None, layout)
    torch.testing.assert_close(block.eval()(x, None, layout), whole)
    block.train()
    unchanged = 0
    for seed in range(60):
        torch.manual_seed(seed)
        same = (block(x, None, layout) == x).all(dim=1)
        jets = same.split(LENGTHS.tolist())
        assert all(jet.all() or not jet.any() for jet in jets)  # a jet as a whole
        unchanged += sum(bool(jet.all()) for jet in jets)
    assert 0.15 < unchanged / 180 < 0.35  # both branches are dropped in a quarter of the cases


@pytest.mark.parametrize("version", VERSIONS)
def test_logits_are_those_of_weaver(version, tmp_path):
    state, batch, expected = weaver_golden("0.5.3", f"version{version}_")
    torch.save(state, tmp_path / "weights.pt")
    read = read_network(tmp_path / "weights.pt", "kin")
    assert read.recognized.startswith(f"Particle Transformer of version {version}, ")
    assert {name: getattr(read.options, name) for name in VERSIONS[version]} == VERSIONS[version]
    assert expected.std(dim=0).min() > 0.05
    with torch.no_grad():
        torch.testing.assert_close(read.network(batch), expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("blocks.0.attn.q_norm.weight", r"version 3\.5 or 3\.6, with norms of queries and keys"),
        ("blocks.0.attn.gate_proj.weight", r"version 3\.5 or 3\.6, with gates"),
        ("blocks.0.ls1.gamma", "layer scales"),
    ],
)
def test_later_versions_are_refused_by_name(key, named, tmp_path):
    state = without_prefix(weaver_golden("0.5.3", "version3_")[0])
    torch.save(state | {key: torch.ones(4)}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=f"ParticleTransformer of .*{named}"):
        read_network(tmp_path / "weights.pt", "kin")


def small(**options):
    torch.manual_seed(3)
    options = SMALL["particle_transformer"] | options
    return build_model(ParticleTransformerOptions(**options), "kin", 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_is_trained_has_a_gradient(version):
    network = small(**VERSIONS[version], initialization="xavier").train()
    network(toy_batch(8)).square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert not without


def test_options_of_other_blocks_are_refused_and_a_footnote_names_the_version():
    with pytest.raises(ValidationError, match="rms_norm and drop_path belong to block: swiglu"):
        ParticleTransformerOptions(drop_path=0.1)
    notes = ParticleTransformer.footnotes(ParticleTransformerOptions(**VERSIONS[3]))
    assert notes == ("the blocks of weaver's Particle Transformer of version 3",)
