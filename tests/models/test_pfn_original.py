"""The Particle Flow Network of the first paper: count, inputs, and itself restated."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import small_network
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.pfn_original import PFNOriginalOptions, particle_inputs
from parttag.testing import toy_batch, toy_jets


def test_the_network_has_the_published_number_of_parameters():
    network = build_model(PFNOriginalOptions(), "kin", 2)
    assert sum(p.numel() for p in network.parameters()) == 82_458


def test_kernels_begin_he_uniform_and_biases_at_zero():
    torch.manual_seed(0)
    network = build_model(PFNOriginalOptions(), "kin", 2)
    linear = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert not any(layer.bias.any() for layer in linear)
    for layer in linear[:-1]:
        bound = math.sqrt(6 / layer.in_features)
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.02)
    last = linear[-1].weight.abs().max().item()
    assert last == pytest.approx(math.sqrt(6 / (100 + 2)), rel=0.05)


def restated_inputs(p4, align):
    """Return the inputs of one jet in NumPy, the principal axis from an eigenvector."""
    px, py, pz, energy = p4.T
    pt = np.hypot(px, py)
    fraction = pt / pt.sum()
    y, phi = 0.5 * np.log((energy + pz) / (energy - pz)), np.arctan2(py, px)
    phi = phi[0] + np.angle(np.exp(1j * (phi - phi[0])))
    position = np.stack([y, phi], axis=1)
    position = position - (fraction[:, None] * position).sum(axis=0)
    if align:
        _, axes = np.linalg.eigh((position * fraction[:, None]).T @ position)
        position = position @ axes  # eigenvalues rise: the principal axis comes last
        for axis in range(2):
            coordinate = position[:, axis]
            if fraction[coordinate > 0].sum() < fraction[coordinate < 0].sum():
                position[:, axis] = -coordinate
    return np.concatenate([fraction[:, None], position], axis=1)


@pytest.mark.parametrize("align", [False, True])
def test_inputs_and_logits_are_those_of_the_published_network_restated(align):
    network = small_network("pfn_original", align=align).double().eval()
    batch = toy_batch(lengths=[1, 3, 40, 150, 7], seed=3).to("cpu", torch.float64)
    layers = [
        [(m.weight.numpy(), m.bias.numpy()) for m in part if isinstance(m, torch.nn.Linear)]
        for part in (network.requires_grad_(False).backbone, network.head)
    ]
    expected, inputs = [], []
    for p4 in np.split(batch.p4.numpy(), batch.offsets[1:-1]):
        inputs.append(restated_inputs(p4, align))
        total = 0.0
        for x in inputs[-1]:
            for weight, bias in layers[0]:
                x = np.maximum(weight @ x + bias, 0)  # noqa: PLW2901
            total = total + x
        for weight, bias in layers[1][:-1]:
            total = np.maximum(weight @ total + bias, 0)
        expected.append(layers[1][-1][0] @ total + layers[1][-1][1])
    ours = particle_inputs(batch, align=align)
    torch.testing.assert_close(ours, torch.tensor(np.concatenate(inputs)), rtol=0, atol=1e-9)
    torch.testing.assert_close(network(batch), torch.tensor(np.array(expected)), rtol=0, atol=1e-9)


def massless(pt, y, phi):
    """Return four-momenta of massless particles as a batch of one jet with its axis at (0, 0)."""
    pt, y, phi = (np.asarray(values, dtype=np.float64) for values in (pt, y, phi))
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=1)
    jets = replace(toy_jets(lengths=[len(pt)]), p4=p4.astype(np.float32))
    batch = make_batch(jets).to("cpu", torch.float64)
    return replace(batch, p4=torch.tensor(p4), jet_axis=torch.zeros(1, 2, dtype=torch.float64))


def test_two_particles_by_hand():
    batch = massless([300, 100], [0.4, 0.0], [0.0, 0.0])
    plain, aligned = (particle_inputs(batch, align=align) for align in (False, True))
    expected = torch.tensor([[0.75, 0.1, 0.0], [0.25, -0.3, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(plain, expected, rtol=0, atol=1e-12)
    # The line through both becomes the axis of φ, with the harder one on its positive side.
    expected = torch.tensor([[0.75, 0.0, 0.1], [0.25, 0.0, -0.3]], dtype=torch.float64)
    torch.testing.assert_close(aligned, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mirror", [1, -1])
def test_aligned_inputs_do_not_change_when_a_jet_is_turned_and_mirrored(mirror):
    rng = np.random.default_rng(0)
    pt = np.sort(rng.uniform(1, 100, 20))[::-1]
    position = rng.normal(size=(2, 20)) * [[0.3], [0.1]]
    expected = particle_inputs(massless(pt, *position), align=True)
    for angle in (0.3, 2.0, 4.0):
        cos, sin = math.cos(angle), math.sin(angle)
        turned = np.array([[cos, -sin], [sin, cos]]) @ position * [[mirror], [1]]
        ours = particle_inputs(massless(pt, *turned), align=True)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


def test_a_jet_across_the_seam_of_azimuth_is_like_any_other():
    y, phi = [0.1, -0.2, 0.0], np.array([0.05, -0.1, 0.2])
    expected = particle_inputs(massless([90, 50, 20], y, phi), align=False)
    batch = massless([90, 50, 20], y, phi + np.pi)
    axis = torch.tensor([[0.0, np.pi - 0.01]], dtype=torch.float64)
    ours = particle_inputs(replace(batch, jet_axis=axis), align=False)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
