"""The plain Transformer: the Particle Transformer without the bias of the pairs."""

import pytest
import torch

from helpers.networks import small_network
from parttag.jets import pair_features
from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK


def test_it_is_the_paper_network_less_the_pair_network():
    network = build_model(ParticleTransformerOptions(pair_bias=False), "kin", 2)
    assert sum(p.numel() for p in network.parameters()) == 2_141_134 - 9_568


def test_its_logits_are_those_of_a_particle_transformer_whose_bias_is_zero(monkeypatch):
    batch = toy_batch(lengths=[1, 2, 16, 17, 40]).to("cpu", torch.float64)
    biased = small_network("particle_transformer").double().eval()
    plain = small_network("plain_transformer").double().eval()
    plain.load_state_dict(biased.state_dict(), strict=False)
    monkeypatch.setattr(
        biased.backbone.pair_network,
        "forward",
        lambda pairs, **_: pairs.new_zeros(4, len(pairs)),
    )
    with torch.no_grad():
        torch.testing.assert_close(plain(batch), biased(batch), **FLOAT64_NETWORK)


def test_no_pair_feature_is_computed(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pair features were computed")

    monkeypatch.setattr(pair_features, "pair_features", refuse)
    with pytest.raises(AssertionError):
        small_network("particle_transformer")(toy_batch())
    assert small_network("plain_transformer").train()(toy_batch()).isfinite().all()


def test_it_can_be_initialized_as_weaver_does():
    network = small_network("plain_transformer", initialization="xavier")
    assert network(toy_batch()).isfinite().all()
