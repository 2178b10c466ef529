import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import small_network
from parttag.errors import InputError
from parttag.evaluation.generation import sampling as module
from parttag.evaluation.generation.sampling import (
    Sampling,
    bare_jets,
    draw,
    num_batches,
    sample_codes,
    sample_jets,
)
from parttag.jets import kinematics
from parttag.jets.arrays import concatenate
from parttag.models.omnijet import START, OmniJet, Sentences
from parttag.ops.layout import JetLayout
from parttag.testing.tolerances import FLOAT32_FEATURE


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decoder(**changes: object) -> OmniJet:
    """Return a network with a head for the next token that is nowhere trivial."""
    network = small_network("omnijet", **changes)
    torch.manual_seed(7)
    network.head = nn.Linear(network.encoded_width, network.num_tokens)
    nn.init.normal_(network.head.weight)
    return network.eval()


def shares(tokens: torch.Tensor, number: int) -> np.ndarray:
    return np.bincount(tokens.numpy(), minlength=number) / len(tokens)


def test_tokens_are_drawn_with_their_probabilities():
    probabilities = torch.tensor([0.1, 0.2, 0.0, 0.3, 0.4])
    logits = probabilities.log().expand(20_000, -1)
    error = 0.5 / 20_000**0.5  # of a share, at most
    cases = {
        Sampling(): probabilities,
        Sampling(temperature=0.5): probabilities**2 / (probabilities**2).sum(),
        Sampling(top_k=2): torch.tensor([0, 0, 0, 3, 4]) / 7,
        Sampling(top_k=9): probabilities,
        Sampling(top_k=1): torch.tensor([0.0, 0, 0, 0, 1]),
        Sampling(temperature=1e-45): torch.tensor([0.0, 0, 0, 0, 1]),
    }
    for sampling, expected in cases.items():
        found = shares(draw(logits.clone(), sampling, generator()), 5)
        np.testing.assert_allclose(found, expected.numpy(), atol=4 * error)
        assert (found[expected == 0] == 0).all()


def test_jets_of_tokens_that_do_not_depend_on_each_other_stop_at_random():
    network = decoder(max_particles=200)
    nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        # Start, the likeliest by far, is never drawn; a tenth of the others stops.
        network.head.bias[:] = torch.tensor([50.0, *np.log([0.3, 0.6]), *[-50.0] * 10, np.log(0.1)])
        codes, lengths = sample_codes(network, 1000, Sampling(), generator())
    assert lengths.min() == 1  # never 0: a jet has particles
    # The number after the first is geometric, with mean 9 and variance 90.
    assert abs(lengths.mean() - 10) < 4 * (90 / 1000) ** 0.5
    found = shares(codes, 12)
    assert abs(found[0] - 1 / 3) < 4 * 0.5 / len(codes) ** 0.5
    assert found[0] + found[1] == 1


def test_each_token_follows_from_all_before_it(monkeypatch):
    """Jets that begin with different particles go on with the likeliest token until they stop."""
    network = decoder(max_particles=30)
    first = torch.arange(12) + 1
    calls = []

    def choose(logits, *_):
        calls.append(len(logits))
        return first if len(calls) == 1 else logits.argmax(dim=1)

    monkeypatch.setattr(module, "draw", choose)
    with torch.no_grad():
        codes, lengths = sample_codes(network, 12, Sampling(), generator())
        jets = [own.tolist() for own in codes.split(lengths.tolist())]
        expected = [likeliest(network, int(token)) for token in first]
    assert jets == expected
    # The test is one: some stop early, so that they leave the others, and some late.
    assert calls[-1] < 12
    assert len(set(lengths)) > 3


def likeliest(network: OmniJet, first: int) -> list[int]:
    """Return the codes of the jet, each found from the whole sentence before it."""
    sentence = [START, first]
    while len(sentence) <= network.max_particles:
        states = network.backbone(
            Sentences(torch.tensor(sentence), JetLayout(np.array([len(sentence)])))
        )
        logits = network.head(states[-1])
        logits[START] = -torch.inf
        if int(logits.argmax()) == network.stop:
            break
        sentence.append(int(logits.argmax()))
    return [token - 1 for token in sentence[1:]]


def test_jets_end_at_the_greatest_number_of_particles():
    network = decoder(max_particles=5)
    with torch.no_grad():
        network.head.bias[network.stop] = -1e4
        _, lengths = sample_codes(network, 4, Sampling(), generator())
    assert lengths.tolist() == [5, 5, 5, 5]


def test_particles_are_those_that_the_tokens_stand_for(monkeypatch):
    network = decoder()
    codes, lengths = torch.tensor([3, 3, 7]), np.array([2, 1])
    monkeypatch.setattr(module, "sample_codes", lambda *_: (codes, lengths))
    (jets,) = sample_jets(network, 2, Sampling())
    features = network.backbone.tokenizer.decode(codes, lengths)
    p4 = torch.from_numpy(jets.p4)
    assert jets.lengths.tolist() == [2, 1]
    torch.testing.assert_close(kinematics.pt(p4).log() - 1.8, features[:, 0], **FLOAT32_FEATURE)
    torch.testing.assert_close(3 * kinematics.eta(p4), features[:, 1], **FLOAT32_FEATURE)
    torch.testing.assert_close(3 * kinematics.phi(p4), features[:, 2], **FLOAT32_FEATURE)
    torch.testing.assert_close(kinematics.mass(p4), torch.zeros(3), atol=1e-2, rtol=0)
    np.testing.assert_allclose(jets.jet_p4[0], jets.p4[0] + jets.p4[1], rtol=1e-6)


def test_particles_are_put_in_order_of_falling_pt():
    pt = torch.tensor([2.0, 5.0, 1.0, 7.0])
    p4 = torch.stack([pt, torch.zeros(4), torch.zeros(4), pt], dim=1)
    jets = bare_jets(p4, np.array([3, 1]))
    assert jets.p4[:, 0].tolist() == [5, 2, 1, 7]
    assert jets.labels.shape == (2, 0)


def test_a_seed_gives_the_same_jets_and_another_one_others():
    network = decoder(max_particles=10)
    jets = [
        concatenate(list(sample_jets(network, 10, Sampling(5.0, seed=s), batch_jets=4)))
        for s in (1, 1, 2)
    ]
    assert num_batches(10, 4) == 3
    assert all(len(found) == 10 for found in jets)
    np.testing.assert_array_equal(jets[0].p4, jets[1].p4)
    assert jets[2].p4.shape != jets[0].p4.shape or (jets[2].p4 != jets[0].p4).any()
    # Nor are the batches of one seed the same.
    first, second = jets[0].span(0, 4), jets[0].span(4, 8)
    assert first.p4.shape != second.p4.shape or (first.p4 != second.p4).any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": 0.0}, "--temperature 0: it must be a number greater than 0"),
        ({"temperature": float("nan")}, "--temperature nan: it must be a number greater than 0"),
        ({"temperature": float("inf")}, "--temperature inf: it must be a number greater than 0"),
        ({"top_k": 0}, "--top-k 0: it must be at least 1"),
    ],
)
def test_samplings_that_make_no_sense_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        Sampling(**options)
