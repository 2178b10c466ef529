"""Triton's kernels inside the Particle Transformer, against plain torch in float64.

Pair features are those of float32 in both: the logarithm of m² alone, the small difference of large
numbers, would hide everything else.
"""

import pytest
import torch

from helpers.networks import small_network
from parttag.jets.pair_features import pair_features
from parttag.models.layers.particle_blocks import ParticleBlock
from parttag.models.layers.trimmer import ParticleTrimmer
from parttag.testing import toy_batch

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OPTIONS = {"embed_dims": (32, 32), "num_heads": 2, "pair_dims": (16, 16)}


def network(kernels, dtype):
    model = small_network("particle_transformer", features="kin", kernels=kernels, **OPTIONS)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, ParticleBlock):
            module.attention_dropout = 0.0
        elif isinstance(module, ParticleTrimmer):
            module.eval = module.train = lambda *_, m=module: m
            module.training = False
    return model.to(DEVICE, dtype)


def logits_and_gradients(model, batch, *, training):
    model.train(training)
    logits = model(batch)
    torch.nn.functional.cross_entropy(logits, batch.labels).backward()
    return [logits, *(p.grad for p in model.parameters())]


def with_features_of_float32(model):
    """Return the network, whose pair features are those of float32 although it is of float64."""

    def pair_bias(p4, layout):
        features = pair_features(p4.float(), layout.first, layout.second)
        return model.backbone.pair_network(features.to(p4.dtype))

    model.backbone.pair_bias = pair_bias
    return model


@pytest.mark.parametrize("training", [True, False])
def test_logits_and_all_gradients_are_those_of_torch_in_float64(training):
    batch = toy_batch(lengths=[1, 2, 5, 17, 33], seed=4).to(DEVICE)
    ours = logits_and_gradients(network("triton", torch.float32), batch, training=training)
    wide = batch.to(DEVICE, torch.float64)
    plain = with_features_of_float32(network("torch", torch.float64))
    expected = logits_and_gradients(plain, wide, training=training)
    scale = max(float(value.detach().abs().max()) for value in expected[1:])
    assert scale > 1e-3
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine.isfinite().all()
        size = max(float(theirs.detach().abs().max()), 0.01 * scale)
        assert float((mine.double() - theirs).detach().abs().max()) <= 1e-5 * size
