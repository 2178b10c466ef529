"""The Lorentz Group Network: counts, symmetry, its definition written out, published padding."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from helpers.lgn_direct import direct_logits
from helpers.lorentz import random_lorentz, transformed_logits
from helpers.networks import small_network
from parttag.jets.batch import make_batch
from parttag.models import build_model
from parttag.models.lgn import LGNOptions
from parttag.testing import toy_batch, toy_jets

VARIANTS = ["lgn", "lgn_of_momenta"]
DIRECT = {"rtol": 1e-9, "atol": 1e-9}


def count_parameters(module):
    return sum(p.numel() for p in module.parameters())


def double_batch(lengths, seed=0):
    return toy_batch(lengths=lengths, seed=seed).to("cpu", torch.float64)


def jets_of(batch):
    return [batch.p4[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 4_646),
        ({"momentum_input": True}, 5_770),
        ({"momentum_input": True, "channels": (2, 4, 4, 2)}, 6_014),
    ],
)
def test_settings_of_the_published_code_have_its_numbers_of_parameters(options, count):
    assert count_parameters(build_model(LGNOptions(**options), "kin", 2)) == count


def test_parameters_are_where_the_published_code_has_them():
    network = build_model(LGNOptions(), "kin", 2)
    assert count_parameters(network.backbone.weights) == 936
    assert count_parameters(network.backbone.input) == 12
    assert count_parameters(network.backbone.layers) == 3_524
    assert network.backbone.num_invariants == 43


@pytest.mark.parametrize("name", [*VARIANTS, "lgn_with_reference_padding"])
@pytest.mark.parametrize("seed", [1, 2])
def test_logits_do_not_change_under_boosts_and_rotations(name, seed):
    network = small_network(name).double().eval()
    batch = double_batch([1, 2, 16, 40])
    with torch.no_grad():
        expected = network(batch)
    logits = transformed_logits(network, batch, random_lorentz(seed))
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=0)
    # They do change if the jet is moved and the beams are not.
    network.backbone.beams = network.backbone.beams @ torch.from_numpy(random_lorentz(seed).T)
    assert ((network(batch) - expected) / expected).abs().max() > 3e-5


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_and_gradients_are_those_of_the_definition_written_out(name):
    network = small_network(name).double()
    batch = double_batch([1, 2, 9, 4])
    ours, theirs = network(batch), torch.stack([direct_logits(network, p) for p in jets_of(batch)])
    torch.testing.assert_close(ours, theirs, **DIRECT)
    parameters = list(network.parameters())
    for mine, expected in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(mine, expected, rtol=1e-8, atol=1e-8 * expected.abs().max())


@pytest.mark.parametrize("momentum_input", [False, True])
@pytest.mark.parametrize("length", [9, 15])
def test_reference_padding_is_that_of_the_published_code(momentum_input, length):
    options = {"momentum_input": momentum_input, "max_particles": 9}
    network = small_network(
        "lgn", reference_padding=True, reference_length=length, **options
    ).double()
    batch = double_batch([1, 2, 9, 0, 4])
    with torch.no_grad():
        expected = torch.stack([direct_logits(network, p, length) for p in jets_of(batch)])
        torch.testing.assert_close(network(batch), expected, **DIRECT)
        clean = small_network("lgn", **options).double()(batch)
    # A jet that fills the length has no padding; the others feel theirs.
    same = torch.isclose(clean, expected, rtol=1e-6).all(dim=1)
    np.testing.assert_array_equal(same, batch.lengths == length)


@pytest.mark.parametrize("reference_padding", [False, True])
def test_softer_particles_than_those_used_change_nothing(reference_padding):
    options = {"reference_padding": reference_padding, "reference_length": 12}
    network = small_network("lgn", max_particles=10, **options).double()
    jets = toy_jets(lengths=[30, 12, 4])
    with torch.no_grad():
        cut = network(make_batch(jets, max_particles=10).to("cpu", torch.float64))
        whole = network(make_batch(jets).to("cpu", torch.float64))
    torch.testing.assert_close(whole, cut, **DIRECT)


def test_reference_padding_must_have_room_for_all_particles():
    with pytest.raises(ValidationError, match="at most reference_length, 100"):
        LGNOptions(reference_padding=True, reference_length=100)
    with pytest.raises(ValidationError, match="at most reference_length"):
        LGNOptions(reference_padding=True, max_particles=None)


def test_a_cast_of_the_network_casts_no_complex_number():
    network = small_network("lgn_of_momenta")
    batch = toy_batch(lengths=[20, 3])
    expected = network(batch)
    torch.testing.assert_close(network.to(torch.float32)(batch), expected)
    assert not any(value.is_complex() for value in (*network.parameters(), *network.buffers()))


def test_features_of_all_kept_representations_arise_and_stay_finite_in_float32():
    network = small_network("lgn")
    assert network.backbone.layers[-1].irreps == ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2))
    assert network(toy_batch(lengths=[126, 3])).isfinite().all()
