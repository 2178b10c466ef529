"""Writing hidden particles: what is hidden, what is predicted from what, and what comes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.leaks import check_no_leak
from helpers.networks import SMALL, small_network
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.jets.packing import places
from parttag.models import build_model
from parttag.models.layers.masking import visible_jets
from parttag.models.particle_tokenizer import ParticleTokenizerOptions, token_features
from parttag.options import read_options
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch
from parttag.testing.tolerances import FLOAT64_NETWORK
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.loop import Trainer
from parttag.training.objectives import build_objective
from parttag.training.objectives.encoder_decoder import EncodeDecodeOptions, MomentumHead, TokenHead

LENGTHS = [1, 2, 9, 14, 3]
# Two or more visible particles in each jet: on its own axis, a single one has no gradient of ΔR.
LONGER = [5, 9, 14, 4]
MOMENTA = EncodeDecodeOptions()
TOKENIZER = {"num_layers": 0, "num_codes": 16, "width": 8, "hidden_dim": 8, "num_heads": 1}
TOKENS = read_options(EncodeDecodeOptions, {"targets": "tokens", "tokenizer": TOKENIZER})
BOTH = pytest.mark.parametrize("options", [MOMENTA, TOKENS], ids=["momenta", "tokens"])


def every_second(lengths, share=0.5, candidates=None):
    return places(np.array(lengths)) % 2 == 1


@pytest.fixture(autouse=True)
def _hide_every_second(request, monkeypatch):
    """Hide every second particle instead of random ones, but in whole runs."""
    if "tmp_path" not in request.fixturenames:
        monkeypatch.setattr("parttag.training.objectives.encoder_decoder.draw_hidden", every_second)


def built(options, **changes):
    """Return a small network without dropout and its objective, in float64."""
    torch.manual_seed(0)
    network = small_network("encoder_decoder", "kin", dropout=0.0, **changes)
    objective = build_objective(options, network)
    network.double()
    if options is not MOMENTA:  # codes are set by what a tokenizer sees first in training
        jets = batch([40] * 5)
        features = token_features(jets.p4, jets.jet_axis[jets.jet_of_particle])
        tokenizer = network.head.tokenizer.tokenizer
        tokenizer.train()(features, jets.lengths)
        tokenizer.eval()
    return network, objective


def batch(lengths=LENGTHS):
    return toy_batch(lengths=lengths, seed=3).to("cpu", torch.float64)


def outputs_of(network, objective, jets):
    """Return the encoder's output for the visible particles, the decoder's, and the sums."""
    seen = []
    hooks = [
        half.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        for half in (network.backbone.encoder, network.backbone.decoder)
    ]
    sums = objective(network, jets)
    for hook in hooks:
        hook.remove()
    return (*seen, sums)


# -------------------------------------------------------------------------------------- no leaks


def rows_of(jet, lengths=LONGER):
    """Return the visible rows of a jet, the hidden ones, and the first of its positions."""
    hidden = every_second(lengths)
    rows = np.arange(lengths[jet]) + sum(lengths[:jet])
    first = hidden[: rows[0]].sum() + jet  # one more position than hidden particles in each jet
    return rows[~hidden[rows]].tolist(), rows[hidden[rows]].tolist(), int(first)


@BOTH
def test_no_hidden_particle_reaches_the_encoder(options):
    network, objective = built(options)
    check_no_leak(
        lambda jets: outputs_of(network, objective, jets)[0], batch(LONGER), every_second(LONGER)
    )


@pytest.mark.parametrize("step", range(5))
def test_no_later_particle_reaches_an_earlier_output(step):
    network, objective = built(MOMENTA)
    visible, hidden, first = rows_of(jet=1)
    assert len(hidden) == 4
    unseen = np.ones(sum(LONGER), dtype=bool)
    unseen[visible + hidden[:step]] = False
    check_no_leak(
        lambda jets: outputs_of(network, objective, jets)[1][first + step], batch(LONGER), unseen
    )


def test_no_later_code_changes_an_earlier_output():
    network, objective = built(TOKENS)
    jets = batch(LONGER)
    encoded, decoded, _ = outputs_of(network, objective, jets)
    _, hidden, first = rows_of(jet=1)
    after = range(first + len(hidden) + 1, len(decoded))
    for step in range(len(hidden)):
        p4 = jets.p4.clone()
        # A soft particle far away becomes another code.
        p4[hidden[step:]] = torch.tensor([0.1, -0.2, 0.3, 0.5], dtype=p4.dtype)
        other_encoded, other, _ = outputs_of(network, objective, replace(jets, p4=p4))
        torch.testing.assert_close(other_encoded, encoded, rtol=0, atol=0)
        unchanged = [*range(first + step + 1), *after]
        torch.testing.assert_close(other[unchanged], decoded[unchanged], rtol=0, atol=0)
        assert not torch.equal(other[first + step + 1], decoded[first + step + 1])


def test_codes_that_know_of_other_particles_are_refused():
    with pytest.raises(InputError, match=r"tokenizer\.num_layers is 4, but must be 0"):
        read_options(EncodeDecodeOptions, {"targets": "tokens", "tokenizer": {"num_codes": 16}})


# ------------------------------------------------------------------------------ losses and metrics


def pieces(network, objective, jets):
    """Return for each jet its features to write, and what the decoder gives at each position."""
    hidden = every_second(jets.lengths)
    visible, written = visible_jets(jets, hidden), jets.keep_particles(hidden)
    features = token_features(written.p4, visible.jet_axis[written.jet_of_particle])
    _, decoded, sums = outputs_of(network, objective, jets)
    lengths = written.lengths
    return features.split(lengths.tolist()), decoded.split((lengths + 1).tolist()), sums


def test_momenta_are_compared_with_their_features_and_the_end_is_a_yes_or_no():
    network, objective = built(MOMENTA)
    jets = batch()
    jets.jet_weights[:] = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])
    features, decoded, sums = pieces(network, objective, jets)
    mean = torch.cat(features).mean(dim=0)
    totals = {"regression_error": 0.0, "mean_error": 0.0, "stop_loss": 0.0}
    for weight, own, outputs in zip(jets.jet_weights.tolist(), features, decoded, strict=True):
        predicted = network.head.output(outputs)
        is_end = torch.zeros(len(outputs), dtype=torch.float64)
        is_end[-1] = 1
        stop = F.binary_cross_entropy_with_logits(predicted[:, 3], is_end).item()
        totals["stop_loss"] += weight * stop
        if len(own):
            error = (predicted[:-1, :3] - own).abs().mean().item()
            totals["regression_error"] += weight * error
            totals["mean_error"] += weight * (own - mean).abs().mean().item()
    assert sums.weight.item() == 7.5
    assert {k: v.item() for k, v in sums.metrics.items()} == pytest.approx(totals)
    loss = totals["regression_error"] + totals["stop_loss"]
    assert sums.loss.item() == pytest.approx(loss)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_tokens_are_compared_with_codes_and_the_end_is_one_more(smoothing):
    network, objective = built(TOKENS.model_copy(update={"label_smoothing": smoothing}))
    jets = batch()
    features, decoded, sums = pieces(network, objective, jets)
    tokenizer = network.head.tokenizer
    codes = [tokenizer.encode(own, np.array([len(own)])) for own in features]
    common = torch.cat(codes).bincount().argmax()
    loss = right = right_unigram = 0.0
    for own, outputs in zip(codes, decoded, strict=True):
        logits = outputs @ network.head.tokens.T
        log_p = logits.log_softmax(dim=1)
        answers = torch.cat([own, torch.tensor([16])])
        chosen = log_p.gather(1, answers[:, None])[:, 0]
        smoothed = (1 - smoothing) * chosen + smoothing * log_p.mean(dim=1)
        loss -= smoothed.mean().item()
        if len(own):
            right += (logits[:-1].argmax(dim=1) == own).double().mean().item()
            right_unigram += (own == common).double().mean().item()
    assert sums.loss.item() == pytest.approx(loss)
    expected = {"token_accuracy": right, "unigram_accuracy": right_unigram}
    assert {k: v.item() for k, v in sums.metrics.items()} == pytest.approx(expected)


@BOTH
def test_particles_beyond_the_last_change_nothing(options):
    network, objective = built(options)
    jets = batch()
    junk = torch.full((5, 4), torch.nan, dtype=torch.float64)
    extra = torch.cat([jets.extra, junk[:, :1].expand(-1, jets.extra.shape[1])])
    extended = replace(jets, p4=torch.cat([jets.p4, junk]), extra=extra)
    torch.testing.assert_close(objective(network, extended), objective(network, jets))


@BOTH
def test_jets_do_not_depend_on_their_company(options):
    network, objective = built(options)
    jets = batch()
    together = objective(network, jets).loss
    alone = sum(objective(network, jets.span(b, b + 1)).loss for b in range(len(jets)))
    torch.testing.assert_close(alone, together, **FLOAT64_NETWORK)


@BOTH
def test_everything_but_the_tokenizer_learns_even_from_nothing(options):
    network, objective = built(options)
    for lengths in (LENGTHS, [], [0], [1]):
        network.zero_grad()
        sums = objective(network, batch(lengths))
        sums.loss.backward()
        assert all(value.isfinite() for value in (sums.loss, sums.weight, *sums.metrics.values()))
        for name, parameter in network.named_parameters():
            learns = not name.startswith("head.tokenizer")
            assert (parameter.grad is not None) == parameter.requires_grad == learns
        if not lengths:
            assert (sums.loss.item(), sums.weight.item()) == (0, 0)


@BOTH
def test_one_batch_is_learned_better_than_by_the_baseline(options):
    torch.manual_seed(0)
    network, objective = built(options, embed_dim=32)
    jets = batch()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sums = objective(network, jets)
        sums.loss.backward()
        optimizer.step()
    metrics = {name: value.item() for name, value in sums.metrics.items()}
    if options is MOMENTA:
        assert metrics["regression_error"] < 0.5 * metrics["mean_error"]
        assert metrics["stop_loss"] < 0.25 * len(LENGTHS)  # 0.59 of always the same answer
    else:
        assert metrics["token_accuracy"] > 2 * metrics["unigram_accuracy"]


# ---------------------------------------------------------------------------------------- a run


SMALLEST = {"name": "encoder_decoder", **SMALL["encoder_decoder"]}
PRETRAINING = ("objective.name=encoder_decoder", "training.best_by=loss", "training.epochs=2")


class InterruptedTrainingError(Exception):
    pass


@pytest.fixture
def interrupted(monkeypatch):
    """Let the first training stop in its second epoch, a step after a checkpoint."""
    step = Trainer._step
    stops = [7]

    def stopping_step(trainer, batch):
        if trainer.state.step in stops:
            stops.clear()
            raise InterruptedTrainingError
        step(trainer, batch)

    monkeypatch.setattr(Trainer, "_step", stopping_step)


def toy_tokenizer(path):
    """Write the checkpoint of an untrained tokenizer, and return its weights."""
    content = {"name": "particle_tokenizer", **TOKENIZER}
    network = build_model(read_options(ParticleTokenizerOptions, content), (), 1)
    config = {"model": network.backbone.options.model_dump()}
    described = describe_network(network, config, ())
    write_checkpoint(path, {"weights": network.state_dict(), **described})
    return network.backbone.state_dict()


@BOTH
def test_a_run_continues_exactly_and_hands_its_backbone_to_a_classifier(
    options, tmp_path, interrupted
):
    changes = [*PRETRAINING, "objective.share=0.4", "training.checkpoint_every=2"]
    if options is TOKENS:
        tokenizer = toy_tokenizer(tmp_path / "tokenizer.pt")
        changes += ["objective.targets=tokens", f"objective.tokenizer={TOKENIZER}"]
        changes += [f"tokenizer_from={tmp_path / 'tokenizer.pt'}"]
    config = toy_config(tmp_path, *changes, model=SMALLEST)
    with pytest.raises(InterruptedTrainingError):
        train_run(config, tmp_path / "stopped")
    train_run(config, tmp_path / "whole")
    train_run(config, tmp_path / "stopped")
    assert same_weights(tmp_path / "stopped", tmp_path / "whole")
    lines = [(tmp_path / n / "metrics.jsonl").read_text() for n in ("stopped", "whole")]
    ours, theirs = ([json.loads(line) for line in text.splitlines()] for text in lines)
    metric_names = (MomentumHead if options is MOMENTA else TokenHead).metric_names
    for one, other in zip(ours, theirs, strict=True):
        names = [f"{part}_{name}" for part in ("train", "val") for name in ("loss", *metric_names)]
        assert [one[n] for n in names] == [other[n] for n in names]
    written = load_run(tmp_path / "whole").model
    if options is TOKENS:
        for name, value in written.head.tokenizer.tokenizer.state_dict().items():
            assert torch.equal(value, tokenizer[name])
    config = toy_config(
        tmp_path,
        f"init_from.path={tmp_path / 'whole'}",
        "training.steps=2",
        "optimizer.lr=1e-30",
        model=SMALLEST,
    )
    tagger = load_run(train_run(config, tmp_path / "tagger")).model
    for name, value in tagger.backbone.state_dict().items():
        torch.testing.assert_close(value, written.backbone.state_dict()[name])
    assert tagger.head.out_features == 2


def test_another_network_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"needs model\.name: encoder_decoder"):
        train_run(toy_config(tmp_path, *PRETRAINING), tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing is for targets: tokens"),
        ({"share": 1.0}, "share is 1.0, but must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(content, match):
    with pytest.raises(InputError, match=match):
        read_options(EncodeDecodeOptions, content)
