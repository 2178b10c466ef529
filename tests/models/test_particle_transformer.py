"""The Particle Transformer: counts, initialization, trimming, and its own definition."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from helpers.networks import small_network
from parttag.jets import pair_features
from parttag.jets.batch import make_batch
from parttag.jets.features import particle_features
from parttag.models import build_model, particle_transformer
from parttag.models.layers.masking import visible_jets
from parttag.models.layers.trimmer import ParticleTrimmer, random_subset
from parttag.models.particle_transformer import ParticleTransformerOptions, cache_sized
from parttag.ops import layout
from parttag.ops.layout import JetLayout
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT32_NETWORK, FLOAT64_NETWORK


def count_parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("features", "num_classes", "count"),
    [("kin", 2, 2_141_134), ("kin", 10, 2_142_166), ("full", 10, 2_143_486)],
)
def test_the_paper_network_has_the_published_number_of_parameters(features, num_classes, count):
    network = build_model(ParticleTransformerOptions(), features, num_classes)
    assert count_parameters(network) == count


def dense_logits(network, batch):
    """Return the logits of a padded restatement with torch's own layers, jets on the batch axis."""
    backbone = network.backbone
    mask = batch.pad().mask
    features = torch.zeros(*mask.shape, len(network.feature_names), dtype=torch.float64)
    features[mask] = particle_features(batch, network.feature_names)
    slots = mask.shape[1]
    first, second = (
        index.flatten() for index in torch.meshgrid(*[torch.arange(slots)] * 2, indexing="ij")
    )
    x = torch.zeros(*mask.shape, backbone.norm.normalized_shape[0], dtype=torch.float64)
    x[mask] = backbone.embedding(features[mask])
    num_heads = backbone.blocks[0].num_heads
    bias = torch.zeros(len(batch), slots, slots, num_heads, dtype=torch.float64)
    for jet, p4 in enumerate(batch.pad().p4):
        high, low = torch.maximum(first, second), torch.minimum(first, second)
        pairs = pair_features.pair_features(p4, high, low)
        bias[jet] = backbone.pair_network.reference(pairs).t().view(slots, slots, num_heads)

    def attention(block, query, key_value, key_mask, bias=None):
        width = query.shape[-1]
        mha = torch.nn.MultiheadAttention(width, num_heads, batch_first=True, dtype=torch.float64)
        mha.load_state_dict(
            {
                "in_proj_weight": block.qkv.weight,
                "in_proj_bias": block.qkv.bias,
                "out_proj.weight": block.out.weight,
                "out_proj.bias": block.out.bias,
            }
        )
        blocked = torch.where(key_mask, 0.0, -torch.inf).double()[:, None, None, :]
        blocked = blocked.expand(-1, num_heads, query.shape[1], -1)
        if bias is not None:
            blocked = blocked + bias.permute(0, 3, 1, 2)
        out, _ = mha(
            query, key_value, key_value, attn_mask=blocked.flatten(0, 1), need_weights=False
        )
        scaled = out.unflatten(-1, (num_heads, -1)) * block.head_scale[:, None]
        return block.post_attention_norm(scaled.flatten(-2))

    for block in backbone.blocks:
        normed = block.pre_attention_norm(x)
        x = x + attention(block, normed, normed, mask, bias)
        x = block.feedforward(x) + block.residual_scale * x
    token = backbone.class_token.expand(len(batch), 1, -1)
    with_token = torch.cat([torch.ones(len(batch), 1, dtype=torch.bool), mask], dim=1)
    for block in backbone.class_blocks:
        keys = block.pre_attention_norm(torch.cat([token, x], dim=1))
        token = token + attention(block, token, keys, with_token)
        token = block.feedforward(token) + block.residual_scale * token
    return network.head(backbone.norm(token[:, 0]))


def test_packed_network_is_a_padded_one_of_torchs_layers():
    network = small_network("particle_transformer").double().eval()
    batch = toy_batch(lengths=[1, 2, 16, 17, 40]).to("cpu", torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(batch), dense_logits(network, batch), **FLOAT64_NETWORK)


def test_float32_logits_are_those_of_float64_given_the_same_pair_features(monkeypatch):
    network = small_network("particle_transformer").eval()
    batch = toy_batch(60, seed=4)
    exact = pair_features.pair_features

    def from_float32(p4, first, second, **options):
        return exact(p4.float(), first, second, **options).to(p4.dtype)

    monkeypatch.setattr(pair_features, "pair_features", from_float32)
    with torch.no_grad():
        narrow = network(batch)
        wide = network.double()(batch.to("cpu", torch.float64))
    assert (narrow - wide).norm() / wide.norm() < 1e-5


def test_torch_initialization_is_the_one_of_the_papers_time():
    torch.manual_seed(0)
    network = build_model(ParticleTransformerOptions(), "kin", 2)
    block = network.backbone.blocks[7]
    assert block.qkv.weight.std().item() == pytest.approx(math.sqrt(6 / 512 / 3), rel=0.02)
    assert block.feedforward.out.weight.std().item() == pytest.approx(0.0255, rel=0.02)
    assert not block.qkv.bias.any()
    assert not block.out.bias.any()
    assert block.feedforward.hidden.bias.any()
    assert network.backbone.class_token.std().item() == pytest.approx(0.02, rel=0.3)


def test_xavier_initialization_is_weavers():
    torch.manual_seed(0)
    network = build_model(ParticleTransformerOptions(initialization="xavier"), "kin", 2)
    block = network.backbone.blocks[7]
    assert block.qkv.weight.std().item() == pytest.approx(math.sqrt(6 / 256 / 3), rel=0.02)
    assert block.feedforward.out.weight.std().item() == pytest.approx(0.0139, rel=0.02)
    assert block.out.weight.std().item() == pytest.approx(0.0221, rel=0.02)
    class_block = network.backbone.class_blocks[1]
    assert class_block.feedforward.out.weight.std().item() == pytest.approx(0.0558, rel=0.02)
    assert not block.feedforward.hidden.bias.any()
    assert not network.head.bias.any()
    pair_layer = network.backbone.pair_network.layers[1].linear
    assert pair_layer.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 64), rel=0.05)
    assert pair_layer.bias.any()


def test_width_must_split_into_heads():
    with pytest.raises(ValidationError, match="30, is not a multiple of num_heads, 8"):
        ParticleTransformerOptions(embed_dims=(16, 30))


def test_class_token_is_not_decayed():
    network = small_network("particle_transformer")
    assert network.no_weight_decay() <= dict(network.named_parameters()).keys()


class TestTrimmer:
    @pytest.mark.parametrize("most", [1, 7, 40])
    def test_the_subset_is_that_of_all_particles_sorted_by_jet_and_random_number(self, most):
        lengths = np.array([3, 0, 40, 7, 8, 1, 25])
        torch.manual_seed(3)
        keep = random_subset(lengths, most)
        torch.manual_seed(3)
        numbers = iter(torch.rand(int(lengths.sum())).tolist())
        expected = []
        for length in lengths:
            drawn = [next(numbers) for _ in range(length)]
            expected += [number in sorted(drawn)[:most] for number in drawn]
        assert keep.tolist() == expected

    def trim(self, batch, calls=1, seed=0):
        trimmer = ParticleTrimmer()
        torch.manual_seed(seed)
        for _ in range(calls):
            trimmed = trimmer(batch)
        return trimmed

    def test_the_first_five_batches_are_left_alone(self):
        batch = toy_batch(50)
        assert self.trim(batch, calls=5) is batch

    def test_longer_jets_lose_random_particles_and_shorter_ones_none(self):
        batch = make_batch(toy_jets(lengths=[*range(1, 101)]))
        cut = 0
        for seed in range(20):
            trimmed = self.trim(batch, calls=6, seed=seed)
            longest = trimmed.max_length
            assert longest >= int(np.quantile(batch.lengths, 0.9))
            np.testing.assert_array_equal(trimmed.lengths, np.minimum(batch.lengths, longest))
            cut += longest < 100
            before, after = batch.pad().p4[-1], trimmed.pad().p4[-1]
            rows = [(before == particle).all(dim=1).nonzero().item() for particle in after]
            assert rows == sorted(set(rows))
        assert 10 <= cut < 20  # a sixth of the batches keeps its full length

    def test_evaluation_does_not_trim(self):
        trimmer = ParticleTrimmer().eval()
        batch = toy_batch(50)
        assert all(trimmer(batch) is batch for _ in range(10))

    def test_the_number_of_calls_is_part_of_the_state(self):
        network = small_network("particle_transformer")
        network.backbone.trimmer.num_calls = 17
        other = small_network("particle_transformer")
        other.load_state_dict(network.state_dict())
        assert other.backbone.trimmer.num_calls == 17


@pytest.mark.parametrize("lengths", [[], [0], [3000, 2000, 0, 5000, 1], [60] * 200], ids=len)
def test_parts_for_the_cache_hold_every_jet_in_order(lengths):
    batch = toy_batch(lengths=lengths)
    parts = cache_sized(batch)
    assert np.concatenate([part.lengths for part in parts]).tolist() == lengths
    assert torch.cat([part.p4 for part in parts]).equal(batch.p4)
    assert all(part.num_particles <= 4096 + part.max_length for part in parts)


def test_inference_in_parts_gives_the_logits_of_the_whole(monkeypatch):
    monkeypatch.setattr(particle_transformer, "_PARTICLES_IN_CACHE", 50)
    network = small_network("particle_transformer").double().eval()
    batch = toy_batch(30).to("cpu", torch.float64)
    whole = network(batch)  # with gradients, in one piece
    with torch.no_grad():
        torch.testing.assert_close(network(batch), whole, **FLOAT64_NETWORK)


def test_rows_up_to_a_round_number_change_neither_logits_nor_gradients(monkeypatch):
    network = small_network("particle_transformer", dropout=0.0).double().train()
    batch = toy_batch(30).to("cpu", torch.float64)

    def logits_and_gradients():
        logits = network(batch)
        return logits, *torch.autograd.grad(logits.square().sum(), list(network.parameters()))

    whole = logits_and_gradients()
    monkeypatch.setattr(layout, "_LEAST_ROWS", 0)
    assert JetLayout(batch.lengths).bucket > batch.num_particles
    for padded, one in zip(logits_and_gradients(), whole, strict=True):
        torch.testing.assert_close(padded, one, **FLOAT64_NETWORK)


def logits_and_gradients(kernels, dtype):
    sizes = {"embed_dims": (16, 32), "num_heads": 2, "pair_dims": (8,), "dropout": 0.0}
    network = small_network("particle_transformer", **sizes, trim=False, kernels=kernels).to(dtype)
    logits = network.train()(toy_batch(lengths=[5, 0, 17]).to("cpu", dtype))
    logits.square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return {"logits": logits.detach(), **gradients}


@pytest.mark.parametrize("kernels", ["torch", "padded"])
def test_no_path_changes_a_logit_or_a_gradient(kernels):
    ours, expected = (logits_and_gradients(k, torch.float64) for k in (kernels, "reference"))
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, **FLOAT64_NETWORK, msg=name)


def test_kernels_change_no_logit_and_no_gradient():
    pytest.importorskip("triton")
    ours, expected = (logits_and_gradients(k, torch.float32) for k in ("triton", "reference"))
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, **FLOAT32_NETWORK, msg=name)


def test_with_nothing_hidden_particles_are_those_of_the_whole_jets():
    network = small_network("particle_transformer").double().eval()
    batch = make_batch(toy_jets(lengths=[5, 1, 17], seed=3)).to("cpu", torch.float64)
    batch = visible_jets(batch, np.zeros(23, dtype=bool))  # whose axis is that of the sum
    placeholder = torch.ones(network.particle_width, dtype=torch.float64)
    hidden = network.encode_particles(batch, np.zeros(23, dtype=bool), placeholder)
    torch.testing.assert_close(network.encode_particles(batch), hidden, **FLOAT64_NETWORK)


COMPILE = """
from torch._dynamo.testing import CompileCounter
from parttag.testing import toy_batch
from helpers.networks import small_network
network = small_network("particle_transformer", dropout=0.1).train()
counter = CompileCounter()
network.compile(backend=counter, dynamic=True)
for seed in range(4):
    network(toy_batch(20 + seed, seed)).sum().backward()
    print(counter.frame_count)
"""


@pytest.mark.slow
def test_compiled_layers_are_traced_once_for_batches_of_any_size():
    # In a process of its own: the checks of shapes in these tests cannot be traced.
    result = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    # The embedding, and both kinds of block before and after attention: not one for each block.
    assert result.stdout.split() == ["5"] * 4
