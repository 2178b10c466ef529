"""Centre and scale of targets, measured on the training jets, and what is wrong with the values."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from parttag.data.loading.dataset import JetDataset
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import make_batch
from parttag.jets.targets import TargetOptions
from parttag.jets.validity import jet_name
from parttag.jets.value_counts import ValueCounts
from parttag.runs.config import RunConfig
from parttag.runs.plugin_parts import read_config
from parttag.runs.standardization import CHUNK_JETS, measured_width, rounded

_HALF = 0.5


def with_earlier_targets(config: RunConfig, directory: Path | None) -> RunConfig:
    """Return a configuration with the centres and scales that its own run has measured.

    Parameters
    ----------
    directory
        Of the run, if it has been begun.

    Raises
    ------
    InputError
        If what is to be read cannot be.
    """
    targets = config.learned_targets
    if directory is None or all(target.is_measured for target in targets.values()):
        return config
    found = read_config(directory).targets
    known = {
        name: target.model_copy(
            update={
                key: getattr(found[name], key)
                for key in ("centre", "scale")
                if getattr(target, key) is None
            }
        )
        for name, target in targets.items()
        if name in found
    }
    return config.with_targets(known)


def measured_targets(
    config: RunConfig, data: Mapping[str, JetDataset], *, measure: bool
) -> tuple[RunConfig, list[str]]:
    """Return the configuration with the centres and scales of all targets, and what to say of them.

    All ranks look at all jets, without their particles, and come to the same.

    Parameters
    ----------
    data
        ``train``, and others whose values are looked at.
    measure
        Whether the training is new; else nothing is read.

    Raises
    ------
    InputError
        If a target has no value, always the same one, or one that its transform is not made for.
    """
    targets = config.learned_targets
    if not targets or not measure:
        return config, []
    counts = {name: ValueCounts() for name in targets}
    for part, jets in ((part, jets) for part, own in data.items() for jets in _chunks(own)):
        batch = make_batch(jets)
        for name, target in targets.items():
            values, reference = target.values(batch), target.reference(batch)
            wrong = torch.nonzero(target.is_outside(values, reference))
            if len(wrong):
                first = int(wrong[0])
                raise InputError(
                    f"targets.{name}: {jet_name(jets, first)} has {target.column} = "
                    f"{float(values[first]):g}, of which there is no {target.transform}; "
                    "choose transform: none, or write what is missing as NaN"
                )
            if part == "train":
                counts[name].add(target.transformed(values, reference).numpy())
    measured = {name: _with_scale(name, own, counts[name]) for name, own in targets.items()}
    lines = [_line(name, target, targets[name], counts[name]) for name, target in measured.items()]
    lines += [
        f"target {name} is no task of the objective: it is not learned"
        for name in config.targets
        if name not in targets
    ]
    return config.with_targets(measured), lines


def _chunks(data: JetDataset) -> Iterator[JetArrays]:
    for jets in data.without_particles():
        for start in range(0, len(jets), CHUNK_JETS):
            yield jets.span(start, min(start + CHUNK_JETS, len(jets)))


def _with_scale(name: str, target: TargetOptions, counts: ValueCounts) -> TargetOptions:
    if not len(counts):
        raise InputError(
            f"targets.{name}: {target.column} has no value for any of the {counts.num_missing:,} "
            "jets of data.train; name another column, or leave the task out"
        )
    if target.is_measured:
        return target
    if counts.low == counts.high:
        shown = f"{counts.low:g}" if math.isfinite(counts.low) else "the same"
        raise InputError(
            f"targets.{name}: {target.column} is {shown} for all jets of data.train once it is "
            "transformed, a width of 0 that tells nothing; name another column, or leave the task "
            "out"
        )
    centre, scale = rounded(counts.quantile(_HALF)), rounded(1 / measured_width(counts))
    return target.model_copy(
        update={
            "centre": centre if target.centre is None else target.centre,
            "scale": scale if target.scale is None else target.scale,
        }
    )


def _line(name: str, target: TargetOptions, given: TargetOptions, counts: ValueCounts) -> str:
    how = "as given" if given.is_measured else "measured"
    total = counts.num_missing + len(counts)
    missing = f"; {counts.num_missing:,} of {total:,} jets lack it" if counts.num_missing else ""
    return f"target {name}: centre {target.centre:g}, scale {target.scale:g} ({how}){missing}"
