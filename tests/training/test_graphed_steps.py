"""Steps that are captured, emulated: a call that is captured is called again each time it runs."""

import numpy as np
import pytest
import torch

from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.testing import toy_batch
from parttag.training.graph import GraphedSteps
from parttag.training.objectives.classify import Classify, ClassifyOptions
from parttag.training.optimizers import AdamOptions, AdamWOptions, RangerOptions, build_optimizer

OPTIMIZERS = [RangerOptions(weight_decay=0.01), AdamWOptions(weight_decay=0.01), AdamOptions()]


class CalledAgain:
    """Stands for what makes CUDA graphs: nothing is computed until one is run."""

    def __init__(self):
        self.captured = 0

    def __call__(self, function):
        self.captured += 1
        return function


def network():
    torch.manual_seed(2)
    options = ParticleTransformerOptions(
        embed_dims=(8,),
        pair_dims=(4, 4),
        num_heads=2,
        num_layers=1,
        num_class_layers=1,
        dropout=0.0,
        trim=False,
        max_particles=9,
    )
    return build_model(options, "kin", 2).double().train()


def differentiate(model, batch):
    sums = Classify(ClassifyOptions())(model, batch)
    (sums.loss / sums.weight).backward()
    return torch.stack([sums.loss.detach(), sums.weight])


@pytest.mark.parametrize("options", OPTIMIZERS, ids=lambda o: o.name)
def test_they_train_as_steps_that_are_not_captured(options):
    rng = np.random.default_rng(1)
    # More and less full batches, so that there are several sizes.
    sizes = [6, 6, 2] * 8
    batches = [
        toy_batch(seed=seed, lengths=rng.integers(0, 9, number).tolist()).to("cpu", torch.float64)
        for seed, number in enumerate(sizes)
    ]
    plain, captured = network(), network()
    own = build_optimizer(plain, options)
    other = build_optimizer(captured, options)
    capture = CalledAgain()
    steps = GraphedSteps(
        lambda b: differentiate(captured, b), other, 6, 9, torch.float64, capture=capture
    )
    for number, batch in enumerate(batches):
        for optimizer in (own, other):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 + number / 10)
        expected = differentiate(plain, batch)
        own.step()
        own.zero_grad()
        found = steps(batch, torch.device("cpu"))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    for mine, theirs in zip(captured.parameters(), plain.parameters(), strict=True):
        assert (mine - theirs).norm() <= 1e-8 * max(theirs.norm(), 1.0)
    assert 1 <= capture.captured < 4
    torch.testing.assert_close(other.state_dict(), own.state_dict(), rtol=1e-5, atol=1e-7)


def test_a_capture_that_fails_leaves_the_steps_to_themselves(caplog):
    def refuse(function):
        raise RuntimeError("operation not permitted")

    plain, other = network(), network()
    steps = [
        GraphedSteps(
            lambda b, model=model: differentiate(model, b),
            build_optimizer(model, OPTIMIZERS[1]),
            6,
            9,
            torch.float64,
            capture=capture,
        )
        for model, capture in ((plain, CalledAgain()), (other, refuse))
    ]
    batch = toy_batch(lengths=[3, 5]).to("cpu", torch.float64)
    for _ in range(3):
        found = [take(batch, torch.device("cpu")) for take in steps]
        torch.testing.assert_close(*found)
    assert [r.getMessage() for r in caplog.records] == [
        "steps go on without CUDA graphs: operation not permitted"
    ]
