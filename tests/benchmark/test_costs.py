import pytest
import torch

from helpers.files import write_jetclass_root
from parttag.benchmarks.costs import multiply_adds, num_parameters, some_jets
from parttag.errors import InputError
from parttag.models import build_model
from parttag.models.lgn import LGNOptions
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.models.pfn import PFNOptions
from parttag.testing import toy_jets


def test_multiply_adds_of_a_particle_flow_network_are_those_counted_by_hand():
    # Per particle 7·128 + 128·128 + 128·128, per jet 3·128·128 + 128·2; 20 particles on average.
    network = build_model(PFNOptions(), "kin", 2)
    expected = 20 * (7 * 128 + 2 * 128**2) + 3 * 128**2 + 128 * 2
    assert multiply_adds(network, [toy_jets(lengths=[10, 30])]) == expected
    assert multiply_adds(network, [toy_jets(lengths=[n]) for n in (30, 10)]) == expected


def test_a_multiply_add_of_complex_numbers_counts_as_four_of_real_ones():
    # Of a jet of 3 particles, which are 5 nodes with the beams, and 15 pairs. One layer, of one
    # channel: the scalar f of a node, and after it a scalar and a vector.
    network = build_model(LGNOptions(channels=(1, 1), num_curves=2, num_hidden=1), "kin", 2)
    real = {
        "input, two scalars to one complex number": 5 * 2 * 2,
        "what the heights and shifts of two curves bring to four weights": 4 * 2,
        "two curves and a constant to real and imaginary part of two weights": 15 * 3 * 4,
        "f times the vector pᵢ − pⱼ, coupled to a vector, both parts": 5 * 4 * 4 * 2,
        "f times f, coupled to a scalar, both parts": 5 * 2,
        "weights of scalars, 3 published copies of 3 formed, both parts": 2 * 3 * 3,
        "perceptron, from 2 to 4 to 2": 5 * (2 * 4 + 4 * 2),
        "head, from three complex invariants to two classes": 6 * 2,
    }
    complex_ = {
        "momenta to vectors": 5 * 4 * 4,
        "sums over j of f, of f and of f times a vector": 5 * 5 * (1 + 1 + 4),
        "mixing of 3 scalars and a vector": 5 * (3 + 4),
        "square of the vector": 5 * 4 * 4,
    }
    expected = sum(real.values()) + 4 * sum(complex_.values())
    assert multiply_adds(network, [toy_jets(lengths=[3])]) == expected


def test_multiply_adds_do_not_depend_on_the_company_of_a_jet():
    network = build_model(ParticleTransformerOptions(), "kin", 2)
    short = multiply_adds(network, [toy_jets(lengths=[10])])
    long = multiply_adds(network, [toy_jets(lengths=[60])])
    both = multiply_adds(network, [toy_jets(lengths=[10, 60])])
    assert both == (short + long) / 2


@pytest.mark.parametrize("length", [1, 10, 60, 128])
def test_multiply_adds_of_a_particle_transformer_are_those_counted_by_hand(length):
    width, heads = 128, 8
    embedding = 7 * 128 + 128 * 512 + 512 * 128
    block = 12 * width**2  # query, key, value, output: 4; two layers of the feed-forward part: 8
    pair = 4 * 64 + 2 * 64**2 + 64 * heads
    class_block = {"query, output, feed-forward": 10 * width**2, "own key, value": 2 * width**2}
    expected = (
        length * (embedding + 8 * block)
        + 8 * length**2 * 2 * width
        + length * (length + 1) // 2 * pair
        + 2 * (sum(class_block.values()) + length * 2 * width**2)
        + width * 2
    )
    network = build_model(ParticleTransformerOptions(), "kin", 2)
    assert multiply_adds(network, [toy_jets(lengths=[length])]) == expected


def test_parameters_are_those_that_are_trained():
    network = build_model(PFNOptions(), "kin", 2)
    assert num_parameters(network) == 83_842
    network.backbone.requires_grad_(False)
    assert num_parameters(network) == sum(p.numel() for p in network.head.parameters())


def test_jets_come_evenly_from_all_files_good_ones_only(tmp_path):
    toys = toy_jets(30)
    toys.p4[toys.offsets[0]] = torch.inf
    files = [
        write_jetclass_root(tmp_path / "a.root", toys),
        write_jetclass_root(tmp_path / "b.root", toy_jets(5, seed=1)),
    ]
    parts = some_jets(files, 8)
    assert [part.index.tolist() for part in parts] == [[1, 10, 19, 29], [0, 1, 2, 4]]


def test_files_without_a_good_jet_are_refused(tmp_path):
    toys = toy_jets(2)
    toys.p4[:] = torch.nan
    with pytest.raises(InputError, match=r"a\.root: there is no good jet"):
        some_jets([write_jetclass_root(tmp_path / "a.root", toys)], 8)
