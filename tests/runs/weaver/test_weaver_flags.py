"""The flags of weaver's command line that say optimizer and schedule.

Schedules and groups of parameters are restated from weaver-core 0.5.3 (``weaver/train.py``).
"""

import re

import pytest

from helpers.weaver_files import write_weaver_file
from parttag import convert_weaver
from parttag.errors import InputError
from parttag.runs.run import build_network
from parttag.training.optimizers import build_optimizer
from parttag.training.schedules import lr_multiplier
from parttag.training.transfer import learning_rate_multipliers

SMALL = ["num_layers", "1", "embed_dims", "[8]", "num_heads", "2", "pair_embed_dims", "[4]"]
SMALL_NET = ["conv_params", "[(2, (4, 4, 4))]", "fc_params", "[(8, 0.1)]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weaver")
    write_weaver_file(folder / "data.yaml")
    return folder / "data.yaml"


def converted(data, *flags, network="particle_transformer", options=SMALL):
    return convert_weaver(data, flags=flags, network=network, network_options=options)


def multipliers(config, num_steps, steps_per_epoch):
    return [
        lr_multiplier(config.schedule, step, num_steps, steps_per_epoch)
        for step in range(num_steps)
    ]


def missing(conversion):
    return [remark.what for remark in conversion.missing]


@pytest.mark.parametrize("name", ["flat+linear", "flat+cos"])
def test_flat_schedules_need_no_number_of_steps(data, name):
    conversion = converted(data, "--lr-scheduler", name, "--warmup-steps", "0.1")
    schedule = conversion.config.schedule
    assert (schedule.name, schedule.warmup, schedule.flat, schedule.floor) == (name, 0.1, 0.7, 1e-3)
    assert missing(conversion) == []
    plain = converted(data, "--lr-scheduler", name).config.schedule
    assert plain.warmup == 0.25  # of all steps, which is weaver's default


def test_of_one_cycle_only_the_momenta_are_missing(data):
    conversion = converted(data, "--lr-scheduler", "one-cycle")
    schedule = conversion.config.schedule
    # pct_start and div_factor as weaver gives them, final_div_factor as torch has it.
    assert (schedule.name, schedule.rise) == ("one_cycle+cos", 0.3)
    assert schedule.start == pytest.approx(1 / 25)
    assert schedule.final == pytest.approx(1 / 25 / 1e4)
    assert missing(conversion) == ["--lr-scheduler one-cycle"]


@pytest.mark.parametrize("epochs", [3, 4, 10, 20])
def test_steps_go_down_twice_and_no_more(data, epochs):
    flags = f"--lr-scheduler steps --num-epochs {epochs} --steps-per-epoch 5"
    config = converted(data, *flags.split()).config
    third = round(epochs / 3)  # MultiStepLR with milestones at one and two of these, factor 0.1
    expected = [
        0.1 ** ((step // 5 >= third) + (step // 5 >= 2 * third)) for step in range(5 * epochs)
    ]
    assert multipliers(config, 5 * epochs, 5) == pytest.approx(expected)


def test_options_of_the_optimizer(data):
    config = converted(data, "--optimizer", "adamW").config
    assert config.optimizer.betas == (0.95, 0.999)  # which weaver sets, unlike torch
    flags = ["--optimizer", "adamW", "-p", "betas", "(0.9, 0.98)", "-p", "clip_grad_norm", "1.5"]
    conversion = converted(data, *flags)
    assert conversion.config.optimizer.betas == (0.9, 0.98)
    assert conversion.config.training.max_grad_norm == 1.5
    assert missing(conversion) == []
    assert converted(data, "--optimizer", "ranger").config.optimizer.betas == (0.95, 0.999)
    assert converted(data, "--optimizer", "adam").config.optimizer.betas == (0.9, 0.999)


def rates(config):
    """Return the learning rate of each parameter by its name."""
    network, _ = build_network(config)
    found = learning_rate_multipliers(network, config.init_from, config.optimizer.lr_multipliers)
    optimizer = build_optimizer(network, config.optimizer, found)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(parameter)]: group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_rates_of_weavers_names_are_those_of_ours(data):
    """``re.match`` looks at the beginning of weaver's names alone."""
    flags = ["--lr-scheduler", "none", "--start-lr", "1e-4", "--optimizer-option", "lr_mult"]
    conversion = converted(data, *flags, '("fc.*", 50)')
    assert conversion.config.optimizer.lr_multipliers == {"head.*": 50}
    assert missing(conversion) == []
    for name, rate in rates(conversion.config).items():
        assert rate == pytest.approx(5e-3 if name.startswith("head.") else 1e-4)

    found = rates(
        converted(data, *flags, r'("mod.(cls_)?blocks\\.0\\.fc[12]\\.weight", 0.1)').config
    )
    slow = {name for name, rate in found.items() if rate < 5e-5}
    assert slow == {
        f"backbone.{blocks}.0.feedforward.{layer}.weight"
        for blocks in ("blocks", "class_blocks")
        for layer in ("hidden", "out")
    }
    # Nothing of the rest is called so.
    assert not any(re.match("fc", name) for name in found)


def test_rates_of_the_new_head_of_a_fine_tuned_particle_net(data):
    flags = ["--lr-scheduler", "none", "--optimizer-option", "lr_mult", '("fc_out.*", 50)']
    conversion = converted(data, *flags, network="particle_net", options=SMALL_NET)
    assert conversion.config.optimizer.lr_multipliers == {"head.*": 50}


def test_what_is_not_the_same_with_other_rates_is_said(data):
    flags = ["--optimizer-option", "lr_mult", '("fc.*", 50)']
    assert missing(converted(data, *flags)) == ["--optimizer-option lr_mult with flat+decay"]
    flags[-1] = '("nothing", 50)'
    conversion = converted(data, *flags)
    assert missing(conversion) == ["--optimizer-option lr_mult"]
    assert conversion.config.optimizer.lr_multipliers == {}
    flags[-1] = '("fc.*", 50)'
    assert missing(converted(data, *flags, network="pfn", options=[])) == [
        "--optimizer-option lr_mult"
    ]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ('"fc.*"', "give a pattern and a factor"),
        ('("fc.*", 0)', "0 is no factor above 0"),
        ('("fc.*", "x")', "is no factor above 0"),
        ('("fc(", 2)', "is no regular expression"),
        ("fc", "lr_mult fc: the value is none"),
    ],
)
def test_other_rates_that_are_none_are_refused(data, value, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        converted(data, "--optimizer-option", "lr_mult", value)
