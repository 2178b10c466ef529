"""Tokenizers from one run to the next: which are taken, and which are refused."""

import json

import pytest
import torch

from helpers.networks import small_network
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.training.checkpoint import describe_network, write_checkpoint
from parttag.training.objectives import build_objective
from parttag.training.objectives.masked import MaskedOptions
from parttag.training.tokenizers import take_tokenizer
from parttag.training.transfer import InitOptions

SIZES = {"num_codes": 12, "latent_dim": 3, "width": 16, "hidden_dim": 16, "num_heads": 4}
ENCODER = {"name": "mpm", "width": 16, "hidden_dim": 12, "num_layers": 1, "num_heads": 4}
MASKED = {"name": "masked", "tokenizer": SIZES, "width": 16, "dense_dim": 12}


def write_tokenizer(path, **changes):
    sizes = {**SIZES, **changes}
    network = small_network("particle_tokenizer", **{"num_layers": 4, **sizes})
    config = {"model": {"name": "particle_tokenizer", **network.backbone.options.model_dump()}}
    content = {"weights": network.state_dict(), **describe_network(network, config, ())}
    write_checkpoint(path, content)
    return network


def masked_network(name="mpm", **options):
    network = small_network(name)
    build_objective(MaskedOptions(tokenizer=SIZES, **options), network)
    return network


def test_weights_and_codebook_are_copied(tmp_path):
    trained = write_tokenizer(tmp_path / "tokenizer.pt", dropout=0.5)
    network = masked_network()
    take_tokenizer(network, str(tmp_path / "tokenizer.pt"), None)
    ours = network.head.tokenizer.tokenizer.state_dict()
    theirs = trained.backbone.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_codes": 13}, "has num_codes 13, the configuration's has 12"),
        ({"frame": "jet"}, "has frame jet, the configuration's has hardest"),
        ({"num_layers": 0}, "has num_layers 0, the configuration's has 4"),
    ],
)
def test_a_tokenizer_of_other_sizes_or_another_frame_is_refused(tmp_path, changes, sentence):
    write_tokenizer(tmp_path / "tokenizer.pt", **changes)
    with pytest.raises(InputError, match=sentence):
        take_tokenizer(masked_network(), str(tmp_path / "tokenizer.pt"), None)


def test_what_is_no_tokenizer_is_refused(tmp_path):
    network = small_network("pfn")
    description = describe_network(network, {"model": {"name": "pfn"}}, ("top", "QCD"))
    write_checkpoint(tmp_path / "pfn.pt", {"weights": network.state_dict(), **description})
    with pytest.raises(InputError, match="holds the network pfn, no particle_tokenizer"):
        take_tokenizer(masked_network(), str(tmp_path / "pfn.pt"), None)


def test_a_network_without_tokens_needs_none_and_takes_none(tmp_path):
    take_tokenizer(masked_network(target="features"), None, None)
    with pytest.raises(InputError, match="neither the network nor its objective reads tokens"):
        take_tokenizer(small_network("pfn"), str(tmp_path), None)


def test_a_network_that_predicts_tokens_needs_a_trained_tokenizer():
    with pytest.raises(InputError, match="tokenizer_from is missing"):
        take_tokenizer(masked_network(), None, None)
    with pytest.raises(InputError, match="tokenizer_from is missing"):  # it is in the head
        take_tokenizer(masked_network(), None, InitOptions(path="run"))
    take_tokenizer(masked_network(), None, InitOptions(path="run", load="all"))


def test_a_tokenizer_other_than_the_one_that_came_with_the_network_is_refused(tmp_path):
    write_tokenizer(tmp_path / "tokenizer.pt")
    path, loaded = str(tmp_path / "tokenizer.pt"), InitOptions(path="run", load="all")
    network = masked_network()
    take_tokenizer(network, path, None)
    take_tokenizer(network, path, loaded)  # the same again
    network.head.tokenizer.tokenizer.quantizer.codebook[0, 0] += 1
    with pytest.raises(InputError, match=r"another tokenizer than that in init_from\.path"):
        take_tokenizer(network, path, loaded)
    take_tokenizer(network, path, InitOptions(path="run"))  # a fresh head knows no codes


class Killed(BaseException):
    """What a test stops a training with, in place of kill -9."""


class KillAt:
    """A progress that ends the process before a step."""

    def __init__(self, step):
        self.left = step

    def __call__(self, items, *, total, description):
        for item in items:
            if description.startswith("epoch"):
                if self.left == 0:
                    raise Killed
                self.left -= 1
            yield item


def train_twice(config, folder):
    """Train at one go, and killed and continued; both must end the same."""
    whole = train_run(config, folder / "whole")
    with pytest.raises(Killed):
        train_run(config, folder / "killed", progress=KillAt(2))
    killed = train_run(config, folder / "killed")
    assert same_weights(whole, killed)
    lines = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (whole, killed)
    ]
    losses = [[(line["train_loss"], line["val_loss"]) for line in run] for run in lines]
    assert losses[0] == losses[1]
    return whole, lines[0]


def test_tokenizer_then_masked_then_classification(tmp_path):
    """The whole way, unlabelled until the last part; what comes before is killed and continued."""
    short = ("training.epochs=1", "training.checkpoint_every=1", "training.best_by=loss")
    unlabelled = (*short, "data.classes={}")
    tokenizer = {"name": "particle_tokenizer", **SIZES, "num_layers": 1}
    config = toy_config(tmp_path, *unlabelled, "objective={name: tokenize}", model=tokenizer)
    tokenizer_run, lines = train_twice(config, tmp_path / "tokenize")
    assert {"train_codebook_use", "val_pt_error"} <= lines[0].keys()

    config = toy_config(
        tmp_path,
        *unlabelled,
        f"objective={json.dumps(MASKED)}",
        "objective.tokenizer.num_layers=1",
        f"tokenizer_from={tokenizer_run}",
        model=ENCODER,
    )
    masked_run, lines = train_twice(config, tmp_path / "masked")
    assert {"train_token_accuracy", "val_unigram_accuracy"} <= lines[0].keys()
    state = load_run(masked_run).model.state_dict()
    trained = load_run(tokenizer_run).model.state_dict()
    for name, value in state.items():  # frozen: as it was, and saved with the run
        if name.startswith("head.tokenizer.tokenizer."):
            twin = trained["backbone." + name.removeprefix("head.tokenizer.tokenizer.")]
            assert torch.equal(value, twin)

    handed = (*short, f"init_from.path={masked_run}", "optimizer.lr=1e-30")
    run = train_run(toy_config(tmp_path, *handed, model=ENCODER), tmp_path / "classify")
    fresh = load_run(run).model.state_dict()
    names = [name for name in state if name.startswith("backbone.encoder.")]
    assert names
    for name in names:
        torch.testing.assert_close(fresh[name], state[name])
