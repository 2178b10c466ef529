"""Masked particle modelling as its authors' code has it: heads, mask vector, sums, restated."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.leaks import check_no_leak
from helpers.networks import small_network
from parttag.errors import InputError
from parttag.models.layers.masking import visible_jets
from parttag.models.layers.normformer import dense_network
from parttag.models.mpm import _inputs
from parttag.models.particle_tokenizer import Tokenizer, TokenizerOptions
from parttag.runs.config import load_config
from parttag.runs.recipes import find_recipe
from parttag.testing import toy_batch
from parttag.training.objectives import build_objective
from parttag.training.objectives.masked import MaskedHead, MaskedOptions, draw_hidden

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SMALL_TOKENIZER = {"num_codes": 12, "width": 16, "hidden_dim": 16, "num_layers": 1, "num_heads": 4}


def published_options():
    return load_config(find_recipe("pretraining/mpm")).objective


def test_the_heads_of_the_recipe_have_the_published_numbers_of_parameters():
    with torch.device("meta"):
        head = MaskedHead(published_options(), 1024, torch.ones(3))
    assert sum(p.numel() for p in head.output.parameters()) == 788_480
    assert sum(p.numel() for p in head.positions.parameters()) == 893_184
    assert head.placeholder.numel() == 3


def masked(**options):
    network = small_network("mpm").double().eval()
    sizes = {"width": 16, "dense_dim": 12, "num_heads": 4, "tokenizer": SMALL_TOKENIZER}
    objective = build_objective(MaskedOptions(**sizes | options), network)
    torch.manual_seed(2)
    for parameter in network.head.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.double().eval(), objective


def dense(layers, x, *, norm=True):
    """Return linear → leaky ReLU → LN → linear, written out."""
    first, _, middle, last = layers
    hidden = F.leaky_relu(F.linear(x, first.weight, first.bias), 0.1)
    if norm:
        hidden = F.layer_norm(hidden, hidden.shape[-1:], middle.weight, middle.bias)
    return F.linear(hidden, last.weight, last.bias)


def norm_of(layer, x):
    return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias)


def encoder(layers, norm, x, num_heads):
    """Return one jet after NormFormer layers, written out."""
    for layer in layers:
        qkv = F.linear(norm_of(layer.attention_norm, x), layer.qkv.weight, layer.qkv.bias)
        q, k, v = qkv.view(len(x), 3, num_heads, -1).permute(1, 2, 0, 3)
        scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        heads = (scores @ v).transpose(0, 1).flatten(1)
        x = x + F.linear(norm_of(layer.heads_norm, heads), layer.out.weight, layer.out.bias)
        x = x + dense(layer.dense, norm_of(layer.dense_norm, x))
    return norm_of(norm, x)


def test_logits_are_those_of_the_published_pieces():
    network, objective = masked(placeholder="inputs", output_dim=20, positions="jet")
    head = network.head
    standard = network.backbone.standardization
    standard.count += 10  # it has learned something of the inputs
    standard.mean += torch.tensor([0.1, -0.2, 2.0])
    standard.squares += torch.tensor([5.0, 2.5, 40.0])
    batch = toy_batch(lengths=[9], seed=3).to("cpu", torch.float64)
    torch.manual_seed(1)
    loss = objective(network, batch).loss
    torch.manual_seed(1)
    hidden = draw_hidden(batch.lengths, 0.3)
    # The axis that angles are relative to is that of the visible particles.
    x = head.placeholder.repeat(9, 1)
    visible = visible_jets(batch, hidden)
    x[~hidden] = _inputs(visible)
    x = (x - standard.mean) / (standard.squares / standard.count).sqrt()
    body = network.backbone.encoder
    x = encoder(body.layers, body.norm, dense(body.embedding, x), 4)
    outputs = dense(head.output, x) + head.positions.positions[:9]
    body = head.positions.network
    x = encoder(body.layers, body.norm, dense(body.embedding, outputs), 4)
    logits = dense(head.positions.output, x)[hidden]
    expected = F.cross_entropy(logits, head.tokenizer.codes(batch)[hidden])
    torch.testing.assert_close(loss, expected, **EXACT)


def test_the_mask_vector_tells_nothing_of_what_it_hides():
    network, _ = masked(placeholder="inputs", positions="hidden")
    batch = toy_batch(lengths=[5, 1, 0, 17], seed=3).to("cpu", torch.float64)
    hidden = draw_hidden(batch.lengths, 0.3)
    check_no_leak(
        lambda jets: network.encode_particles(jets, hidden, network.head.placeholder), batch, hidden
    )
    particles = network.encode_particles(batch, hidden, network.head.placeholder)
    (gradient,) = torch.autograd.grad(particles.square().sum(), network.head.placeholder)
    assert gradient.all()


def test_features_may_be_added_up():
    losses = {}
    for choice in (False, True):
        network, objective = masked(target="features", sum_features=choice, positions="none")
        batch = toy_batch(lengths=[6, 9], seed=3).to("cpu", torch.float64)
        torch.manual_seed(1)
        losses[choice] = objective(network, batch).loss
    torch.testing.assert_close(losses[True], 3 * losses[False], **EXACT)


def test_only_the_published_encoder_takes_a_mask_vector_of_inputs():
    network = small_network("particle_transformer")
    with pytest.raises(InputError, match=r"inputs takes a network .* choose model\.name=mpm"):
        build_objective(MaskedOptions(placeholder="inputs"), network)


def test_output_networks_of_the_published_tokenizer_have_no_norm():
    options = {"num_codes": 6, "width": 16, "hidden_dim": 12, "num_layers": 1, "num_heads": 4}
    tokenizer = Tokenizer(TokenizerOptions(**options, output_norm=False)).double().eval()
    x = torch.randn(7, 3, dtype=torch.float64)
    body = tokenizer.encoder
    states = encoder(body.layers, body.norm, dense(body.embedding, x), 4)
    expected = dense(tokenizer.to_latent, states, norm=False)
    torch.testing.assert_close(tokenizer._latents(x, np.array([7])), expected, **EXACT)
    counts = [
        sum(p.numel() for p in dense_network(16, 12, 4, norm=norm).parameters())
        for norm in (True, False)
    ]
    assert counts[0] - counts[1] == 2 * 12
