import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from parttag.models import Tagger, build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFNOptions
from parttag.training.optimizers import (
    AdamOptions,
    AdamWOptions,
    LionOptions,
    RangerOptions,
    build_optimizer,
    multiply_learning_rates,
    parameter_groups,
)
from parttag.training.ranger import RectifiedAdam

SHAPES = {"matrix": (3, 4), "bias": (4,)}


class Weights(Tagger):
    """Parameters without a network, named as a tagger's."""

    def __init__(self, start):
        super().__init__()
        self.backbone = nn.ParameterDict(
            {k: nn.Parameter(torch.tensor(v)) for k, v in start.items()}
        )

    def encode(self, batch):
        raise NotImplementedError


def _start_and_gradients(num_steps, seed=3):
    rng = np.random.default_rng(seed)
    start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    gradients = [{n: rng.normal(size=s) for n, s in SHAPES.items()} for _ in range(num_steps)]
    return start, gradients


def _train(weights, optimizer, gradients):
    for step in gradients:
        for name, parameter in weights.backbone.items():
            parameter.grad = torch.tensor(step[name])
        optimizer.step()
        optimizer.zero_grad()


def _ranger(start, gradients, options):
    """Restate Lookahead around RAdam (arXiv:1908.03265, algorithm 2) with decoupled decay."""
    beta1, beta2 = options.betas
    fast = {name: value.copy() for name, value in start.items()}
    slow = {name: value.copy() for name, value in start.items()}
    mean = {name: np.zeros_like(value) for name, value in start.items()}
    square = {name: np.zeros_like(value) for name, value in start.items()}
    rho_max = 2 / (1 - beta2) - 1
    for t, gradient in enumerate(gradients, start=1):
        rho = rho_max - 2 * t * beta2**t / (1 - beta2**t)
        for name, g in gradient.items():
            mean[name] = beta1 * mean[name] + (1 - beta1) * g
            square[name] = beta2 * square[name] + (1 - beta2) * g**2
            if name == "matrix":  # the one-dimensional parameter is not decayed
                fast[name] *= 1 - options.lr * options.weight_decay
            direction = mean[name] / (1 - beta1**t)
            if rho > 5:
                rectified = math.sqrt(
                    (rho - 4) * (rho - 2) * rho_max / ((rho_max - 4) * (rho_max - 2) * rho)
                )
                root = np.sqrt(square[name]) + options.eps
                direction = direction * rectified * math.sqrt(1 - beta2**t) / root
            fast[name] -= options.lr * direction
            if t % options.lookahead_steps == 0:
                slow[name] += options.lookahead_alpha * (fast[name] - slow[name])
                fast[name] = slow[name].copy()
    return fast


@pytest.mark.parametrize(
    "options",
    [
        RangerOptions(lr=1e-2, weight_decay=0.1),
        RangerOptions(lr=3e-3, betas=(0.9, 0.99), eps=1e-3, lookahead_steps=4, lookahead_alpha=0.8),
    ],
)
def test_ranger_follows_its_definition_over_60_steps(options):
    start, gradients = _start_and_gradients(60)
    weights = Weights(start)
    _train(weights, build_optimizer(weights, options), gradients)
    for name, expected in _ranger(start, gradients, options).items():
        np.testing.assert_allclose(weights.backbone[name].detach(), expected, rtol=0, atol=1e-13)


def test_ranger_takes_momentum_steps_while_the_variance_is_unknown():
    # The first five steps at beta2 = 0.999: a constant gradient moves a weight by lr · gradient.
    weights = Weights({"matrix": np.full((1, 1), 2.0)})
    optimizer = build_optimizer(weights, RangerOptions(lr=0.1))
    for steps in range(1, 6):
        _train(weights, optimizer, [{"matrix": np.full((1, 1), 3.0)}])
        assert weights.backbone["matrix"].item() == pytest.approx(2 - 0.1 * 3 * steps)


@pytest.mark.parametrize("decoupled", [True, False])
def test_adam_decays_through_the_gradient_and_adamw_beside_it(decoupled):
    options = (AdamWOptions if decoupled else AdamOptions)(lr=0.01, weight_decay=0.1)
    start, gradients = _start_and_gradients(50)
    weights = Weights(start)
    _train(weights, build_optimizer(weights, options), gradients)
    beta1, beta2 = options.betas
    expected = start["matrix"].copy()
    mean, square = np.zeros_like(expected), np.zeros_like(expected)
    for t, step in enumerate(gradients, start=1):
        g = step["matrix"] + (0 if decoupled else options.weight_decay * expected)
        mean, square = beta1 * mean + (1 - beta1) * g, beta2 * square + (1 - beta2) * g**2
        expected -= options.lr * options.weight_decay * expected * decoupled
        root = np.sqrt(square / (1 - beta2**t)) + options.eps
        expected -= options.lr * mean / (1 - beta1**t) / root
    np.testing.assert_allclose(weights.backbone["matrix"].detach(), expected, atol=1e-12)


def test_lion_steps_by_the_sign_of_a_mean_that_lags_behind():
    options = LionOptions(lr=0.01, weight_decay=0.1, betas=(0.6, 0.9))
    start, gradients = _start_and_gradients(40)
    weights = Weights(start)
    _train(weights, build_optimizer(weights, options), gradients)
    for name, decay in (("matrix", 0.1), ("bias", 0.0)):
        expected, mean = start[name].copy(), np.zeros_like(start[name])
        signs = []
        for step in gradients:
            direction = np.sign(0.6 * mean + 0.4 * step[name])
            expected = expected * (1 - 0.01 * decay) - 0.01 * direction
            mean = 0.9 * mean + 0.1 * step[name]
            signs.append((direction != np.sign(step[name])).any())
        assert any(signs)  # the mean matters
        np.testing.assert_allclose(weights.backbone[name].detach(), expected, atol=1e-12)


def test_amsgrad_divides_by_the_largest_mean_square_so_far():
    start, gradients = _start_and_gradients(30)
    gradients = [{**step, "matrix": step["matrix"] / (n + 1)} for n, step in enumerate(gradients)]
    weights = Weights(start)
    options = AdamOptions(lr=0.01, betas=(0.9, 0.99), amsgrad=True)
    _train(weights, build_optimizer(weights, options), gradients)
    expected = start["matrix"].copy()
    mean, square, largest = (np.zeros_like(expected) for _ in range(3))
    for t, step in enumerate(gradients, start=1):
        mean, square = 0.9 * mean + 0.1 * step["matrix"], 0.99 * square + 0.01 * step["matrix"] ** 2
        largest = np.maximum(largest, square)
        root = np.sqrt(largest / (1 - 0.99**t)) + options.eps
        expected -= options.lr * mean / (1 - 0.9**t) / root
    np.testing.assert_allclose(weights.backbone["matrix"].detach(), expected, atol=1e-12)
    assert (largest > 1.01 * square).any()


@pytest.mark.parametrize("stop", [3, 6, 17])
def test_ranger_goes_on_from_its_state_bit_for_bit(stop):
    start, gradients = _start_and_gradients(30)
    whole = Weights(start)
    _train(whole, build_optimizer(whole, RangerOptions(lr=1e-2)), gradients)

    first = Weights(start)
    optimizer = build_optimizer(first, RangerOptions(lr=1e-2))
    _train(first, optimizer, gradients[:stop])
    second = Weights(start)
    second.load_state_dict(first.state_dict())
    continued = build_optimizer(second, RangerOptions(lr=1e-2))
    continued.load_state_dict(optimizer.state_dict())
    _train(second, continued, gradients[stop:])
    for name in SHAPES:
        assert torch.equal(whole.backbone[name], second.backbone[name])


def test_biases_norms_and_the_class_token_are_not_decayed():
    options = ParticleTransformerOptions(
        embed_dims=(8,), pair_dims=(4,), num_heads=2, num_layers=1, num_class_layers=1
    )
    model = build_model(options, "kin", 2)
    decayed, spared = parameter_groups(model, weight_decay=0.01)
    if decayed["weight_decay"] == 0:
        decayed, spared = spared, decayed
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    spared_names = {names[id(p)] for p in spared["params"]}
    assert decayed["weight_decay"] == 0.01
    assert spared["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert "backbone.class_token" in spared_names
    assert {n for n in names.values() if n.endswith((".bias", "_scale"))} <= spared_names
    assert len(names) == len(decayed["params"]) + len(spared["params"])


def test_a_parameter_that_the_model_names_is_not_decayed():
    model = build_model(PFNOptions(particle_dims=(4,), jet_dims=(4,)), "kin", 2)
    model.no_weight_decay = lambda: {"head.0.weight"}
    groups = parameter_groups(model, weight_decay=0.1)
    spared = next(group for group in groups if group["weight_decay"] == 0)
    assert any(parameter is model.head[0].weight for parameter in spared["params"])


def test_parameters_without_gradient_are_left_out():
    model = build_model(PFNOptions(particle_dims=(4,), jet_dims=(4,)), "kin", 2)
    model.backbone.requires_grad_(False)
    trained = [p for group in parameter_groups(model, 0.0) for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in model.head.parameters()}


def test_parameters_learn_faster_by_their_multipliers_and_all_follow_the_schedule():
    model = build_model(PFNOptions(particle_dims=(4,), jet_dims=(4,)), "kin", 2)
    multipliers = {f"head.{name}": 50.0 for name, _ in model.head.named_parameters()}
    optimizer = build_optimizer(model, AdamWOptions(lr=1e-4), multipliers)
    multiply_learning_rates(optimizer, 0.1)
    head = {id(p) for p in model.head.parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["lr"] == pytest.approx(5e-4 if id(parameter) in head else 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rectified_adam_is_torchs_bit_for_bit_and_asks_once_for_the_step(dtype):
    torch.manual_seed(5)
    start = [torch.randn(4, 3, dtype=dtype), torch.randn(7, dtype=dtype), torch.randn(2)]
    ours, theirs = ([nn.Parameter(value.clone()) for value in start] for _ in range(2))
    common = {"betas": (0.95, 0.999), "eps": 1e-5, "decoupled_weight_decay": True}
    optimizers = [
        kind([{"params": p[:2], "weight_decay": 0.01}, {"params": p[2:]}], **common, foreach=True)
        for kind, p in ((RectifiedAdam, ours), (torch.optim.RAdam, theirs))
    ]
    for step in range(12):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn_like(pair[0])
            for parameter in pair:
                # One of a group of two has no gradient, once.
                parameter.grad = None if (step, number) == (3, 1) else gradient.clone()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 / (step + 1)
            optimizer.step()
        if step == 7:  # the state is torch's own, and goes either way
            optimizers[0].load_state_dict(copy.deepcopy(optimizers[1].state_dict()))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)), step
    steps = [optimizers[0].state[p]["step"] for p in ours]
    assert [step.item() for step in steps] == [12, 11, 12]


def test_the_step_of_hundreds_of_parameters_is_read_once():
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(300)]
    optimizer = RectifiedAdam(parameters, decoupled_weight_decay=True, foreach=True)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.ones(2)
        with torch.profiler.profile() as profile:
            optimizer.step()
    reads = [e.count for e in profile.key_averages() if e.key == "aten::_local_scalar_dense"]
    assert sum(reads) == 1
