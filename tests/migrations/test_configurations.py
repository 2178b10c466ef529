"""The steps of configurations, one by one, and what is understood in files that people write."""

import logging

import pytest
import yaml

from parttag.errors import InputError
from parttag.migrations import configurations
from parttag.migrations.configurations import CONFIGURATION
from parttag.runs.config import (
    RunConfig,
    build_config,
    dump_config,
    first_difference,
    load_config,
    run_config_class,
)

DATA = {"classes": {"top": "label_top", "QCD": "label_QCD"}}
TRANSFORMER = {"name": "particle_transformer"}


@pytest.fixture(autouse=True)
def log_again():
    configurations._log.cache_clear()


def sentences(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def of_run(content):
    return CONFIGURATION.upgraded(content, "config.yaml")


# -------------------------------------------------------------------------------------- 0 to 1


def test_the_multiplier_of_the_head_is_one_of_the_pattern_of_the_head():
    init = {"path": "run", "head_lr_multiplier": 50.0}
    assert of_run({"init_from": init})["init_from"] == {
        "path": "run",
        "lr_multipliers": {"head.*": 50.0},
    }
    assert init == {"path": "run", "head_lr_multiplier": 50.0}


def test_a_multiplier_that_multiplies_nothing_is_none():
    init = {"path": "run", "head_lr_multiplier": 1.0}
    assert of_run({"init_from": init})["init_from"] == {"path": "run"}


def test_both_multipliers_at_once_are_refused():
    init = {"path": "run", "head_lr_multiplier": 50, "lr_multipliers": {"head.*": 3}}
    with pytest.raises(InputError, match=r"init_from\.head_lr_multiplier is the old name of"):
        build_config({"data": DATA, "model": TRANSFORMER, "init_from": init})


def test_the_mass_of_pairs_is_no_option():
    model = {**TRANSFORMER, "pair_mass": "published", "num_heads": 4}
    assert of_run({"model": model})["model"] == {**TRANSFORMER, "num_heads": 4}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("head.*", "head.*"),
        ("backbone.*", "backbone.*"),
        ("backbone.embedding.0.*", "backbone.embedding.input_norm.*"),
        ("backbone.embedding.1.weight", "backbone.embedding.layers.0.norm.weight"),
        ("backbone.embedding.8.*", "backbone.embedding.layers.2.linear.*"),
        ("backbone.embedding.3.*", "backbone.embedding.3.*"),  # fitted nothing, and fits nothing
        ("*.embedding.10*", "*.embedding.layers.3.norm*"),
        ("*embedding.4.bias", "*embedding.layers.1.norm.bias"),
        ("backbone.blocks.0.feedforward.0.*", "backbone.blocks.0.feedforward.norm.*"),
        ("*.feedforward.1.*", "*.feedforward.hidden.*"),
        ("*.feedforward.4.*", "*.feedforward.hidden_norm.*"),
        ("*.feedforward.5", "*.feedforward.out"),
        ("backbone.pair_network.layers.0.*", "backbone.pair_network.layers.0.*"),
        pytest.param("embedding." + "9" * 5000, "embedding." + "9" * 5000, id="many digits"),
    ],
)
def test_patterns_have_the_present_names(old, new):
    init = {"freeze": ["a.*", old], "lr_multipliers": {old: 2.0, "b.*": 3.0}}
    content = {"init_from": init, "model": TRANSFORMER}
    expected = {"freeze": ["a.*", new], "lr_multipliers": {new: 2.0, "b.*": 3.0}}
    assert of_run(content)["init_from"] == expected
    assert list(of_run(content)["init_from"]["lr_multipliers"]) == [new, "b.*"]
    assert of_run({**content, "init_from": {"freeze": old}})["init_from"] == {"freeze": new}
    other = {"init_from": init, "model": {"name": "omnijet"}}
    assert of_run(other)["init_from"] == init


@pytest.mark.parametrize(
    "content",
    [
        {"model": 3, "init_from": [1]},
        {"model": {"name": ["x"]}, "init_from": {"freeze": [3, None], "lr_multipliers": {2: 1}}},
        {"model": None, "init_from": None},
    ],
)
def test_what_is_wrong_for_other_reasons_stays_wrong(content):
    assert of_run(content) == {**content, "schema_version": CONFIGURATION.version}


# ------------------------------------------------------------------------- by hand, and of runs

OLD_KEYS = {
    "data": DATA,
    "model": {**TRANSFORMER, "pair_mass": "stable"},
    "init_from": {
        "path": "run",
        "head_lr_multiplier": 50,
        "freeze": "backbone.embedding.0.*",
    },
}


def test_old_keys_in_a_file_of_a_user_are_read_with_a_line_that_says_the_new_ones(tmp_path, caplog):
    path = write(tmp_path / "my.yaml", OLD_KEYS)
    config = load_config(path)
    assert config.init_from.lr_multipliers == {"head.*": 50}
    assert config.init_from.freeze == ("backbone.embedding.input_norm.*",)
    assert sentences(caplog) == [
        f"{path}: init_from.head_lr_multiplier is init_from.lr_multipliers={{head.*: 50}} "
        "since schema_version 1",
        f"{path}: model.pair_mass is left out, and the masses of pairs are as published, "
        "since schema_version 1",
        f"{path}: init_from: the pattern backbone.embedding.0.* is "
        "backbone.embedding.input_norm.* since schema_version 1",
    ]
    assert load_config(path) == config
    assert len(sentences(caplog)) == 3


def test_old_keys_in_overrides_are_read(tmp_path, caplog):
    path = write(tmp_path / "my.yaml", {"data": DATA, "model": TRANSFORMER})
    config = load_config(path, ["init_from={path: run, head_lr_multiplier: 5}"])
    assert config.init_from.lr_multipliers == {"head.*": 5}
    (sentence,) = sentences(caplog)
    assert sentence.startswith("the configuration: init_from.head_lr_multiplier is")


def test_an_override_replaces_the_old_key_of_a_file(tmp_path):
    path = write(tmp_path / "my.yaml", OLD_KEYS)
    config = load_config(path, ["init_from.lr_multipliers={head.*: 7}"])
    assert config.init_from.lr_multipliers == {"head.*": 7}


def test_the_configuration_of_an_old_run_is_read_in_silence(tmp_path, caplog):
    path = write(tmp_path / "run" / "config.yaml", OLD_KEYS)
    (path.parent / "provenance.json").write_text("{}")
    config = load_config(path)
    assert config.init_from.lr_multipliers == {"head.*": 50}
    assert not sentences(caplog)
    # What the user gives to continue it has the keys of today, or those of then.
    by_hand = load_config(write(tmp_path / "my.yaml", OLD_KEYS))
    assert first_difference(config, by_hand) is None


def test_what_is_written_says_its_version(tmp_path):
    config = build_config({"data": DATA, "model": TRANSFORMER})
    text = dump_config(config)
    assert yaml.safe_load(text)["schema_version"] == CONFIGURATION.version
    path = tmp_path / "printed.yaml"
    path.write_text(text)
    assert load_config(path) == config
    # An editor that knows the schema knows the key, which is no option.
    assert "schema_version" in run_config_class().model_json_schema()["properties"]
    assert "schema_version" not in RunConfig.model_fields


def test_a_version_in_a_file_of_a_user_counts(tmp_path, caplog):
    path = write(tmp_path / "my.yaml", {"schema_version": 0, **OLD_KEYS})
    assert load_config(path).init_from.lr_multipliers == {"head.*": 50}
    assert not sentences(caplog)
    path = write(tmp_path / "my.yaml", {"schema_version": 1, **OLD_KEYS})  # and then edited
    assert load_config(path).init_from.lr_multipliers == {"head.*": 50}
    assert len(sentences(caplog)) == 3


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("99", "my.yaml was made by a newer parttag"),
        ("x", "my.yaml: schema_version is 'x', which is no version of a configuration"),
        ("-1", "schema_version is -1"),
        ("1.0", "schema_version is 1.0"),
        ("{a: 1}", "schema_version is a dict"),
        ("9" * 100, "made by a newer parttag"),
        ("9" * 200, "my.yaml: this is not YAML: a number or date has more than 100 characters"),
        ("0x" + "f" * 5000, "my.yaml: this is not YAML: a number or date has more than 100"),
        ("2026-13-32", "my.yaml: this is not YAML"),
    ],
)
def test_a_version_that_is_not_read_is_refused(tmp_path, version, sentence):
    path = tmp_path / "my.yaml"
    path.write_text(f"schema_version: {version}\nmodel: {{name: pfn}}\n")
    with pytest.raises(InputError, match=sentence):
        load_config(path)
