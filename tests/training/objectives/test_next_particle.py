import json
import math

import numpy as np
import pytest
import torch

from helpers.decoders import DECODER, decoder_config, write_tokenizer
from helpers.networks import small_network
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.models.omnijet import OmniJet, Sentences
from parttag.ops.layout import JetLayout
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK
from parttag.training.objectives import build_objective
from parttag.training.objectives.next_particle import NextParticleOptions


def decoder(**changes: object) -> tuple[OmniJet, object]:
    network = small_network("omnijet", **changes).double()
    objective = build_objective(NextParticleOptions(), network)
    return network.double(), objective


def test_the_loss_is_the_cross_entropy_of_each_token_given_those_before_it():
    network, objective = decoder()
    batch = toy_batch(lengths=[3, 1, 6]).to("cpu", torch.float64)
    batch.jet_weights[:] = torch.tensor([1.0, 0.5, 2.0])
    codes = network.backbone.tokenizer.codes(batch)
    total = right = 0.0
    for own, weight in zip(codes.split([3, 1, 6]), (1.0, 0.5, 2.0), strict=True):
        sentence = [0, *(own + 1).tolist(), network.stop]
        for place in range(1, len(sentence)):
            before = torch.tensor(sentence[:place])
            states = network.backbone(Sentences(before, JetLayout(np.array([place]))))
            logits = network.head(states[-1])
            total -= weight * logits.log_softmax(dim=0)[sentence[place]].item()
            right += weight * (int(logits.argmax()) == sentence[place])
    sums = objective(network, batch)
    assert sums.loss.item() == pytest.approx(total)
    assert sums.weight.item() == 1.0 * 4 + 0.5 * 2 + 2.0 * 7
    assert sums.metrics["token_accuracy"].item() == right


def test_a_network_that_knows_nothing_has_the_perplexity_of_all_tokens():
    network, objective = decoder()
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    sums = objective(network, toy_batch(5).to("cpu", torch.float64))
    assert math.exp(sums.loss.item() / sums.weight.item()) == pytest.approx(network.num_tokens)


def test_the_unigram_guess_is_the_most_frequent_token():
    network, objective = decoder()
    batch = toy_batch(lengths=[2, 3, 4]).to("cpu", torch.float64)
    batch.jet_weights[:] = torch.tensor([4.0, 1.0, 1.0])
    codes = network.backbone.tokenizer.codes(batch).numpy()
    counts = np.bincount(codes, weights=np.repeat([4.0, 1.0, 1.0], [2, 3, 4])).tolist()
    stops = 6.0
    sums = objective(network, batch)
    assert sums.metrics["unigram_accuracy"].item() == max(*counts, stops)


def test_where_a_jet_may_have_been_cut_its_end_is_not_trained():
    network, objective = decoder(max_particles=7)
    jets = toy_jets(lengths=[12, 3], seed=5)
    # By the loader, or by the network.
    cut, whole = (
        objective(network, make_batch(jets, max_particles=number).to("cpu", torch.float64))
        for number in (7, None)
    )
    torch.testing.assert_close(cut.loss, whole.loss, **FLOAT64_NETWORK)
    assert cut.weight.item() == whole.weight.item() == 7 + 4


def test_batches_without_jets_or_particles_have_a_loss_and_a_gradient():
    network, objective = decoder()
    nothing = objective(network, toy_batch(0).to("cpu", torch.float64))
    assert [nothing.loss.item(), nothing.weight.item()] == [0, 0]
    assert all(value.item() == 0 for value in nothing.metrics.values())
    nothing.loss.backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and not p.grad.any() for p in trained)
    empty = objective(network, toy_batch(lengths=[0, 0]).to("cpu", torch.float64))
    assert empty.weight.item() == 2  # that they stop at once
    assert empty.loss.item() > 0


def test_the_gradient_leaves_the_tokenizer_alone():
    network, objective = decoder()
    objective(network, toy_batch(lengths=[5, 9]).to("cpu", torch.float64)).loss.backward()
    assert all(p.grad is None for p in network.backbone.tokenizer.parameters())
    assert all(p.grad is not None for p in network.backbone.blocks.parameters())


def test_a_few_sentences_are_learned_by_heart(monkeypatch):
    network, objective = decoder()
    network.float()
    codes = torch.randint(12, (19,), generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(network.backbone.tokenizer, "codes", lambda _: codes)
    batch = toy_batch(lengths=[6, 8, 5])
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.02, foreach=True)
    for _ in range(50):
        optimizer.zero_grad()
        sums = objective(network, batch)
        sums.loss.backward()
        optimizer.step()
    # All but which of the three jets it is: 3 ln 3 for all of them.
    assert 3 * math.log(3) - 1e-3 < sums.loss.item() < 3 * math.log(3) + 0.5
    assert sums.metrics["token_accuracy"].item() >= sums.weight.item() - 2


def test_other_networks_are_refused():
    with pytest.raises(InputError, match=r"needs a decoder: choose model.name omnijet"):
        build_objective(NextParticleOptions(), small_network("pfn"))


class StopError(Exception):
    """What a test stops a training with."""


def stop_after_a_batch(items, *, total, description):
    if not description.startswith("epoch"):
        yield from items
        return
    yield next(iter(items))
    raise StopError


def test_a_run_continues_exactly_and_hands_its_decoder_to_a_classifier(tmp_path):
    steps = ["training.steps=2", "training.checkpoint_every=1"]
    config = decoder_config(tmp_path, *steps)
    whole, stopped = train_run(config, tmp_path / "whole"), tmp_path / "stopped"
    with pytest.raises(StopError):
        train_run(config, stopped, progress=stop_after_a_batch)
    assert torch.load(stopped / "checkpoints" / "last.pt")["state"]["step"] == 1
    train_run(config, stopped)
    assert same_weights(whole, stopped)
    line = json.loads((whole / "metrics.jsonl").read_text())
    assert {"val_loss", "val_token_accuracy", "train_unigram_accuracy"} <= line.keys()

    classify = toy_config(
        tmp_path, f"init_from.path={whole}", "optimizer.lr=1e-30", *steps, model=DECODER
    )
    tagger, decoder = (
        load_run(run).model for run in (train_run(classify, tmp_path / "tagger"), whole)
    )
    assert tagger(toy_batch(3)).shape == (3, 2)
    weights = decoder.backbone.state_dict()
    for name, value in tagger.backbone.state_dict().items():
        torch.testing.assert_close(value, weights[name], msg=name)


def test_the_tokenizer_is_that_of_the_run_it_came_from(tmp_path):
    run = train_run(decoder_config(tmp_path, "training.steps=1"), tmp_path / "run")
    codebook = load_run(run).model.backbone.tokenizer.tokenizer.quantizer.codebook
    given = torch.load(tmp_path / "tokenizer.pt")["weights"]["backbone.quantizer.codebook"]
    assert torch.equal(codebook, given)
    other = write_tokenizer(tmp_path / "other.pt", num_codes=20)
    config = decoder_config(tmp_path, f"tokenizer_from={other}")
    with pytest.raises(InputError, match="has num_codes 20, the configuration's has 12"):
        train_run(config, tmp_path / "other")
    with pytest.raises(InputError, match="tokenizer_from is missing"):
        train_run(decoder_config(tmp_path, "tokenizer_from=null"), tmp_path / "none")
