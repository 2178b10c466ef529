"""The steps of checkpoints, and which checkpoints are refused."""

import re
import shutil

import pytest
import torch

from helpers.golden import one_thread
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.migrations.checkpoints import CHECKPOINT, upgraded_checkpoint
from parttag.migrations.configurations import CONFIGURATION
from parttag.migrations.formats import NewerFormatError
from parttag.models import build_model
from parttag.models.particle_transformer import ParticleTransformerOptions
from parttag.runs.train import train_run
from parttag.training.checkpoint import read_checkpoint, read_last

# Name of a layer of today, and what it was in schema 0.
OLD_NAMES = {
    r"\.embedding\.input_norm\.": ".embedding.0.",
    r"\.embedding\.layers\.0\.norm\.": ".embedding.1.",
    r"\.embedding\.layers\.0\.linear\.": ".embedding.2.",
    r"\.embedding\.layers\.1\.norm\.": ".embedding.4.",
    r"\.embedding\.layers\.1\.linear\.": ".embedding.5.",
    r"\.feedforward\.norm\.": ".feedforward.0.",
    r"\.feedforward\.hidden\.": ".feedforward.1.",
    r"\.feedforward\.hidden_norm\.": ".feedforward.4.",
    r"\.feedforward\.out\.": ".feedforward.5.",
}
SMALL = {
    "name": "particle_transformer",
    "embed_dims": [8, 8],
    "pair_dims": [4],
    "num_heads": 2,
    "num_layers": 2,
    "num_class_layers": 1,
    "feedforward_factor": 2,
}


def old_name(name):
    for now, then in OLD_NAMES.items():
        name = re.sub(now, then, name)
    return name


def as_of_schema_0(content):
    """Return the content of a checkpoint of a Particle Transformer as fe8dfdb wrote it."""
    config = {key: value for key, value in content["config"].items() if key != "schema_version"}
    weights = {old_name(name): value for name, value in content["weights"].items()}
    rest = {key: value for key, value in content.items() if key != "schema_version"}
    return {**rest, "config": config, "weights": weights}


def test_parameters_have_the_names_of_their_layers_in_the_order_that_they_had():
    model = build_model(ParticleTransformerOptions(**SMALL), "kin", 2)
    weights = model.state_dict()
    old = {old_name(name): value for name, value in weights.items()}
    assert "backbone.blocks.1.feedforward.5.weight" in old
    assert "backbone.class_blocks.0.feedforward.4.bias" in old
    content = {"weights": old, "config": {"model": SMALL}}
    upgraded = upgraded_checkpoint(content, "last.pt")
    assert list(upgraded["weights"]) == list(weights)
    assert all(upgraded["weights"][name] is value for name, value in weights.items())


def test_parameters_of_other_networks_keep_their_names():
    weights = {"backbone.blocks.0.feedforward.0.weight": 1, "backbone.embedding.1.bias": 2}
    for model in ({"name": "omnijet"}, None, 3):
        content = {"weights": weights, "config": {"model": model}}
        assert upgraded_checkpoint(content, "last.pt")["weights"] == weights


def test_the_configuration_in_a_checkpoint_has_a_version_of_its_own():
    old = {"model": {"name": "particle_transformer", "pair_mass": "published"}}
    new = {"model": {"name": "particle_transformer"}}
    for versions, config in (({}, old), ({"schema_version": 1}, {"schema_version": 1, **new})):
        content = {**versions, "weights": {}, "config": config}
        upgraded = upgraded_checkpoint(content, "last.pt")
        assert upgraded == {"weights": {}, "config": new}
    newer = {"weights": {}, "config": {"schema_version": CONFIGURATION.version + 1}}
    with pytest.raises(NewerFormatError, match=r"last\.pt was made by a newer parttag"):
        upgraded_checkpoint(newer, "last.pt")


class StoppedError(Exception):
    pass


def stop_in_the_second_epoch(items, *, total, description):
    for number, item in enumerate(items):
        if description.startswith("epoch 2") and number == 2:
            raise StoppedError
        yield item


@pytest.mark.parametrize("optimizer", ["adamw", "ranger"])
def test_an_old_checkpoint_is_continued_exactly(tmp_path, optimizer):
    """Optimizers know parameters by their number: each keeps its own moments."""
    overrides = ("training.checkpoint_every=3", "training.epochs=2")
    config = toy_config(tmp_path, f"optimizer.name={optimizer}", *overrides, model=SMALL)
    with one_thread():
        with pytest.raises(StoppedError):
            train_run(config, tmp_path / "new", progress=stop_in_the_second_epoch)
        shutil.copytree(tmp_path / "new", tmp_path / "old")
        for path in (tmp_path / "old").rglob("*.pt"):
            content = as_of_schema_0(torch.load(path, weights_only=True))
            assert "backbone.embedding.0.weight" in content["weights"]
            torch.save(content, path)
        path = tmp_path / "old" / "config.yaml"
        path.write_text(path.read_text().replace(f"schema_version: {CONFIGURATION.version}\n", ""))
        for name in ("new", "old"):
            train_run(config, tmp_path / name)
    assert same_weights(tmp_path / "new", tmp_path / "old")
    best = (read_checkpoint(tmp_path / n / "checkpoints" / "best.pt") for n in ("new", "old"))
    new, old = (content["weights"] for content in best)
    assert list(new) == list(old)
    assert all(torch.equal(new[name], old[name]) for name in new)
    assert path.read_text().startswith(f"schema_version: {CONFIGURATION.version}\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    config = toy_config(folder, "training.epochs=1")
    return config, train_run(config, folder / "run")


def change(path, **values):
    torch.save({**torch.load(path, weights_only=True), **values}, path)


def test_what_is_written_says_its_version(trained):
    for path in (trained[1] / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        assert content["schema_version"] == CHECKPOINT.version
        assert content["config"]["schema_version"] == CONFIGURATION.version
        assert "schema_version" not in read_checkpoint(path)


def test_newer_checkpoints_are_refused_before_anything_is_done(trained, tmp_path):
    config, run = trained
    path = run / "checkpoints" / "last.pt"
    kept = path.read_bytes()
    change(path, schema_version=CHECKPOINT.version + 1)
    newer = path.read_bytes()
    with pytest.raises(NewerFormatError, match=r"last\.pt was made by a newer parttag"):
        train_run(config, run)
    assert path.read_bytes() == newer
    path.write_bytes(kept)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"schema_version": 2**62}, "made by a newer parttag"),
        ({"schema_version": -1}, "schema_version is -1, which is no version of a checkpoint"),
        ({"schema_version": "one"}, "schema_version is 'one', which is no version"),
        ({"schema_version": torch.ones(3)}, "schema_version is a Tensor, which is no version"),
        ({"config": {"schema_version": None}}, "None, which is no version of a configuration"),
        ({"config": [1]}, "not a checkpoint of parttag"),
        ({"weights": torch.ones(3)}, "not a checkpoint of parttag"),
        ({"weights": {3: torch.ones(3)}}, "not a checkpoint of parttag"),
    ],
)
def test_hostile_versions_are_refused(trained, tmp_path, values, sentence):
    path = tmp_path / "best.pt"
    path.write_bytes((trained[1] / "checkpoints" / "best.pt").read_bytes())
    change(path, **values)
    with pytest.raises(InputError, match=sentence):
        read_checkpoint(path)


def test_a_damaged_checkpoint_still_makes_way_for_the_one_before_it(trained, tmp_path):
    source = trained[1] / "checkpoints" / "last.pt"
    (tmp_path / "last.pt").write_bytes(source.read_bytes())
    (tmp_path / "last.previous.pt").write_bytes(source.read_bytes())
    change(tmp_path / "last.pt", schema_version="x")
    assert read_last(tmp_path) is not None
