"""What an evaluation leaves of its jets: logits, classes, weights and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped

from parttag.data.readers.hdf5 import open_hdf5, own_dataset
from parttag.errors import InputError
from parttag.evaluation.evaluation import Evaluation
from parttag.system.files import refuse_damaged


@dataclass(frozen=True, eq=False)
class ScoredJets:
    """The jets that an evaluation measured, in their order."""

    classes: tuple[str, ...]
    logits: Float[np.ndarray, "jets classes"]
    labels: Int64[np.ndarray, " jets"]
    jet_weights: Float64[np.ndarray, " jets"]
    jet_pt: Float[np.ndarray, " jets"]
    """In GeV."""
    jet_mass: Float[np.ndarray, " jets"]
    """In GeV."""
    rows: Int64[np.ndarray, " jets"]
    """Their numbers among all jets that were scored, from 0 on."""

    @classmethod
    def of_evaluation(cls, evaluation: Evaluation) -> ScoredJets:
        """Return the jets of an evaluation in memory."""
        rows = np.flatnonzero(evaluation.used)
        jets = evaluation.scores.take(rows)
        return cls(
            jets.classes,
            jets.logits,
            jets.labels,
            jets.jet_weights.astype(np.float64),
            jets.jet_pt,
            jets.jet_mass,
            rows,
        )

    def are_those_of(self, other: ScoredJets) -> bool:
        """Return whether the other's jets are these: of the same classes, pT and mass."""
        return self.classes == other.classes and all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.labels, other.labels),
                (self.jet_pt, other.jet_pt),
                (self.jet_mass, other.jet_mass),
                (self.jet_weights, other.jet_weights),
            )
        )


def read_scored_jets(path: Path, classes: Sequence[str]) -> ScoredJets:
    """Return the jets that an evaluation measured, of the file of scores that it wrote.

    Evaluations of older versions did not write weights, which are 1 then, and not which jets are
    inside of the cuts.

    Raises
    ------
    InputError
        If the file is missing or damaged, lacks a column, or one lies outside of the file.
    """
    with open_hdf5(path) as file:

        def known(name: str) -> Shaped[np.ndarray, " jets"] | None:
            dataset = own_dataset(file, name, path)
            if dataset is None:
                return None
            with refuse_damaged(path):
                values: np.ndarray = dataset[:]
            return values

        def needed(name: str) -> Shaped[np.ndarray, " jets"]:
            values = known(name)
            if values is None:
                raise InputError(f"{path} has no column {name}: evaluate the run again")
            return values

        logits = [needed(f"logit_{name}") for name in classes]
        labels, valid, pt, mass = map(needed, ("label", "valid", "jet_pt", "jet_mass"))
        weights, used = known("jet_weight"), known("used")
    with refuse_damaged(path):
        rows = (valid == 1) & (labels >= 0) if used is None else used == 1
        return ScoredJets(
            tuple(classes),
            np.stack(logits, axis=1)[rows],
            labels[rows].astype(np.int64),
            np.ones(int(rows.sum())) if weights is None else weights[rows].astype(np.float64),
            pt[rows],
            mass[rows],
            np.flatnonzero(rows),
        )
