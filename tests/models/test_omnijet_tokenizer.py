"""OmniJet-α's own tokenizer, restated on padded jets with torch's attention, and its codebook."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from parttag.models.layers.gradient_quantizer import GradientQuantizer
from parttag.models.layers.omnijet_coder import OmniJetLayer
from parttag.models.particle_tokenizer import Tokenizer, TokenizerOptions

LENGTHS = [5, 1, 9]
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def omnijet(**changes):
    options = {"num_codes": 12, "latent_dim": 3, "width": 16, "hidden_dim": 20, "num_layers": 2}
    options |= {"num_heads": 4, "architecture": "omnijet", "codebook": "gradients"}
    torch.manual_seed(1)
    tokenizer = Tokenizer(TokenizerOptions(**options | changes)).double()
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.normal_(std=0.4)
    return tokenizer


def test_the_published_tokenizer_has_its_number_of_parameters():
    tokenizer = Tokenizer(TokenizerOptions(architecture="omnijet"))  # its codebook is a buffer
    assert sum(p.numel() for p in tokenizer.parameters()) == 800_775
    published = TokenizerOptions(architecture="omnijet", codebook="gradients")
    of_codes = sum(p.numel() for p in Tokenizer(published).quantizer.parameters())
    assert of_codes == 512 * 4 + 2 * 4  # and of the affine transform
    ours = Tokenizer(TokenizerOptions())
    assert sum(p.numel() for p in ours.parameters()) == 870_407


def padded_coder(coder, output, x, mask):
    """Return the published half of a tokenizer on padded jets, with torch's own attention."""
    x = coder.embedding(x)
    for layer in coder.layers:
        x = x * mask[..., None]
        width = x.shape[-1]
        attention = nn.MultiheadAttention(width, 4, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            attention.in_proj_weight.copy_(layer.qkv.weight)
            attention.in_proj_bias.copy_(layer.qkv.bias)
        attention.out_proj = layer.out
        normed = F.layer_norm(x, (width,), layer.attention_norm.weight, layer.attention_norm.bias)
        attended, _ = attention(normed, normed, normed, key_padding_mask=mask == 0)
        norm = layer.out_norm
        x = x + F.layer_norm(attended, (width,), norm.weight, norm.bias)
        norm, first, _, _, last = layer.dense
        hidden = F.layer_norm(x, (width,), norm.weight, norm.bias)
        hidden = F.linear(hidden, first.weight, first.bias)
        x = x + F.linear(hidden * hidden.sigmoid(), last.weight, last.bias)
    x = x * mask[..., None]
    return F.linear(x, output.weight, output.bias) * mask[..., None]


def test_particles_come_back_as_from_the_published_layers():
    tokenizer = omnijet().eval()
    features = torch.randn(sum(LENGTHS), 3, dtype=torch.float64)
    mask = (torch.arange(11) < torch.tensor(LENGTHS)[:, None]).double()
    padded = torch.zeros(len(LENGTHS), 11, 3, dtype=torch.float64)
    padded[mask.bool()] = features
    latents = padded_coder(tokenizer.encoder, tokenizer.to_latent, padded, mask)
    ours = tokenizer._latents(features, np.array(LENGTHS))
    torch.testing.assert_close(ours, latents[mask.bool()], **EXACT)
    quantizer = tokenizer.quantizer
    table = quantizer.codebook * (1 + 2 * quantizer.scale) + 2 * quantizer.bias
    codes = torch.cdist(latents, table).argmin(dim=-1)
    expected = padded_coder(tokenizer.decoder, tokenizer.to_features, table[codes], mask)
    result = tokenizer(features, np.array(LENGTHS))
    assert torch.equal(result.codes, codes[mask.bool()])
    torch.testing.assert_close(result.features, expected[mask.bool()], **EXACT)
    decoded = tokenizer.decode(result.codes, np.array(LENGTHS))
    torch.testing.assert_close(decoded, result.features, **EXACT)


def test_a_fresh_layer_begins_with_zeros_where_the_published_one_does():
    layer = OmniJetLayer(8, 6, 2, 0.1)
    zeros = (layer.attention_norm.weight, layer.dense[-1].weight, layer.dense[-1].bias)
    assert not any(value.any() for value in zeros)
    assert layer.out_norm.weight.eq(1).all()


def quantizer(num_codes=6, width=3):
    torch.manual_seed(0)
    layer = GradientQuantizer(num_codes, width).double()
    layer.is_initialized.fill_(True)
    with torch.no_grad():
        layer.scale.normal_(std=0.1)
        layer.bias.normal_(std=0.1)
    return layer


def test_gradients_move_vectors_codes_and_the_affine_transform():
    ours, x = quantizer(), torch.randn(40, 3, dtype=torch.float64, requires_grad=True)
    result = ours(x)
    table = ours.codebook * (1 + 2 * ours.scale) + 2 * ours.bias
    chosen = table[torch.cdist(x, table).argmin(dim=1)]
    torch.testing.assert_close(result.values, chosen, **EXACT)
    # The published loss is 10·[0.1·(z − sg q)² + 0.9·(sg z − q)²], averaged over the width.
    loss = (x - chosen.detach()).square() + 9 * (x.detach() - chosen).square()
    torch.testing.assert_close(result.commitment, loss.mean(dim=1), **EXACT)
    weights = torch.randn_like(x)
    into = [x, ours.codebook, ours.scale, ours.bias]
    straight = torch.autograd.grad((weights * result.values).sum(), into, retain_graph=True)
    through = torch.autograd.grad((2 * weights * chosen).sum(), into[1:])
    torch.testing.assert_close(straight, (weights, *through), **EXACT)


def test_codes_that_ten_batches_left_alone_are_put_on_vectors():
    ours, x = quantizer(), torch.randn(40, 3, dtype=torch.float64)
    with torch.no_grad():
        ours.codebook[:2] = 1e3
    for _ in range(9):
        ours(x)
        assert (ours.codebook[:2] == 1e3).all()
    ours(x)
    nearest = (ours.table()[:2, None] - x).abs().amax(dim=2).amin(dim=1)
    assert (nearest < 1e-9).all()


def test_labels_may_leave_the_affine_transform_out():
    features = torch.randn(15, 3, dtype=torch.float64)
    plain, raw = (omnijet(raw_labels=choice).eval() for choice in (False, True))
    codes, labels = (t.encode(features, np.array(LENGTHS)) for t in (plain, raw))
    vectors = plain.quantizer.table()[codes]
    expected = torch.cdist(vectors, plain.quantizer.codebook).argmin(dim=1)
    assert torch.equal(labels, expected)
    assert not torch.equal(labels, codes)
    with pytest.raises(ValidationError, match="raw_labels needs codebook: gradients"):
        TokenizerOptions(raw_labels=True)


def test_a_codebook_of_gradients_resumes_with_all_that_decides_what_it_does_next():
    ours, x = quantizer(), torch.randn(40, 3, dtype=torch.float64)
    ours(x)
    other = GradientQuantizer(6, 3).double()
    other.load_state_dict(ours.state_dict())
    assert other.num_batches == 1
    assert torch.equal(other.uses, ours.uses)
    assert torch.equal(other(x).values, ours(x).values)
