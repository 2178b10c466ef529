import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parttag.training.schedules import (
    ConstantOptions,
    CosineOptions,
    ExponentialOptions,
    FlatDecayOptions,
    FlatTailOptions,
    InverseSqrtOptions,
    LinearOptions,
    OneCycleCosOptions,
    OneCycleOptions,
    RestartsOptions,
    StepOptions,
    lr_multiplier,
)


def _by_epoch(options, num_epochs, steps_per_epoch=10):
    num_steps = num_epochs * steps_per_epoch
    return [
        lr_multiplier(options, step, num_steps, steps_per_epoch)
        for step in range(0, num_steps, steps_per_epoch)
    ]


def test_flat_decay_over_20_epochs_has_the_multipliers_measured_in_weaver():
    decay = [0.4642, 0.2154, 0.1, 0.0464, 0.0215, 0.01]
    assert _by_epoch(FlatDecayOptions(), 20) == pytest.approx([1] * 14 + decay, abs=5e-5)


def test_flat_decay_over_50_epochs_lowers_the_rate_in_the_last_15():
    multipliers = _by_epoch(FlatDecayOptions(), 50)
    assert multipliers[:35] == [1] * 35
    assert multipliers[35:] == pytest.approx([0.01 ** (n / 15) for n in range(1, 16)])


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [1]), (2, [1, 0.01]), (3, [1, 1, 0.01]), (7, [1] * 5 + [0.1, 0.01])],
)
def test_flat_decay_of_few_epochs_decays_at_least_one_but_never_the_first(epochs, expected):
    assert _by_epoch(FlatDecayOptions(), epochs) == pytest.approx(expected)


@given(step=st.integers(0, 199))
def test_flat_decay_is_constant_within_an_epoch(step):
    options = FlatDecayOptions()
    first = step - step % 10
    assert lr_multiplier(options, step, 200, 10) == lr_multiplier(options, first, 200, 10)


def test_a_last_epoch_that_is_cut_short_counts_as_an_epoch():
    # 15 steps of 10 an epoch: the second epoch, of five steps, is the last.
    assert lr_multiplier(FlatDecayOptions(), 9, 15, 10) == 1
    assert lr_multiplier(FlatDecayOptions(), 10, 15, 10) == pytest.approx(0.01)


def test_linear_goes_from_one_straight_to_its_final_value_after_the_warm_up():
    options = LinearOptions(final=0.2, warmup_steps=10)
    multipliers = [lr_multiplier(options, step, 110, 1) for step in (4, 9, 10, 35, 60, 110)]
    assert multipliers == pytest.approx([0.5, 1, 1, 0.8, 0.6, 0.2])


def test_cosine_goes_from_one_through_the_middle_to_its_final_value():
    options = CosineOptions(final=0.2)
    assert lr_multiplier(options, 0, 100, 10) == 1
    assert lr_multiplier(options, 50, 100, 10) == pytest.approx(0.6)
    assert lr_multiplier(options, 25, 100, 10) == pytest.approx(0.6 + 0.4 * math.sqrt(0.5))
    assert lr_multiplier(options, 100, 100, 10) == pytest.approx(0.2)


def test_constant_is_one():
    assert _by_epoch(ConstantOptions(), 5) == [1] * 5


def test_steps_multiply_by_the_factor_down_to_the_floor():
    options = StepOptions(every=10, factor=0.7, floor=0.3)
    multipliers = [lr_multiplier(options, step, 100, 50) for step in (0, 9, 10, 19, 20, 30, 99)]
    assert multipliers == pytest.approx([1, 1, 0.7, 0.7, 0.49, 0.343, 0.3])


def test_the_inverse_square_root_is_the_original_transformers_rate_over_its_peak():
    width, warmup = 512, 4000
    peak = (width * warmup) ** -0.5
    assert peak == pytest.approx(6.99e-4, rel=1e-3)
    for step in (1, 40, 3999, 4000, 4001, 16_000, 100_000):
        published = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
        ours = lr_multiplier(InverseSqrtOptions(warmup_steps=warmup), step - 1, 100_000, 1000)
        assert peak * ours == pytest.approx(published)


def test_the_inverse_square_root_is_halved_in_four_times_the_steps():
    options = InverseSqrtOptions(warmup_steps=10)
    multipliers = [lr_multiplier(options, step, 1000, 100) for step in (0, 4, 9, 39, 159)]
    assert multipliers == pytest.approx([0.1, 0.5, 1, 0.5, 0.25])


@pytest.mark.parametrize("options_class", [FlatDecayOptions, CosineOptions, ConstantOptions])
def test_warm_up_rises_linearly_to_the_schedule(options_class):
    options = options_class(warmup_steps=4)
    rising = [lr_multiplier(options, step, 100, 50) for step in range(5)]
    assert rising == pytest.approx([0.25, 0.5, 0.75, 1, 1])


def test_the_cosine_begins_at_the_end_of_the_warm_up():
    options = CosineOptions(warmup_steps=20)
    assert lr_multiplier(options, 20, 100, 10) == 1
    assert lr_multiplier(options, 60, 100, 10) == pytest.approx(0.5)


def test_restarts_over_35_epochs_have_the_multipliers_that_lorentznet_was_trained_with():
    # The log of the published training, from the authors' repository, over 1e-3.
    published = [0.2, 0.4, 0.6, 0.8, 1, 0.85355, 0.5, 0.14645]
    published += [1, 0.96194, 0.85355, 0.69134, 0.5, 0.30866, 0.14645, 0.03806]
    published += [1, 0.99039, 0.96194, 0.91573, 0.85355, 0.77779, 0.69134, 0.59755, 0.5, 0.40245]
    published += [0.30866, 0.22221, 0.14645, 0.08427, 0.03806, 0.0096074]
    published += [0.0048037, 0.0024018, 0.0012009]
    assert _by_epoch(RestartsOptions(), 35) == pytest.approx(published, abs=5e-6)


def test_restarts_of_any_length_have_the_same_parts():
    options = RestartsOptions(warmup=1, cycles=(2,), halvings=1)
    multipliers = [lr_multiplier(options, step, 8, 3) for step in range(8)]
    assert multipliers == pytest.approx([0.5, 0.5, 1, 1, 0.5, 0.5, 0.25, 0.25])
    assert lr_multiplier(options, 8, 8, 3) == pytest.approx(0.25)


def test_one_cycle_is_three_straight_lines():
    # Of 20 steps 8 rise, the last of them to 1; 7 fall, and 5 go on to the end.
    options = OneCycleOptions(start=0.3, rise=0.4, final=0.05)
    multipliers = [lr_multiplier(options, step, 20, 3) for step in range(20)]
    rise = [0.3 + 0.1 * step for step in range(8)]
    cooling = [0.25, 0.2, 0.15, 0.1, 0.05]
    assert multipliers == pytest.approx([*rise, *rise[-2::-1], *cooling])


@pytest.mark.parametrize(("num_steps", "rise"), [(7, 0.3), (50, 0.4), (333, 0.17)])
def test_one_cycle_is_that_of_torch_in_three_phases(num_steps, rise):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=num_steps,
        pct_start=rise,
        anneal_strategy="linear",
        div_factor=10,
        final_div_factor=600,
        three_phase=True,
    )
    options = OneCycleOptions(start=0.1, rise=rise, final=0.1 / 600)
    for step in range(num_steps):
        rate = optimizer.param_groups[0]["lr"]
        assert lr_multiplier(options, step, num_steps, 10) == pytest.approx(rate)
        optimizer.step()
        if step < num_steps - 1:
            torchs.step()


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_one_cycle_of_few_steps_ends_where_it_should(num_steps):
    options = OneCycleOptions(final=0.01)
    multipliers = [lr_multiplier(options, step, num_steps, 1) for step in range(num_steps)]
    assert multipliers[-1] == 0.01
    assert all(0.01 <= multiplier <= 1 for multiplier in multipliers)


def test_an_exponential_falls_by_one_factor_a_step_and_would_reach_its_end_after_the_last():
    # As the authors' code of the Lorentz Group Network, batch by batch.
    final, num_steps = 1e-4, 300
    factor, multiplier = math.exp(math.log(final) / num_steps), 1.0
    for step in range(num_steps):
        found = lr_multiplier(ExponentialOptions(), step, num_steps, 7)
        assert found == pytest.approx(multiplier, rel=1e-9)
        multiplier *= factor
    assert multiplier == pytest.approx(final)


def test_an_exponential_falls_from_the_end_of_its_warm_up_on():
    options = ExponentialOptions(final=0.01, warmup_steps=4)
    found = [lr_multiplier(options, step, 8, 1) for step in range(8)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.01**0.25, 0.1, 0.01**0.75])


def weavers_factor(name, warmup, step, total):
    """Restate ``lr_fn`` of weaver-core 0.5.3's train.py for flat+linear and flat+cos."""
    warm = warmup * total if warmup < 1 else warmup
    last_flat = 0.7 * total - 1
    if step < warm:
        return step / warm
    if step <= last_flat:
        return 1.0
    x = (step - last_flat) / (total - last_flat)
    return max(1e-3, 1 - x if name == "flat+linear" else 0.5 + 0.5 * math.cos(math.pi * x))


@pytest.mark.parametrize("name", ["flat+linear", "flat+cos"])
@pytest.mark.parametrize("warmup", [0.25, 0.0, 7.0])
@pytest.mark.parametrize("total", [1, 10, 37, 1000])
def test_weavers_flat_schedules_are_weavers(name, warmup, total):
    options = FlatTailOptions(name=name, warmup=warmup)
    found = [lr_multiplier(options, step, total, 10) for step in range(total)]
    expected = [weavers_factor(name, warmup, step, total) for step in range(total)]
    assert found == pytest.approx(expected, abs=1e-12)
    if total == 1000:
        assert (found[0] == 0) == (warmup > 0)
        assert found[600] == 1 and found[-1] == pytest.approx(max(1e-3, found[-1]))
        assert found[-1] < 0.01


@pytest.mark.parametrize("total", [4, 20, 37, 1000])
def test_the_cycle_of_cosines_is_torchs(total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, cycle_momentum=False
    )
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < total:
            cycle.step()
    found = [lr_multiplier(OneCycleCosOptions(), step, total, 10) for step in range(total)]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[-1] == pytest.approx(4e-6)
