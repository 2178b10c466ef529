from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import SMALL, small_network
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.omnijet import OmniJet, OmniJetOptions, Sentences
from parttag.ops.layout import JetLayout
from parttag.options import read_options
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT32_NETWORK, FLOAT64_NETWORK


def double(name: str = "omnijet", **changes: object) -> OmniJet:
    return small_network(name, **changes).double().eval()


def trained_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_parameters_are_as_many_as_published():
    network = build_model(OmniJetOptions(), "kin", 2)
    assert network.num_tokens == 8194
    assert trained_parameters(network.backbone) == 4_464_640
    assert trained_parameters(network.head) == 66_306
    assert trained_parameters(network) == 4_464_640 + 66_306  # none of them the tokenizer's


def test_sentences_begin_with_start_and_end_with_stop():
    network = small_network("omnijet")  # 12 codes: 0 is start, 13 is stop
    codes, lengths = torch.tensor([4, 11, 0]), np.array([2, 0, 1])

    def words(**choice: bool) -> tuple[list[int], list[int]]:
        sentences = network.sentences(codes, lengths, **choice)
        return sentences.tokens.tolist(), sentences.layout.lengths.tolist()

    assert words() == ([0, 5, 12, 13, 0, 13, 0, 1, 13], [4, 2, 3])
    assert words(stop=False) == ([0, 5, 12, 0, 0, 1], [3, 1, 2])
    assert words(start=False) == ([5, 12, 13, 13, 1, 13], [3, 1, 2])


def test_blocks_are_those_of_torch_with_the_norm_behind():
    network = double()
    lengths = np.array([6, 1, 9])
    tokens = torch.randint(network.num_tokens, (16,))
    states = network.backbone(Sentences(tokens, JetLayout(lengths)))
    for start, length in zip((0, 6, 7), lengths, strict=True):
        x = network.backbone.embedding(tokens[start : start + length])[None]
        mask = nn.Transformer.generate_square_subsequent_mask(int(length), dtype=x.dtype)
        for block in network.backbone.blocks:
            x = torch_layer(block)(x, src_mask=mask, is_causal=True)
        torch.testing.assert_close(states[start : start + length], x[0], **FLOAT64_NETWORK)


def torch_layer(block: nn.Module) -> nn.TransformerEncoderLayer:
    """Return torch's layer with the weights of a block, its bias of queries and the like at 0."""
    width = block.out.in_features
    layer = nn.TransformerEncoderLayer(
        width, block.num_heads, 4 * width, dropout=0.0, batch_first=True, dtype=torch.float64
    ).train()
    attention = layer.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(block.qkv.weight)
        attention.in_proj_bias.zero_()
    attention.out_proj.load_state_dict(block.out.state_dict())
    layer.linear1.load_state_dict(block.feedforward[0].state_dict())
    layer.linear2.load_state_dict(block.feedforward[2].state_dict())
    layer.norm1.load_state_dict(block.attention_norm.state_dict())
    layer.norm2.load_state_dict(block.feedforward_norm.state_dict())
    return layer


def test_classes_are_told_from_the_sum_over_all_tokens_of_a_layer_of_each():
    network = double()
    batch = toy_batch(lengths=[4, 0, 2]).to("cpu", torch.float64)
    sentences = network.sentences(network.backbone.tokenizer.codes(batch), batch.lengths)
    states = network.backbone(sentences)
    hidden = network.head.particle(states).clamp(min=0)
    sums = torch.stack([part.sum(dim=0) for part in hidden.split([6, 2, 4])])
    torch.testing.assert_close(network(batch), network.head.jet(sums), **FLOAT64_NETWORK)
    encoded = torch.stack([part.sum(dim=0) for part in states.split([6, 2, 4])])
    torch.testing.assert_close(network.encode(batch), encoded, **FLOAT64_NETWORK)
    assert network.encoded_width == encoded.shape[1]


def test_only_the_hardest_particles_are_read():
    network = small_network("omnijet", max_particles=5).eval()
    jets = toy_jets(lengths=[9, 3], seed=2)
    cut = make_batch(jets, max_particles=5)
    torch.testing.assert_close(network(make_batch(jets)), network(cut), **FLOAT32_NETWORK)


def test_token_by_token_is_the_whole_sentence():
    network = double()
    tokens = torch.randint(network.num_tokens, (3, 7))
    whole = network.backbone(Sentences(tokens.flatten(), JetLayout(np.full(3, 7)))).unflatten(
        0, (3, 7)
    )
    memory = network.backbone.remember(3, 7)
    for place in range(7):
        state = network.backbone.extend(tokens[:, place], memory)
        torch.testing.assert_close(state, whole[:, place], **FLOAT64_NETWORK)


def states_before_and_after_a_change(network: OmniJet) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the states at the tokens that come before the particles that are changed.

    Of two jets of 12 and 20 particles, all from the fifth on are turned and made softer.
    """
    jets = toy_jets(lengths=[12, 20], seed=6)
    p4 = jets.p4.copy()
    later = np.r_[4:12, 16:32]
    turn = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], np.float32)
    p4[later] = 0.5 * p4[later] @ turn.T
    # The quantities of the jet are its particles' sums.
    changed_p4 = np.add.reduceat(p4.astype(np.float64), [0, 12])
    eta = np.arcsinh(changed_p4[:, 2] / np.hypot(changed_p4[:, 0], changed_p4[:, 1]))
    phi = np.arctan2(changed_p4[:, 1], changed_p4[:, 0])
    changed = replace(
        jets,
        p4=p4,
        jet_p4=changed_p4.astype(np.float32),
        jet_axis=np.stack([eta, phi], axis=1).astype(np.float32),
    )
    states = []
    for arrays in (jets, changed):
        batch = make_batch(arrays)
        sentences = network.sentences(network.backbone.tokenizer.codes(batch), batch.lengths)
        # Start and four particles of each jet.
        states.append(network.backbone(sentences)[np.r_[0:5, 14:19]])
    return states[0], states[1]


def tokenizer_with(**changes: object) -> dict[str, object]:
    # Many codes, so that another particle is another code.
    return {**SMALL["omnijet"]["tokenizer"], "num_codes": 200, **changes}


def test_nothing_of_later_particles_reaches_the_states_before_them():
    network = small_network("omnijet", tokenizer=tokenizer_with()).eval()
    before, after = states_before_and_after_a_change(network)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.parametrize("leak", [{"frame": "jet"}, {"num_layers": 1}], ids=str)
def test_tokens_that_tell_of_later_particles_must_be_asked_for(leak):
    options = {"tokenizer": tokenizer_with(**leak)}
    with pytest.raises(InputError, match=r"tokens tell of later particles; .* set allow_leaks"):
        read_options(OmniJetOptions, options)
    network = small_network("omnijet", **options, allow_leaks=True).eval()
    for layer in network.backbone.tokenizer.tokenizer.encoder.layers:
        nn.init.normal_(layer.out.weight)  # a fresh one is zero
    before, after = states_before_and_after_a_change(network)
    assert not torch.equal(before, after)


def test_the_width_must_split_into_heads():
    with pytest.raises(InputError, match="embed_dim, 10, is not a multiple of num_heads, 4"):
        read_options(OmniJetOptions, {"embed_dim": 10, "num_heads": 4})
