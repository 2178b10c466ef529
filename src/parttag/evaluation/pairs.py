"""Two taggers on the same jets: by how much they differ, and about which jets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from parttag.errors import InputError
from parttag.evaluation.scored_jets import ScoredJets
from parttag.metrics import DEFAULTS, Estimate, EvaluationOptions
from parttag.metrics.paired import (
    Disagreement,
    Quantity,
    correlations,
    disagreements,
    influences,
)

_BINS = 4


@dataclass(frozen=True)
class Difference:
    """A number of a tagger less that of the reference, with the paired error."""

    quantity: Quantity
    """``"accuracy"``, ``"auc"``, or signal class and efficiency: then ln R, so that it is the
    logarithm of the ratio of the rejections."""
    difference: Estimate
    in_quadrature: float
    """The error if the two were measured on other jets each: for comparison only."""

    @property
    def sigmas(self) -> float:
        """The difference in standard deviations of its error; 0 for taggers that do the same."""
        value, error = self.difference.value, self.difference.error
        if error > 0:
            return value / error
        return 0.0 if value == 0 else math.nan

    @property
    def name(self) -> str:
        """What differs, for texts."""
        if isinstance(self.quantity, str):
            return {"auc": "AUC"}.get(self.quantity, self.quantity)
        signal, eps_s = self.quantity
        return f"{signal}: ln R at ε_S = {eps_s:.4g}"

    def text(self) -> str:
        """Return the difference with its error, and the number of standard deviations."""
        if math.isnan(self.difference.value):
            return "–"
        style = "+.4f" if isinstance(self.quantity, str) else "+.2f"
        error = f"{self.difference.error:{style[1:]}}"
        return f"{self.difference.value:{style}} ± {error} ({self.sigmas:+.1f} σ)"


@dataclass(frozen=True)
class Pair:
    """A tagger beside a reference, both measured on the same jets."""

    name: str
    reference: str
    num_jets: int
    differences: tuple[Difference, ...]
    correlation: Mapping[str, float]
    """Rank correlation of the scores within each class."""
    disagreements: tuple[Disagreement, ...]
    """By class, pT and mass."""

    def sentences(self) -> list[str]:
        """Return what the table of differences does not say."""
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.correlation.items())
        found = [f"{self.name} and {self.reference}: rank correlation of the scores: {shown}"]
        return found + [
            f"{part.of}: other classes for {part.share:.1%} of {part.num_jets:,} jets; "
            f"{self.name} alone is right for {part.first_right:.1%}, {self.reference} alone for "
            f"{part.second_right:.1%}"
            for part in self.disagreements
            if part.num_jets
        ]


def pair(
    name: str,
    jets: ScoredJets,
    reference_name: str,
    reference: ScoredJets,
    options: EvaluationOptions = DEFAULTS,
) -> Pair:
    """Return a tagger beside a reference.

    Raises
    ------
    InputError
        If they were measured on other jets, or have other classes.
    """
    refuse_other_jets(name, jets, reference_name, reference)
    ours, theirs = (
        influences(of.logits, of.labels, of.classes, of.jet_weights, options)
        for of in (jets, reference)
    )
    differences = []
    for quantity in ours:
        mine, other = ours[quantity], theirs[quantity]
        if not isinstance(quantity, str):
            mine, other = mine.as_log_rejection(), other.as_log_rejection()
        found = mine.minus(other)
        differences.append(Difference(quantity, found, math.hypot(mine.error, other.error)))
    return Pair(
        name,
        reference_name,
        len(jets.labels),
        tuple(differences),
        correlations(jets.logits, reference.logits, jets.labels, jets.classes, options),
        tuple(
            disagreements(
                jets.logits, reference.logits, jets.labels, jets.jet_weights, _parts(jets)
            )
        ),
    )


def refuse_other_jets(
    name: str, jets: ScoredJets, reference_name: str, reference: ScoredJets
) -> None:
    """Refuse taggers that were not measured on the same jets, in the same order.

    Raises
    ------
    InputError
        If they were not.
    """
    if jets.classes != reference.classes:
        raise InputError(
            f"{name} has the classes {', '.join(jets.classes)}, {reference_name} "
            f"{', '.join(reference.classes)}; only taggers of the same classes can be compared"
        )
    if not jets.are_those_of(reference):
        raise InputError(
            f"{name} and {reference_name} were measured on other jets; name the files to measure "
            "both on"
        )


def _parts(jets: ScoredJets) -> dict[str, Bool[np.ndarray, " jets"]]:
    """Return which jets are of each class, and in each of four bins of pT and mass."""
    parts = {name: jets.labels == number for number, name in enumerate(jets.classes)}
    for what, values in (("pT", jets.jet_pt), ("mass", jets.jet_mass)):
        edges = _edges(values)
        for low, high in pairwise(edges):
            last = high == edges[-1]
            inside = (values >= low) & ((values <= high) if last else (values < high))
            parts[f"{what} {low:.0f} to {high:.0f} GeV"] = inside
    return parts


def _edges(values: Float[np.ndarray, " jets"]) -> list[float]:
    """Return edges of bins of equally many jets."""
    if len(values) == 0:
        return []
    quantiles = np.quantile(values.astype(np.float64), np.linspace(0, 1, _BINS + 1))
    return [float(edge) for edge in np.unique(quantiles)]
