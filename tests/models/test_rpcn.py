"""The rotational Particle Convolution Network: itself restated, and its equivariance."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from helpers.networks import small_network
from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.features import particle_features
from parttag.models import build_model
from parttag.models.rpcn import RPCNOptions
from parttag.testing import toy_batch

INVARIANT = ("log_pt", "log_pt_rel", "delta_r", "delta_eta", "delta_phi")
NUM_ANGLES = 6


def make_network():
    return small_network("rpcn", INVARIANT).double().requires_grad_(False)


def rotation(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def test_the_network_has_the_documented_number_of_parameters():
    network = build_model(RPCNOptions(), INVARIANT, 2)
    assert sum(p.numel() for p in network.parameters()) == 210_114


def restated_logits(network, features):
    """Return the logits of one jet: angle by angle, particle by particle, neighbor by neighbor."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    lifted = []
    for number in range(NUM_ANGLES):
        total = 0.0
        for *scalars, eta, phi in features:
            position = rotation(-2 * math.pi * number / NUM_ANGLES) @ [eta, phi]
            x = np.concatenate([position, scalars])
            for name in ("first", "particles.1"):
                weight, bias = (state[f"backbone.{name}.{key}"] for key in ("weight", "bias"))
                x = np.maximum(weight @ x + bias, 0)
            total = total + x
        lifted.append(total)
    weight, bias = (state[f"backbone.angles.0.{key}"] for key in ("weight", "bias"))
    angles = [
        np.maximum(
            bias + sum(weight[:, :, k] @ lifted[(number + k - 1) % NUM_ANGLES] for k in range(3)),
            0,
        )
        for number in range(NUM_ANGLES)
    ]
    pooled = np.concatenate([np.mean(angles, axis=0), np.max(angles, axis=0)])
    hidden = np.maximum(state["head.0.weight"] @ pooled + state["head.0.bias"], 0)
    return state["head.2.weight"] @ hidden + state["head.2.bias"]


def test_logits_are_those_of_the_definition_restated():
    network = make_network()
    batch = toy_batch(lengths=[1, 5, 30]).to("cpu", torch.float64)
    features = particle_features(batch, INVARIANT).numpy()
    jets = np.split(features, batch.offsets[1:-1])
    expected = torch.tensor(np.array([restated_logits(network, jet) for jet in jets]))
    torch.testing.assert_close(network(batch), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_turning_a_jet_by_angles_of_the_grid_moves_the_lifted_jet_along_them(steps):
    network = make_network()
    batch = toy_batch(lengths=[1, 8, 40]).to("cpu", torch.float64)
    features = particle_features(batch, INVARIANT)[:, [3, 4, 0, 1, 2]]
    turned = features.clone()
    turned[:, :2] @= torch.tensor(rotation(2 * math.pi * steps / NUM_ANGLES)).T
    lift = network.backbone.lift
    expected = lift(features, batch).roll(steps, dims=2)
    torch.testing.assert_close(lift(turned, batch), expected, rtol=1e-12, atol=1e-12)
    assert (lift(features, batch) - expected).abs().max() > 1e-3


def turned_about_the_axis(batch, angle):
    """Return the jets with their particles turned in the plane of η and φ, each keeping its pT."""
    jet = batch.jet_of_particle
    position = torch.stack([kinematics.eta(batch.p4), kinematics.phi(batch.p4)], dim=1)
    away = position - batch.jet_axis[jet]
    away[:, 1] = kinematics.delta_phi(away[:, 1], torch.zeros(()))
    eta, phi = (batch.jet_axis[jet] + away @ torch.tensor(rotation(angle)).T).unbind(dim=1)
    pt = kinematics.pt(batch.p4)
    p4 = [pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()]
    return type(batch)(**{**vars(batch), "p4": torch.stack(p4, dim=1)})


def test_logits_do_not_change_when_particles_are_turned_about_the_axis_by_the_grid():
    network = make_network()
    batch = toy_batch(lengths=[2, 8, 40]).to("cpu", torch.float64)
    logits = network(batch)
    for steps in range(1, NUM_ANGLES):
        turned = turned_about_the_axis(batch, 2 * math.pi * steps / NUM_ANGLES)
        torch.testing.assert_close(network(turned), logits, rtol=0, atol=1e-9)
    between = network(turned_about_the_axis(batch, math.pi / NUM_ANGLES))
    assert (between - logits).abs().max() > 1e-6


def test_both_coordinates_of_the_plane_must_be_among_the_features():
    with pytest.raises(InputError, match="add delta_phi"):
        build_model(RPCNOptions(), ("log_pt", "delta_eta"), 2)


def test_position_alone_is_enough():
    network = small_network("rpcn", ("delta_eta", "delta_phi"))
    assert network(toy_batch(3)).shape == (3, 3)


@pytest.mark.parametrize("size", [4, 9])
def test_a_kernel_must_have_a_middle_and_fit_the_circle(size):
    with pytest.raises(ValidationError, match="is not an odd number of at most num_angles, 8"):
        RPCNOptions(num_angles=8, kernel_size=size)
