"""JEDI-net: count, its sixteen inputs, and the published network restated edge by edge."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import small_network
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.jedi_net import JEDINetOptions, particle_inputs
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT32_FEATURE

LENGTH = 9


def split(values, batch):
    return np.split(values.numpy(), batch.offsets[1:-1])


def test_the_network_has_the_published_number_of_parameters():
    network = build_model(JEDINetOptions(), "kin", 2)
    assert sum(p.numel() for p in network.parameters()) == 148_962


# ----------------------------------------------------------------------------------------- inputs


def wrapped(angle):
    return angle - 2 * np.pi * np.round(angle / (2 * np.pi))


def turned(x, y, pt):
    """Return rotated and reflected coordinates of one jet, particle by particle."""
    theta, hardest = 0.0, -1.0
    for xi, yi, pti in zip(x, y, pt, strict=True):
        if np.sqrt(xi**2 + yi**2) > 0.1 and pti > hardest:
            hardest = pti
            theta = np.arctan2(pti * np.sin(yi), pti * np.sinh(xi)) + np.pi / 2
    rotation = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    px = pt * np.cos(y)
    py, pz = rotation @ np.stack([pt * np.sin(y), pt * np.sinh(x)])
    new_pt = np.sqrt(px**2 + py**2)
    new_x = np.arcsinh(pz / new_pt)
    reflects = pt[x < 0].sum() > pt[x > 0].sum()
    return (-new_x if reflects else new_x), np.arcsin(py / new_pt)


def restated_inputs(p4):
    """Return the inputs of one jet in NumPy, in the published order."""
    px, py, pz, energy = p4.T
    jet_px, jet_py, jet_pz, jet_energy = p4.sum(axis=0)
    pt, jet_pt = np.sqrt(px**2 + py**2), np.hypot(jet_px, jet_py)
    eta, phi = 0.5 * np.log((energy + pz) / (energy - pz)), np.arctan2(py, px)
    jet_cos = jet_pz / np.sqrt(jet_pt**2 + jet_pz**2)
    jet_eta = -0.5 * np.log((1 - jet_cos) / (1 + jet_cos))
    eta_rot, phi_rot = turned(eta - eta[0], wrapped(phi - phi[0]), pt)
    delta_eta = (eta - jet_eta) * (np.sign(jet_eta) or 1)
    delta_phi = wrapped(phi - np.arctan2(jet_py, jet_px))
    columns = [px, py, pz, energy, energy / jet_energy, pt, pt / jet_pt, eta, delta_eta, eta_rot]
    columns += [phi, delta_phi, phi_rot, np.sqrt(delta_eta**2 + delta_phi**2)]
    columns += [np.cos(2 * np.arctan(np.exp(-angle))) for angle in (eta, eta_rot)]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("seed", range(4))
def test_inputs_are_those_of_the_published_converter_restated(seed):
    batch = toy_batch(lengths=[1, 2, 30, 5, 60], seed=seed).to("cpu", torch.float64)
    expected = np.concatenate([restated_inputs(p4) for p4 in split(batch.p4, batch)])
    torch.testing.assert_close(particle_inputs(batch), torch.tensor(expected), rtol=1e-9, atol=1e-9)


def test_float32_inputs_are_those_of_float64():
    batch = toy_batch(40, seed=5)
    wide = particle_inputs(batch.to("cpu", torch.float64)).float()
    torch.testing.assert_close(particle_inputs(batch), wide, **FLOAT32_FEATURE)


def test_the_pivot_by_hand():
    # 100 GeV leading; 50 GeV at 0.05, too near; 30 GeV at rapidity 0.3 above: the pivot.
    pt, y = np.array([100.0, 50.0, 30.0]), np.array([0.0, -0.05, 0.3])
    p4 = torch.tensor(np.stack([pt, 0 * pt, pt * np.sinh(y), pt * np.cosh(y)], axis=1))
    batch = replace(toy_batch(lengths=[3]).to("cpu", torch.float64), p4=p4)
    y_rot, phi_rot = particle_inputs(batch)[:, [9, 12]].T
    # All on the line of py = 0, which turns to that of pz = 0, the pivot to negative azimuth.
    torch.testing.assert_close(y_rot, torch.zeros(3).double(), rtol=0, atol=1e-12)
    expected = -np.arcsin(np.tanh(y))
    torch.testing.assert_close(phi_rot, torch.tensor(expected), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------- network


def restated_logits(network, inputs):
    """Return the logits of one jet, whose rows of ``inputs`` all take part."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}

    def layer(name, x):
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    def selu(x):
        return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))

    total = 0.0
    for i, receiver in enumerate(inputs):
        effect = np.zeros(network.backbone.edges.third.out_features)
        for j, sender in enumerate(inputs):
            if i != j:
                edge = np.concatenate([receiver, sender])
                for name in ("first", "second", "third"):
                    edge = selu(layer(f"backbone.edges.{name}", edge))
                effect = effect + edge
        particle = np.concatenate([receiver, effect])
        for number in (0, 2, 4):
            particle = np.maximum(layer(f"backbone.particles.{number}", particle), 0)
        total = total + particle
    hidden = selu(layer("head.2", selu(layer("head.0", total))))
    return layer("head.4", hidden)


@pytest.mark.parametrize("reference_padding", [False, True])
def test_logits_are_those_of_the_published_network_restated(reference_padding):
    network = small_network(
        "jedi_net", max_particles=LENGTH, reference_padding=reference_padding
    ).double()
    batch = toy_batch(lengths=[1, 4, LENGTH, 2 * LENGTH]).to("cpu", torch.float64)
    expected = []
    for p4 in split(batch.p4, batch):
        inputs = restated_inputs(p4[:LENGTH])
        slots = LENGTH if reference_padding else len(inputs)
        padded = np.concatenate([inputs, np.zeros((slots - len(inputs), 16))])
        expected.append(restated_logits(network, padded))
    with torch.no_grad():
        ours = network(batch)
    torch.testing.assert_close(ours, torch.tensor(np.array(expected)), rtol=1e-11, atol=1e-9)


def test_reference_padding_does_matter():
    masked, padded = (
        small_network("jedi_net", max_particles=LENGTH, reference_padding=padding).double()
        for padding in (False, True)
    )
    batch = make_batch(toy_jets(lengths=[LENGTH, 3])).to("cpu", torch.float64)
    with torch.no_grad():
        difference = (masked(batch) - padded(batch)).abs().amax(dim=1)
    assert difference[0] < 1e-9
    assert difference[1] > 1e-3
