"""The particles of padded jets in a graph, as networks take them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from parttag.export.graph import Graph, Value


@dataclass(frozen=True)
class Particles:
    """What a network reads; values that it does not read are missing."""

    mask: Value
    """(jets, 1, slots): 1 = real."""
    features: Value | None = None
    """(jets, variables, slots), standardized."""
    vectors: Value | None = None
    """(jets, 4, slots): px, py, pz, E in GeV."""
    points: Value | None = None
    """(jets, 2, slots): Δη and Δφ."""

    @property
    def graph(self) -> Graph:
        """Where they are."""
        return self.mask.graph

    @cached_property
    def real(self) -> Value:
        """(jets, slots, 1): 1 = real, in the type of the weights."""
        return self.mask.transpose(0, 2, 1).cast(self.graph.dtype)

    @cached_property
    def rows(self) -> Value:
        """The features as (jets, slots, variables), 0 in empty slots."""
        assert self.features is not None
        return (self.features * self.mask).transpose(0, 2, 1)
