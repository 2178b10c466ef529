"""How good the answers about particles are: the class of each, and the vertices that they make.

Particles of a jet stand or fall together: the error of a share a/n, summed over jets, is that of
the ratio of two sums, √Σ(aⱼ − nⱼ a/n)²/n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Integer

from parttag.metrics.estimate import UNKNOWN, Estimate
from parttag.metrics.regression import equal_bins

_MATCHED = 0.5
_FEWEST_IN_VERTEX = 2


@dataclass(frozen=True, eq=False)
class OriginReport:
    """How often the class of a particle is found."""

    classes: tuple[str, ...]
    num_particles: Mapping[str, int]
    """Of each true class."""
    accuracy: Estimate
    efficiency: Mapping[str, Estimate]
    """Share of the particles of a class that are given it."""
    purity: Mapping[str, Estimate]
    """Share of the particles that are given a class that are of it."""
    confusion: Float64[np.ndarray, "classes classes"]
    """Share of the particles of each true class (row) that are given each class (column); NaN in
    the row of a class without particles."""

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "kind": "origin",
            "classes": list(self.classes),
            "num_particles": dict(self.num_particles),
            "accuracy": self.accuracy.to_json(),
            "efficiency": {name: own.to_json() for name, own in self.efficiency.items()},
            "purity": {name: own.to_json() for name, own in self.purity.items()},
            "confusion": [
                [None if math.isnan(share) else share for share in row]
                for row in self.confusion.tolist()
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> OriginReport:
        """Return what ``to_json`` has written."""
        rows = content["confusion"]
        return cls(
            classes=tuple(map(str, content["classes"])),
            num_particles={str(n): int(number) for n, number in content["num_particles"].items()},
            accuracy=Estimate.from_json(content["accuracy"]),
            efficiency={str(n): Estimate.from_json(e) for n, e in content["efficiency"].items()},
            purity={str(n): Estimate.from_json(e) for n, e in content["purity"].items()},
            confusion=np.array(
                [[math.nan if share is None else float(share) for share in row] for row in rows]
            ),
        )

    def rows(self, name: str) -> list[tuple[str, Estimate]]:
        """Return the numbers of its table, by what they are."""
        shares = [(f"{name}: efficiency of {own}", e) for own, e in self.efficiency.items()]
        return [(f"{name}: accuracy", self.accuracy), *shares]


@dataclass(frozen=True, eq=False)
class VertexReport:
    """How many vertices are found, and how many of those that are found are true.

    A vertex has two particles or more. A true and a found one match if each has more than half of
    the particles of the other, of those whose vertex is known.
    """

    num_true: int
    num_found: int
    efficiency: Estimate
    """Share of the true vertices that a found one matches."""
    purity: Estimate
    """Share of the found vertices that match a true one."""
    pt_edges: tuple[float, ...]
    """Of bins of the jet's pT in GeV."""
    efficiency_by_pt: tuple[Estimate, ...]
    purity_by_pt: tuple[Estimate, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``metrics.json`` holds it."""
        return {
            "kind": "vertex",
            "num_true": self.num_true,
            "num_found": self.num_found,
            "efficiency": self.efficiency.to_json(),
            "purity": self.purity.to_json(),
            "by_pt": {
                "edges": list(self.pt_edges),
                "efficiency": [own.to_json() for own in self.efficiency_by_pt],
                "purity": [own.to_json() for own in self.purity_by_pt],
            },
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> VertexReport:
        """Return what ``to_json`` has written."""
        by_pt = content["by_pt"]
        return cls(
            num_true=int(content["num_true"]),
            num_found=int(content["num_found"]),
            efficiency=Estimate.from_json(content["efficiency"]),
            purity=Estimate.from_json(content["purity"]),
            pt_edges=tuple(map(float, by_pt["edges"])),
            efficiency_by_pt=tuple(map(Estimate.from_json, by_pt["efficiency"])),
            purity_by_pt=tuple(map(Estimate.from_json, by_pt["purity"])),
        )

    def rows(self, name: str) -> list[tuple[str, Estimate]]:
        """Return the numbers of its table, by what they are."""
        return [
            (f"{name}: efficiency of true vertices", self.efficiency),
            (f"{name}: purity of found vertices", self.purity),
        ]


def measure_origins(
    truth: Integer[np.ndarray, " particles"],
    found: Integer[np.ndarray, " particles"],
    jet: Int64[np.ndarray, " particles"],
    jet_weights: Float64[np.ndarray, " jets"],
    classes: Sequence[str],
) -> OriginReport:
    """Return how often the class of a particle is found.

    Parameters
    ----------
    truth, found
        The class of each particle; −1 where it is of none, or was not looked at: both are left out.
    jet
        The jet of each particle.
    """
    there = (truth >= 0) & (found >= 0)
    truth, found, jet = truth[there], found[there], jet[there]
    number = len(classes)
    weights = jet_weights[jet]
    table = np.zeros((number, number))
    np.add.at(table, (truth, found), weights)
    sums = table.sum(axis=1, keepdims=True)
    right = truth == found

    def share(among: np.ndarray) -> Estimate:
        return ratio_of_sums(right & among, among, jet, jet_weights)

    everything = np.ones(len(truth), dtype=bool)
    return OriginReport(
        classes=tuple(classes),
        num_particles={name: int((truth == n).sum()) for n, name in enumerate(classes)},
        accuracy=share(everything),
        efficiency={name: share(truth == n) for n, name in enumerate(classes)},
        purity={name: share(found == n) for n, name in enumerate(classes)},
        confusion=np.divide(table, sums, out=np.full_like(table, np.nan), where=sums > 0),
    )


def measure_vertices(
    truth: Integer[np.ndarray, " particles"],
    found: Integer[np.ndarray, " particles"],
    jet: Int64[np.ndarray, " particles"],
    jet_weights: Float64[np.ndarray, " jets"],
    jet_pt: Float64[np.ndarray, " jets"],
) -> VertexReport:
    """Return how many vertices are found, and how many of these are true.

    Parameters
    ----------
    truth, found
        The number of each particle's vertex within its jet; −1 where it is not known, or was not
        looked at: both are left out.
    jet
        The jet of each particle.
    """
    there = (truth >= 0) & (found >= 0)
    truth, found, jet = truth[there], found[there], jet[there]
    (true_jets, of_true), (found_jets, of_found) = (_numbered(own, jet) for own in (truth, found))
    sizes = [np.bincount(own, minlength=1) for own in (of_true, of_found)]
    both, shared = np.unique(np.stack([of_true, of_found]), axis=1, return_counts=True)
    first, second = sizes[0][both[0]], sizes[1][both[1]]
    matches = (
        (shared > _MATCHED * first)
        & (shared > _MATCHED * second)
        & (first >= _FEWEST_IN_VERTEX)
        & (second >= _FEWEST_IN_VERTEX)
    )
    edges = equal_bins(jet_pt[np.isfinite(jet_pt)])
    bin_of_jet = np.clip(np.searchsorted(edges, jet_pt, side="right") - 1, 0, len(edges) - 2)
    shares = []
    for side, owner in enumerate((true_jets, found_jets)):
        counted = sizes[side][: len(owner)] >= _FEWEST_IN_VERTEX
        matched = np.zeros(len(owner), dtype=bool)
        matched[both[side][matches]] = True
        chosen = [counted, *(counted & (bin_of_jet[owner] == n) for n in range(len(edges) - 1))]
        all_jets = [ratio_of_sums(matched & own, own, owner, jet_weights) for own in chosen]
        shares.append((int(counted.sum()), all_jets[0], tuple(all_jets[1:])))
    (num_true, efficiency, efficiencies), (num_found, purity, purities) = shares
    return VertexReport(num_true, num_found, efficiency, purity, edges, efficiencies, purities)


def _numbered(
    vertex: Integer[np.ndarray, " particles"], jet: Int64[np.ndarray, " particles"]
) -> tuple[Int64[np.ndarray, " vertices"], Int64[np.ndarray, " particles"]]:
    """Return the jet of each vertex of all jets, and the number of each particle's among them."""
    pairs, number = np.unique(np.stack([jet, vertex.astype(np.int64)]), axis=1, return_inverse=True)
    return pairs[0], number.reshape(-1)


def ratio_of_sums(
    chosen: np.ndarray,
    among: np.ndarray,
    jet: Int64[np.ndarray, " things"],
    jet_weights: Float64[np.ndarray, " jets"],
) -> Estimate:
    """Return which share of things is chosen, with the error that jets of several make.

    Parameters
    ----------
    chosen, among
        Whether each is chosen, and whether it counts.
    jet
        The jet of each.
    """
    number = len(jet_weights)
    own, all_own = (np.bincount(jet[rows], minlength=number) for rows in (chosen, among))
    total = float((jet_weights * all_own).sum())
    if total <= 0:
        return UNKNOWN
    share = float((jet_weights * own).sum()) / total
    error = math.sqrt(float(((jet_weights * (own - share * all_own)) ** 2).sum())) / total
    return Estimate(share, error, scale="share")
