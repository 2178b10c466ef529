import pickle
from pathlib import Path

import pytest
import yaml

from parttag.errors import InputError
from parttag.jets.features import FEATURE_SETS
from parttag.models import MODELS
from parttag.runs.config import (
    RunConfig,
    dump_config,
    first_difference,
    load_config,
    run_config_class,
)
from parttag.training.optimizers import AdamWOptions

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent.name != "benchmarks")
MINIMAL = """
data:
  classes: {top: [label_top, label_Tbqq], QCD: label_QCD}
model: {name: pfn}
"""


def _write(folder, text):
    path = folder / "run.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def minimal(tmp_path):
    return _write(tmp_path, MINIMAL)


def test_what_a_file_leaves_out_has_its_default(minimal):
    config = load_config(minimal)
    assert config.data.classes == {"top": ("label_top", "label_Tbqq"), "QCD": ("label_QCD",)}
    assert config.features == "kin"
    assert (config.optimizer.name, config.optimizer.lr) == ("ranger", 1e-3)
    assert config.schedule.name == "flat+decay"
    assert config.training.epochs == 20
    assert config.init_from is None


def test_an_override_replaces_a_value(minimal):
    config = load_config(
        minimal,
        [
            "data.train=a.h5",
            "data.val=[b.h5, c.h5]",
            "data.test=*.root",
            "optimizer.lr=1e-2",
            "training.max_grad_norm=1",
            "model.max_particles=null",
            "features=[log_pt, delta_r]",
        ],
    )
    assert config.data.train == ("a.h5",)
    assert config.data.val == ("b.h5", "c.h5")
    assert config.data.test == ("*.root",)
    assert config.optimizer.lr == 0.01
    assert config.training.max_grad_norm == 1.0
    assert config.model.max_particles is None
    assert config.features == ("log_pt", "delta_r")


def test_an_override_of_a_section_replaces_all_of_it(minimal):
    config = load_config(minimal, ["optimizer={name: adamw, weight_decay: 0.1}"])
    assert config.optimizer == AdamWOptions(weight_decay=0.1)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.epochs", "'training.epochs' is not of the form section.key=value"),
        ("=3", "'=3' is not of the form section.key=value"),
        ("features.kin=3", "features is 'kin', which has no keys"),
        ("training.batchsize=3", "training.batchsize: .* nearest known one is training.batch_size"),
        ("training.lr=3", "training.lr: .* nearest known one is optimizer.lr"),
        ("optimizer.lr=-1", "optimizer.lr is -1, but must be greater than 0"),
        ("optimizer.lookahead_alpha=0", "must be greater than 0 and at most 1"),
        ("optimizer.betas=[0.9, 1]", "betas.1 is 1, but must be at least 0 and less than 1"),
        (
            "optimizer.name=sgd",
            "optimizer.name is 'sgd', but must be one of ranger, adamw, adam, lion",
        ),
        ("training.precision=fp16", "training.precision is 'fp16', but must be 'fp32', 'bf16' or"),
        ("training.seed=-1", "training.seed is -1, but must be at least 0 and less than"),
        ("model.name=resnet", "model.name is 'resnet', but must be one of .*pfn"),
        ("features=everything", "features: there is no set 'everything'; choose one of kin,"),
        ("data.classes={top: label_top}", "data.classes has 1 entries, but .* two or more"),
    ],
)
def test_a_wrong_override_is_refused_in_a_sentence(minimal, override, sentence):
    text = MINIMAL + "features: kin\n"
    with pytest.raises(InputError, match=sentence):
        load_config(_write(minimal.parent, text), [override])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: {name: pfn}\nmodel: {name: pfn}", "the key model is given twice"),
        ("data: {train: a, train: b}", "the key train is given twice"),
        ("data: [", "this is not YAML"),
        ("- data", "a configuration is a list of sections"),
        ("", "a configuration is a list of sections"),
        ("model: {name: pfn}", "data: a value is missing"),
        ("model: !!python/object/apply:os.getcwd []", "this is not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        load_config(_write(tmp_path, text))


@pytest.mark.parametrize("name", ["jedi_net", "lgn", "lorentz_net", "pfn_original"])
def test_features_of_a_network_that_reads_none_are_refused(minimal, name):
    sentence = f"^features: {name} makes its own inputs from four-momenta; leave features out$"
    for features in ("full", "[log_pt, delta_r]"):
        with pytest.raises(InputError, match=sentence):
            load_config(minimal, [f"model={{name: {name}}}", f"features={features}"])
    # What a printed configuration has.
    assert load_config(minimal, [f"model={{name: {name}}}", "features=kin"]).features == "kin"


def test_contrast_with_nothing_is_refused(minimal):
    overrides = ["objective.name=contrastive", "training.batch_size=1"]
    with pytest.raises(InputError, match="batch_size is 1, but objective contrastive"):
        load_config(minimal, overrides)
    overrides[1] = "training.batch_size=2"
    assert load_config(minimal, overrides).training.batch_size == 2


def test_networks_are_known_to_read_features_or_none():
    for name, entry in MODELS.items():
        options = entry.network.options_class()
        first, second = (
            entry.network(options, features, 2)
            for features in (("log_pt", "delta_eta", "delta_phi"), FEATURE_SETS["full"])
        )
        shapes = [[p.shape for p in network.parameters()] for network in (first, second)]
        assert entry.network.takes_features(options) == (shapes[0] != shapes[1]), name


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: the configuration cannot be read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="the configuration cannot be read"):
        load_config(tmp_path / "bytes.yaml")


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_every_shipped_configuration_of_a_run_loads_and_prints_what_loads_again(path, tmp_path):
    config = load_config(path)
    assert load_config(_write(tmp_path, dump_config(config))) == config


@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_its_recipe(name):
    assert load_config(CONFIGS / MODELS[name].recipe).model.name == name


def test_the_printed_configuration_has_every_key_and_keeps_the_order_of_classes(minimal):
    printed = dump_config(load_config(minimal, ["training.max_grad_norm=1e-7"]))
    content = yaml.safe_load(printed)
    assert list(content) == ["schema_version", *RunConfig.model_fields]
    assert list(content["data"]["classes"]) == ["top", "QCD"]
    assert content["training"]["max_grad_norm"] == 1e-7


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training.seed=1", "training.seed"),
        ("data.classes={QCD: label_QCD, top: [label_top, label_Tbqq]}", "data.classes"),
        ("data.classes={top: label_top, QCD: label_QCD}", "data.classes.top"),
        ("optimizer={name: adamw}", "optimizer.name"),
        ("init_from={path: runs/other}", "init_from"),
        ("features=full", "features"),
    ],
)
def test_the_first_key_in_which_two_configurations_differ_is_named(minimal, override, key):
    assert first_difference(load_config(minimal), load_config(minimal, [override])) == key


def test_patterns_in_another_order_are_another_run(minimal):
    one, other = (
        load_config(minimal, ["init_from={path: a, lr_multipliers: {" + patterns + "}}"])
        for patterns in ("head.*: 5, '*.bias': 2", "'*.bias': 2, head.*: 5")
    )
    assert first_difference(one, other) == "init_from.lr_multipliers"


def test_a_configuration_travels_to_another_process(minimal):
    config = load_config(minimal, ["training.epochs=3"])
    again = pickle.loads(pickle.dumps(config))
    assert isinstance(again, RunConfig)
    assert again == config


def test_equal_configurations_do_not_differ(minimal):
    assert first_difference(load_config(minimal), load_config(minimal)) is None


def test_the_schema_describes_every_field():
    schema = run_config_class().model_json_schema()
    assert schema["$defs"]["TrainingOptions"]["properties"]["batch_size"]["description"]
    options = [d for name, d in schema["$defs"].items() if name.endswith("Options")]
    undocumented = [
        (d["title"], name)
        for d in options
        for name, p in d["properties"].items()
        if "description" not in p and name != "name"
    ]
    assert len(options) > 8
    assert not [pair for pair in undocumented if pair[0] not in _OF_MODELS]


_OF_MODELS = {network.network.options_class.__name__ for network in MODELS.values()}
