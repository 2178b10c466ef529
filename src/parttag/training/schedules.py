"""Schedules: by what the learning rate is multiplied, as a pure function of the step.

A schedule has no state: where a training stands says all.
"""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from parttag.options import Options

Fraction = Annotated[float, Field(ge=0, le=1)]


class FlatDecayOptions(Options):
    """Constant, then falling by the same factor at the start of each of the last epochs.

    This is weaver's ``flat+decay``: of n epochs, the last max(1, int(``decay_fraction``·n)) decay,
    and the very last runs at ``final`` times the learning rate. With 20 epochs the multipliers are
    14 times 1, then 0.4642, 0.2154, 0.1, 0.0464, 0.0215, 0.01. The first epoch never decays: with a
    single one, weaver would run all of it at 0.01.
    """

    name: Literal["flat+decay"] = "flat+decay"
    decay_fraction: Fraction = 0.3
    """Fraction of the epochs that decay."""
    final: float = Field(default=0.01, gt=0, le=1)
    """Multiplier in the last epoch."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from zero."""


class CosineOptions(Options):
    """From 1 to ``final`` along half a cosine, at every step."""

    name: Literal["cosine"] = "cosine"
    final: Fraction = 0.0
    """Multiplier at the end."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from zero; the cosine begins there."""


class LinearOptions(Options):
    """From 1 to ``final`` along a line, at every step."""

    name: Literal["linear"] = "linear"
    final: Fraction = 0.0
    """Multiplier at the end."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from zero; the line begins there."""


class ExponentialOptions(Options):
    """From 1 towards ``final``, by the same factor at every step.

    Of n steps, step s (counted from 0) is multiplied by ``final`` to the power of s/n: what trained
    the published Lorentz Group Networks (arXiv:2006.04780).
    """

    name: Literal["exponential"] = "exponential"
    final: float = Field(default=1e-4, gt=0, le=1)
    """Multiplier of the step after the last."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from zero; the fall begins there."""


class ConstantOptions(Options):
    """Always 1, after the warm-up."""

    name: Literal["constant"] = "constant"
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from zero."""


class InverseSqrtOptions(Options):
    """Rising over ``warmup_steps`` steps to 1, then falling with the root of the step.

    The multiplier of step n, counted from 1, is min(n/w, √(w/n)) with w warm-up steps: the original
    Transformer's schedule (arXiv:1706.03762, eq. 3) in units of its peak, which for a network of
    width d is (d·w)^−0.5, 6.99e-4 with d = 512 and w = 4000.
    """

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: PositiveInt = 4000
    """Steps over which the learning rate rises linearly from zero."""


class StepOptions(Options):
    """Multiplied by ``factor`` after every so many steps, and never less than ``floor``."""

    name: Literal["step"] = "step"
    every: PositiveInt
    """Steps between two changes."""
    factor: float = Field(default=0.7, gt=0, le=1)
    """By what a change multiplies the rate."""
    floor: Fraction = 0.0
    """Smallest multiplier."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from zero."""


class RestartsOptions(Options):
    """A rise in steps, cosines of growing length from 1 towards 0, and a tail of halvings.

    The training is divided into as many equal parts as these numbers add up to, and the rate is
    constant within a part. With the defaults they are 35: in 35 epochs each part is one, and the
    multipliers are LorentzNet's (arXiv:2201.08187).
    """

    name: Literal["cosine+restarts"] = "cosine+restarts"
    warmup: NonNegativeInt = 4
    """Parts before the rate is whole; the first has 1/(warmup + 1) of it."""
    cycles: tuple[PositiveInt, ...] = Field(default=(4, 8, 16), min_length=1)
    """Parts of each cosine; the one after the last would be at 0."""
    halvings: NonNegativeInt = 3
    """Parts at the end, each at half the rate of the one before."""


class OneCycleOptions(Options):
    """From ``start`` up to 1, down to ``start`` again, and on to ``final``: three straight lines.

    This is ParticleNet's (arXiv:1902.08570): of 20 epochs, 8 up, 8 down and 4 of cooling; that the
    last line is straight too is our choice. The lines end where those of torch's ``OneCycleLR`` in
    three phases do: the highest rate is that of the rise's last step, ``final`` that of the last.
    """

    name: Literal["one_cycle"] = "one_cycle"
    start: float = Field(default=0.1, gt=0, le=1)
    """Multiplier at both ends of the cycle."""
    rise: float = Field(default=0.4, gt=0, lt=0.5)
    """Fraction of the training in which the rate rises; it falls in as many steps, less one."""
    final: Fraction = 0.0
    """Multiplier at the end."""


class FlatTailOptions(Options):
    """Rising from zero, constant, then a tail along a line or half a cosine: weaver's.

    Of T steps, step s (counted from 0) has s/w in the warm-up of w steps, then 1 up to step
    f = ``flat``·T − 1, then 1 − p or (1 + cos πp)/2 with p = (s − f)/(T − f), but never less than
    ``floor``. The very first step has the rate 0.
    """

    name: Literal["flat+linear", "flat+cos"] = "flat+linear"
    flat: Fraction = 0.7
    """Share of the training, warm-up included, before the tail."""
    floor: Fraction = 0.001
    """Smallest multiplier in the tail."""
    warmup: float = Field(default=0.25, ge=0)
    """Steps over which the learning rate rises, or their share of all steps if less than 1."""


class OneCycleCosOptions(Options):
    """From ``start`` up to 1 and on to ``final``, along half a cosine each: torch's ``OneCycleLR``.

    The defaults are weaver's: a rise in 30 % of the steps from 1/25, then a fall to 1/250,000. Its
    momenta, which torch cycles too, stay as the optimizer has them.
    """

    name: Literal["one_cycle+cos"] = "one_cycle+cos"
    start: float = Field(default=0.04, gt=0, le=1)
    """Multiplier of the first step."""
    rise: float = Field(default=0.3, gt=0, lt=1)
    """Fraction of the training in which the rate rises."""
    final: Fraction = 4e-6
    """Multiplier of the last step."""


ScheduleOptions = Annotated[
    FlatDecayOptions
    | FlatTailOptions
    | OneCycleCosOptions
    | CosineOptions
    | LinearOptions
    | ExponentialOptions
    | InverseSqrtOptions
    | StepOptions
    | RestartsOptions
    | OneCycleOptions
    | ConstantOptions,
    Field(discriminator="name"),
]
"""The options of any schedule, told apart by ``name``."""


def lr_multiplier(
    options: ScheduleOptions, step: int, num_steps: int, steps_per_epoch: int
) -> float:
    """Return the multiplier of the learning rate in a step.

    Parameters
    ----------
    options
        Which schedule.
    step
        Number of steps done before this one.
    num_steps
        Length of the whole training.
    steps_per_epoch
        Length of an epoch; the last epoch may be shorter.
    """
    if options.name == "cosine+restarts":
        multipliers = _restarts(options)
        return multipliers[min(step, num_steps - 1) * len(multipliers) // num_steps]
    if options.name == "one_cycle":
        return _one_cycle(options, step, num_steps)
    if options.name == "one_cycle+cos":
        return _one_cycle_cos(options, step, num_steps)
    if options.name == "flat+linear" or options.name == "flat+cos":
        return _flat_tail(options, step, num_steps)
    risen = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    return risen * _after_warmup(options, step, num_steps, steps_per_epoch)


def _after_warmup(
    options: FlatDecayOptions
    | CosineOptions
    | LinearOptions
    | ExponentialOptions
    | InverseSqrtOptions
    | StepOptions
    | ConstantOptions,
    step: int,
    num_steps: int,
    steps_per_epoch: int,
) -> float:
    if options.name == "flat+decay":
        num_epochs = math.ceil(num_steps / steps_per_epoch)
        return _flat_decay(options, step // steps_per_epoch, num_epochs)
    if options.name in ("cosine", "linear", "exponential"):
        steps = max(num_steps - options.warmup_steps, 1)
        passed = max(step - options.warmup_steps, 0) / steps
        if options.name == "exponential":
            return math.pow(options.final, passed)
        left = 1 - passed if options.name == "linear" else (1 + math.cos(math.pi * passed)) / 2
        return options.final + (1 - options.final) * left
    if options.name == "inverse_sqrt":
        return math.sqrt(options.warmup_steps / max(step + 1, options.warmup_steps))
    if options.name == "step":
        return max(math.pow(options.factor, step // options.every), options.floor)
    return 1.0


def _flat_decay(options: FlatDecayOptions, epoch: int, num_epochs: int) -> float:
    num_decay = min(max(1, int(options.decay_fraction * num_epochs)), num_epochs - 1)
    decayed = epoch + 1 - (num_epochs - num_decay)
    return 1.0 if decayed <= 0 else math.pow(options.final, decayed / num_decay)


def _restarts(options: RestartsOptions) -> list[float]:
    """Return the multiplier of each part of the training."""
    multipliers = [(part + 1) / (options.warmup + 1) for part in range(options.warmup)]
    for length in options.cycles:
        multipliers += [(1 + math.cos(math.pi * part / length)) / 2 for part in range(length)]
    last = multipliers[-1]
    return multipliers + [last * 0.5 ** (part + 1) for part in range(options.halvings)]


def _one_cycle(options: OneCycleOptions, step: int, num_steps: int) -> float:
    peak = max(options.rise * num_steps - 1, 0)
    corners = [0, peak, 2 * peak, num_steps - 1]
    return float(np.interp(step, corners, [options.start, 1, options.start, options.final]))


def _one_cycle_cos(options: OneCycleCosOptions, step: int, num_steps: int) -> float:
    peak, last = options.rise * num_steps - 1, num_steps - 1
    if step <= peak:
        return _half_cosine(options.start, 1.0, step / peak if peak > 0 else 1.0)
    return _half_cosine(1.0, options.final, (step - peak) / (last - peak))


def _half_cosine(begin: float, end: float, passed: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * passed)) / 2


def _flat_tail(options: FlatTailOptions, step: int, num_steps: int) -> float:
    warmup = options.warmup * num_steps if options.warmup < 1 else options.warmup
    if step < warmup:
        return step / warmup
    flat = options.flat * num_steps - 1
    if step <= flat:
        return 1.0
    passed = (step - flat) / (num_steps - flat)
    left = 1 - passed if options.name == "flat+linear" else _half_cosine(1.0, 0.0, passed)
    return max(options.floor, left)
