"""Rows of a table beside its reference row: by how much they differ on the same test jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from parttag.benchmarks.options import BenchmarkOptions
from parttag.benchmarks.results import RowResult, SeedResult
from parttag.errors import InputError
from parttag.evaluation.pairs import Difference, difference, refuse_other_jets
from parttag.evaluation.scored_jets import ScoredJets, read_scored_jets
from parttag.metrics.paired import Influences, Quantity, influences, mean_influences

_USUAL = "ParticleNet"


@dataclass(frozen=True, eq=False)
class _Measured:
    """A row's numbers, means over its trainings, on some jets."""

    name: str
    jets: ScoredJets
    """Of the first training."""
    means: Mapping[Quantity, Influences]
    variances: Mapping[Quantity, float]
    """Of the means, of the trainings alone: s²/n, 0 where there is one."""


def reference_row(options: BenchmarkOptions) -> str | None:
    """Return the row that the others are compared with; ``None`` if there is none."""
    usual = _USUAL if _USUAL in options.rows else None
    return usual if options.reference is None else options.reference


def compare_rows(results: Sequence[RowResult], reference: str | None) -> list[RowResult]:
    """Return the rows with their differences from the reference row of as many labels.

    Parameters
    ----------
    reference
        Its name. Rows without results are returned as they are; one whose scores cannot be
        compared has a note that says why.
    """
    found = {result.labels: result for result in results if result.name == reference}
    known: dict[int | None, _Measured | str] = {
        labels: _measured_or_why(result) for labels, result in found.items() if result.seeds
    }
    return [_compared(result, known.get(result.labels)) for result in results]


def _compared(result: RowResult, reference: _Measured | str | None) -> RowResult:
    if reference is None or not result.seeds:
        return result
    if isinstance(reference, str):
        return replace(result, notes=[*result.notes, f"not compared: {reference}"])
    if result.name == reference.name:
        return result
    try:
        ours = _measure(result)
        refuse_other_jets(ours.name, ours.jets, reference.name, reference.jets)
    except InputError as error:
        why = f"not compared with {reference.name}: {error}"
        return replace(result, notes=[*result.notes, why])
    shared = [quantity for quantity in ours.means if quantity in reference.means]
    differences = tuple(_difference(quantity, ours, reference) for quantity in shared)
    return replace(result, differences=differences, reference=reference.name)


def _measured_or_why(result: RowResult) -> _Measured | str:
    try:
        return _measure(result)
    except InputError as error:
        return str(error)


def _measure(result: RowResult) -> _Measured:
    """Return a row's numbers.

    Raises
    ------
    InputError
        If scores cannot be read, or its trainings were measured on different jets.
    """
    first: ScoredJets | None = None
    seeds: list[dict[Quantity, Influences]] = []
    for seed in result.seeds.values():
        jets = read_scored_jets(seed.scores, seed.classes)
        first = first or jets
        refuse_other_jets(seed.job.name, jets, result.row.title, first)
        seeds.append(_influences(seed, jets))
    assert first is not None
    by_quantity = {quantity: [seed[quantity] for seed in seeds] for quantity in seeds[0]}
    means = {quantity: mean_influences(own) for quantity, own in by_quantity.items()}
    variances = {
        quantity: float(np.var([one.value for one in own], ddof=1)) / len(own)
        if len(own) > 1
        else 0.0
        for quantity, own in by_quantity.items()
    }
    return _Measured(result.name, first, means, variances)


def _influences(seed: SeedResult, jets: ScoredJets) -> dict[Quantity, Influences]:
    assert seed.job.config is not None
    options = seed.job.config.evaluation
    return influences(jets.logits, jets.labels, jets.classes, jets.jet_weights, options)


def _difference(quantity: Quantity, ours: _Measured, theirs: _Measured) -> Difference:
    """Return the difference of two means; its error has both trainings' spreads."""
    variance = 0.0
    for measured in (ours, theirs):
        value = measured.means[quantity].value
        # Of ln ε it is that of ε over ε².
        scale = 1.0 if isinstance(quantity, str) or not value > 0 else value
        variance += measured.variances[quantity] / scale**2
    return difference(quantity, ours.means[quantity], theirs.means[quantity], variance)
