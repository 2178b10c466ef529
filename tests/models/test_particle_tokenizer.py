"""The particle tokenizer: its features and frames, its codes, and that frozen means frozen."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from helpers.leaks import check_no_leak
from helpers.networks import small_network
from parttag.jets import kinematics
from parttag.models.particle_tokenizer import (
    FrozenTokenizer,
    Tokenizer,
    TokenizerOptions,
    frame_axis,
    token_errors,
    token_features,
    token_p4,
)
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64

SMALL = {"num_codes": 12, "latent_dim": 3, "width": 16, "hidden_dim": 16, "num_heads": 4}
LENGTHS = [5, 1, 0, 17]


def double_batch(lengths=LENGTHS, seed=3):
    return toy_batch(lengths=lengths, seed=seed).to("cpu", torch.float64)


def test_features_of_a_particle_by_hand():
    # pT = e^2 at η = 0.5, φ = 3.1, seen from (0.3, −3.1): across φ = π they are 2π − 6.2 apart.
    pt, eta, phi = math.exp(2), 0.5, 3.1
    momentum = [pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)]
    p4 = torch.tensor([[*momentum, pt * math.cosh(eta)]], dtype=torch.float64)
    axis = torch.tensor([[0.3, -3.1]], dtype=torch.float64)
    expected = torch.tensor([[0.2, 0.6, 3 * (6.2 - 2 * math.pi)]], dtype=torch.float64)
    torch.testing.assert_close(token_features(p4, axis), expected)
    torch.testing.assert_close(token_p4(expected, axis), p4)


def test_particles_come_back_from_their_features_but_for_their_masses():
    p4 = double_batch().p4
    axis = torch.tensor([[0.1, 3.0]], dtype=torch.float64).expand(len(p4), 2)
    # The toy particles are massless.
    back = token_p4(token_features(p4, axis), axis)
    torch.testing.assert_close(back, p4, rtol=1e-6, atol=1e-6)


def test_features_are_finite_for_particles_along_the_beam_and_for_none():
    p4 = torch.tensor([[0.0, 0, 5, 5], [0, 0, 0, 1], [0, 0, 0, 0], [1e9, 0, 0, 1e9]])
    features = token_features(p4, torch.zeros(4, 2))
    assert features.abs().max() <= 10
    assert token_p4(1e3 * features, torch.zeros(4, 2)).isfinite().all()


def test_errors_are_those_of_the_momenta():
    one, other = (double_batch(seed=seed).p4 for seed in (3, 4))
    axis = torch.zeros(len(one), 2, dtype=torch.float64)
    pt_error, angle_error = token_errors(token_features(one, axis), token_features(other, axis))
    log_ratio = (kinematics.pt(one) / kinematics.pt(other)).log().abs()
    delta_phi = kinematics.delta_phi(kinematics.phi(one), kinematics.phi(other))
    delta_r = kinematics.delta_r(kinematics.eta(one) - kinematics.eta(other), delta_phi)
    torch.testing.assert_close(pt_error, log_ratio, **FLOAT64)
    torch.testing.assert_close(angle_error, delta_r, **FLOAT64)


def test_the_frame_is_the_hardest_particle_or_the_jet():
    batch = double_batch()
    jet = np.repeat(np.arange(4), LENGTHS)
    hardest = torch.stack([batch.p4[np.flatnonzero(jet == n)[0]] for n in jet])
    expected = torch.stack([kinematics.eta(hardest), kinematics.phi(hardest)], dim=1)
    assert torch.equal(frame_axis(batch, "hardest"), expected)
    assert torch.equal(frame_axis(batch, "jet"), batch.jet_axis[jet])
    features = token_features(batch.p4, frame_axis(batch, "hardest"))
    assert not features[[0, 5, 6], 1:].any()


def test_codes_are_in_range_and_decode_to_what_the_network_returns():
    tokenizer = small_network("particle_tokenizer").double().eval()
    batch = double_batch()
    features = tokenizer.inputs(batch)
    tokens = tokenizer.tokenize(batch)
    codes = tokenizer.backbone.encode(features, batch.lengths)
    assert torch.equal(codes, tokens.codes)
    assert 0 <= codes.min() <= codes.max() < 12
    decoded = tokenizer.backbone.decode(codes, batch.lengths)
    torch.testing.assert_close(decoded, tokens.features, **FLOAT64)


def test_without_layers_a_code_tells_of_its_own_particle_and_the_frame_alone():
    torch.manual_seed(0)
    options = TokenizerOptions(**SMALL, num_layers=0)
    tokenizer = Tokenizer(options).double().eval()
    batch = double_batch([6, 4])
    hidden = np.zeros(10, dtype=bool)
    hidden[[3, 4, 7]] = True  # never the hardest, whose axis is the frame

    def latents(batch):
        features = token_features(batch.p4, frame_axis(batch, "hardest"))
        return tokenizer._latents(features, batch.lengths)[~hidden]

    check_no_leak(latents, batch, hidden)


@pytest.mark.parametrize(("num_layers", "frame"), [(1, "hardest"), (0, "jet")])
def test_contextual_codes_and_the_axis_of_the_jet_do_leak(num_layers, frame):
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerOptions(**SMALL, num_layers=num_layers, frame=frame)).double()
    for parameter in tokenizer.parameters():  # a fresh layer changes nothing
        torch.nn.init.normal_(parameter, std=0.3)
    batch = double_batch([6, 4])
    hidden = np.zeros(10, dtype=bool)
    hidden[3] = True

    def latents(batch):
        features = token_features(batch.p4, frame_axis(batch, frame))
        return tokenizer.eval()._latents(features, batch.lengths)[~hidden]

    with pytest.raises(AssertionError):
        check_no_leak(latents, batch, hidden)


def test_a_frozen_tokenizer_never_learns():
    frozen = FrozenTokenizer(TokenizerOptions(**SMALL, num_layers=1)).train()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    batch = toy_batch(8)
    codes = frozen.codes(batch)
    assert not frozen.decode(codes, batch.lengths).requires_grad
    assert not frozen.training
    assert not frozen.tokenizer.quantizer.training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())


def test_codes_do_not_depend_on_autocast():
    frozen = FrozenTokenizer(TokenizerOptions(**SMALL, num_layers=1))
    batch = toy_batch(8)
    with torch.autocast("cpu", torch.bfloat16):
        codes = frozen.codes(batch)
        decoded = frozen.decode(codes, batch.lengths)
    assert torch.equal(codes, frozen.codes(batch))
    assert torch.equal(decoded, frozen.decode(codes, batch.lengths))


def test_width_must_split_into_the_tokenizers_heads():
    with pytest.raises(ValidationError, match="width, 30, is not a multiple of num_heads, 8"):
        TokenizerOptions(width=30)
