"""The particles of padded jets in a graph, as networks take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from parttag.export.graph import Graph, Value
from parttag.models.layers.kinds import ByKind


@dataclass(frozen=True)
class KindOfParticles:
    """The particles of one kind, or of all; values that a network does not read are missing."""

    mask: Value
    """(jets, 1, slots): 1 = real."""
    features: Value | None = None
    """(jets, variables, slots), standardized."""
    vectors: Value | None = None
    """(jets, 4, slots): px, py, pz, E in GeV."""
    points: Value | None = None
    """(jets, 2, slots): Δη and Δφ."""

    @property
    def rows(self) -> Value:
        """The features as (jets, slots, variables), 0 in empty slots."""
        assert self.features is not None
        return (self.features * self.mask).transpose(0, 2, 1)


@dataclass(frozen=True)
class Particles:
    """The particles of all kinds, those of one kind after those of another."""

    kinds: tuple[KindOfParticles, ...]

    @property
    def graph(self) -> Graph:
        """Where they are."""
        return self.mask.graph

    @cached_property
    def mask(self) -> Value:
        """(jets, 1, slots): 1 = real."""
        masks = [kind.mask for kind in self.kinds]
        return masks[0].graph.concat(masks, 2)

    @cached_property
    def real(self) -> Value:
        """(jets, slots, 1): 1 = real, in the type of the weights."""
        return self.mask.transpose(0, 2, 1).cast(self.graph.dtype)

    @property
    def vectors(self) -> Value:
        """(jets, 4, slots): px, py, pz, E in GeV, 0 in empty slots."""
        found = [kind.vectors for kind in self.kinds if kind.vectors is not None]
        return self.graph.concat(found, 2) * self.mask

    @property
    def points(self) -> Value:
        """(jets, slots, 2): Δη and Δφ."""
        found = [kind.points for kind in self.kinds if kind.points is not None]
        return self.graph.concat(found, 2).transpose(0, 2, 1)

    def embedded(self, network: nn.Module, embed: Callable[[Value, nn.Module], Value]) -> Value:
        """Return what a network, or one for each kind, makes of the features.

        Parameters
        ----------
        embed
            From features (jets, slots, variables) and a network to (jets, slots, width).
        """
        networks = list(network.children()) if isinstance(network, ByKind) else [network]
        of_kinds = zip(self.kinds, networks, strict=True)
        return self.graph.concat([embed(kind.rows, one) for kind, one in of_kinds], 1)
