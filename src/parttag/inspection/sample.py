"""A bounded random choice of the jets of any number of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from parttag.jets.arrays import JetArrays
from parttag.jets.variables import JET_VARIABLES

# Jets kept for distributions, a random choice if there are more: quantiles to better than 0.2 %.
SAMPLE_JETS = 200_000


@dataclass(frozen=True, eq=False)
class JetSample:
    """A random choice of the good jets: their ``JET_VARIABLES``, labels and weights."""

    variables: Float64[np.ndarray, "jets variables"]
    labels: tuple[str, ...]
    """Names that ``label_numbers`` counts."""
    label_numbers: Int64[np.ndarray, " jets"]
    jet_weights: Float64[np.ndarray, " jets"]

    def __len__(self) -> int:
        return len(self.label_numbers)

    @property
    def present(self) -> tuple[str, ...]:
        """The labels that some jet carries."""
        return tuple(label for label in self.labels if self.carrying(label).any())

    def carrying(self, label: str) -> Bool[np.ndarray, " jets"]:
        """Return which jets carry this label and no other."""
        carried: Bool[np.ndarray, " jets"] = self.label_numbers == self.labels.index(label)
        return carried

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> JetSample:
        """Return the jets at these rows."""
        return replace(
            self,
            variables=self.variables[rows],
            label_numbers=self.label_numbers[rows],
            jet_weights=self.jet_weights[rows],
        )


class Reservoir:
    """A random choice of at most ``most`` of all jets that are added.

    Every jet draws a number, and those with the lowest ones stay: each jet is as likely as any
    other, however many follow.
    """

    def __init__(self, most: int = SAMPLE_JETS) -> None:
        self._most = most
        self._rng = np.random.default_rng(0)
        self._numbers: dict[str, int] = {}
        # Rows of the drawn number, the label's number, the weight, and the variables.
        self._rows = np.zeros((0, 3 + len(JET_VARIABLES)))
        self._waiting: list[Float64[np.ndarray, "jets columns"]] = []
        self._bound = 1.0

    def add(
        self,
        variables: Float64[np.ndarray, "jets variables"],
        labels: Sequence[str],
        jets: JetArrays,
    ) -> None:
        """Add good jets, of which some may stay."""
        for name in (*jets.label_names, *labels):  # in the order of the file
            self._numbers.setdefault(name, len(self._numbers))
        numbers = [self._numbers[name] for name in labels]
        drawn = self._rng.random(len(numbers))
        rows = np.column_stack([drawn, numbers, jets.jet_weights, variables])
        self._waiting.append(rows[drawn < self._bound])
        if sum(len(rows) for rows in self._waiting) > self._most:
            self._choose()

    def _choose(self) -> None:
        rows = np.concatenate([self._rows, *self._waiting])
        self._waiting = []
        if len(rows) > self._most:
            chosen = np.argpartition(rows[:, 0], self._most)[: self._most]
            rows = rows[np.sort(chosen)]
            self._bound = rows[:, 0].max()
        self._rows = rows

    def sample(self) -> JetSample:
        """Return the jets that were chosen so far."""
        self._choose()
        return JetSample(
            variables=self._rows[:, 3:],
            labels=tuple(self._numbers),
            label_numbers=self._rows[:, 1].astype(np.int64),
            jet_weights=self._rows[:, 2],
        )
