"""How much worse a network is without a feature: with its values exchanged among particles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from parttag.evaluation.attributions import (
    MOMENTA,
    GivenInputs,
    cross_entropies,
    logits_of,
)
from parttag.jets.batch import JetBatch
from parttag.jets.columns import row_bytes
from parttag.jets.jet_features import given_jet_name
from parttag.jets.kinds import KindName
from parttag.metrics.calibration import softmax
from parttag.metrics.estimate import UNKNOWN, Estimate
from parttag.models import Tagger
from parttag.progress import Progress, no_progress


@dataclass(frozen=True)
class Importance:
    """What becomes worse once the values of an input are exchanged at random."""

    loss_rise: Estimate = UNKNOWN
    """Of the mean cross-entropy; not known without jets of a class."""
    accuracy_fall: Estimate = UNKNOWN
    score_change: Estimate = UNKNOWN
    """Of all scores: half of the sum of their differences, averaged over the jets."""

    @property
    def rank(self) -> float:
        """What inputs are put in order by."""
        known = self.loss_rise.value
        return self.score_change.value if np.isnan(known) else known

    def to_json(self) -> dict[str, Any]:
        """Return it as ``explanation.json`` holds it."""
        return {
            "loss_rise": self.loss_rise.to_json(),
            "accuracy_fall": self.accuracy_fall.to_json(),
            "score_change": self.score_change.to_json(),
        }


@dataclass(frozen=True)
class Importances:
    """Importance by feature, kind of particles, feature of the jet, and of the four-momenta."""

    features: dict[str, Importance]
    kinds: dict[str, Importance]
    jet_features: dict[str, Importance]
    momenta: Importance | None
    """Of what a network computes of four-momenta besides features; ``None`` if it does not."""


def permutation_importance(
    model: Tagger,
    batch: JetBatch,
    *,
    needs_momenta: bool,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Importances:
    """Exchange the values of one input after another, and measure what that costs.

    A feature is exchanged among all particles of the jets that have it; of a kind, all features
    together; the four-momenta among all particles, while features stay; a feature of the jet among
    the jets.

    Parameters
    ----------
    model
        In evaluation mode.
    batch
        The jets, on the CPU, with their classes as labels.
    needs_momenta
        Whether the network reads four-momenta besides features.
    seed
        Of the exchanges.
    """
    given = GivenInputs.of(model, batch)
    generator = np.random.default_rng(seed)
    changed = list(_changed(given, model, needs_momenta, generator))
    before = logits_of(model, given.batch)
    labels, weights = batch.labels.numpy(), batch.jet_weights.numpy().astype(np.float64)
    found: dict[str, dict[str, Importance]] = {"feature": {}, "kind": {}, "jet": {}, "momenta": {}}
    for (group, name), jets in progress(changed, total=len(changed), description="exchanging"):
        after = logits_of(model, jets)
        found[group][name] = _importance(before, after, labels, weights)
    return Importances(found["feature"], found["kind"], found["jet"], found["momenta"].get(MOMENTA))


def _changed(
    given: GivenInputs, model: Tagger, needs_momenta: bool, generator: np.random.Generator
) -> Iterator[tuple[tuple[str, str], JetBatch]]:
    """Yield what is exchanged, and the jets after that."""
    by_kind: dict[str, list[int]] = {}
    for place, name in enumerate(given.names):
        yield ("feature", name), _exchanged(given, [place], generator)
        if isinstance(name, KindName):
            by_kind.setdefault(name.kind, []).append(place)
    for kind, own in by_kind.items():
        yield ("kind", kind), _exchanged(given, own, generator)
    if needs_momenta or not given.names:
        order = _order(np.ones(len(given.batch.p4), dtype=bool), generator)
        yield ("momenta", MOMENTA), replace(given.batch, p4=given.batch.p4[order])
    for name in model.jet_feature_names:
        yield ("jet", name), _jets_exchanged(given.batch, name, generator)


def _exchanged(given: GivenInputs, places: list[int], generator: np.random.Generator) -> JetBatch:
    """Return the jets with some features, of the same particles, exchanged among these."""
    order = _order(given.has[:, places[0]].numpy(), generator)
    table = given.table.clone()
    columns = [given.columns[place] for place in places]
    table[:, columns] = given.table[order][:, columns]
    return given.with_table(table)


def _order(
    chosen: Bool[np.ndarray, " particles"], generator: np.random.Generator
) -> Int64[Tensor, " particles"]:
    """Return an order of all particles in which only the chosen ones have changed places."""
    rows = np.flatnonzero(chosen)
    order = np.arange(len(chosen))
    order[rows] = generator.permutation(rows)
    return torch.from_numpy(order)


def _jets_exchanged(batch: JetBatch, name: str, generator: np.random.Generator) -> JetBatch:
    names = [own for own, _ in batch.jet_column_types]
    at = names.index(given_jet_name(name))
    start, stop = (row_bytes(batch.jet_column_types[:end]) for end in (at, at + 1))
    columns = batch.jet_columns.clone()
    order = torch.from_numpy(generator.permutation(len(batch)))
    columns[:, start:stop] = batch.jet_columns[order, start:stop]
    return replace(batch, jet_columns=columns)


def _importance(
    before: Float[np.ndarray, "jets classes"],
    after: Float[np.ndarray, "jets classes"],
    labels: Int64[np.ndarray, " jets"],
    weights: Float[np.ndarray, " jets"],
) -> Importance:
    change = np.abs(softmax(after) - softmax(before)).sum(axis=1) / 2
    moved = _mean(change, weights)
    known = labels >= 0
    if not known.any():
        return Importance(score_change=moved)
    rise = cross_entropies(after, labels) - cross_entropies(before, labels)
    right = [(x.argmax(axis=1) == labels).astype(float) for x in (before, after)]
    return Importance(
        _mean(rise[known], weights[known]),
        _mean((right[0] - right[1])[known], weights[known]),
        moved,
    )


def _mean(values: Float[np.ndarray, " jets"], weights: Float[np.ndarray, " jets"]) -> Estimate:
    """Return the mean over the jets, and its error by how much they differ."""
    total = weights.sum()
    if not total > 0 or not len(values):
        return UNKNOWN
    mean = float((weights * values).sum() / total)
    error = float(np.sqrt((weights**2 * (values - mean) ** 2).sum()) / total)
    return Estimate(mean, error)
