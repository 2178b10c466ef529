"""Kinds of particles in a jet: charged and neutral ones, vertices; and how many of each are kept.

Particles of all kinds are packed together, as any others. A column in a type of one byte says which
kind each is, by its number among the jets' ``kinds``. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, Integer
from pydantic import AfterValidator

from parttag.errors import InputError
from parttag.jets.packing import places

KIND_COLUMN, KIND_TYPE = "kind", "|u1"
"""Name and type of the column that says of which kind a particle is."""

Kinds: TypeAlias = tuple[tuple[str, bool], ...]
"""Name of each kind, and whether its particles have four-momenta; empty where there is one kind."""

QUANTITIES = ("pt", "energy", "mass", "eta", "abs_eta")
"""What features of a kind may name besides features and columns: of the four-momentum, in GeV."""

_MOST_KINDS = 255


def is_kind(name: str) -> bool:
    """Return whether a kind of particles may have this name."""
    return name.isidentifier() and name.isascii()


def _checked_kind(name: str) -> str:
    if not is_kind(name):
        raise ValueError(
            f"{name!r} cannot be the name of a kind of particles: take letters, digits and _"
        )
    return name


KindLabel = Annotated[str, AfterValidator(_checked_kind)]
"""The name of a kind: networks name the parameters that are of it after it."""


def check_number_of_kinds(number: int) -> None:
    """Refuse more kinds than the column can tell apart.

    Raises
    ------
    ValueError
        If there are.
    """
    if number > _MOST_KINDS:
        raise ValueError(f"there are {number} kinds of particles; there may be {_MOST_KINDS}")


class KindName(str):
    """The name of a feature of one kind of particles: ``charged.log_pt``.

    For networks it is a name like any other.
    """

    __slots__ = ("kind", "name")

    kind: str
    name: str
    """The feature, as features of one kind alone have it."""

    def __new__(cls, kind: str, name: str) -> KindName:
        """Return the name of a feature of a kind."""
        own = super().__new__(cls, f"{kind}.{name}")
        own.kind, own.name = kind, name
        return own

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process."""
        return KindName, (self.kind, self.name)


def names_by_kind(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the features of each kind, in order; empty where they are of all particles alike."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        if isinstance(name, KindName):
            kinds.setdefault(name.kind, []).append(name.name)
    return {kind: tuple(own) for kind, own in kinds.items()}


def own_name(name: str) -> str:
    """Return the name of a feature without the kind that it is of."""
    return name.name if isinstance(name, KindName) else name


@dataclass(frozen=True)
class KindLimits:
    """How many particles of each kind a jet keeps, those of the highest pT.

    Parameters
    ----------
    of_kind
        Of each kind that is kept, the most particles; ``None`` for all. Others are left out.
    together
        The most particles of all these kinds; ``None`` for all.
    """

    of_kind: tuple[tuple[str, int | None], ...]
    together: int | None = None

    def keep(
        self,
        kinds: Kinds,
        kind: Integer[np.ndarray, " particles"],
        lengths: Int64[np.ndarray, " jets"],
    ) -> Bool[np.ndarray, " particles"]:
        """Return which particles stay.

        Parameters
        ----------
        kinds
            Of the jets.
        kind
            Of each particle, by its number among them.
        lengths
            Number of particles of each jet, which are in order of falling pT.

        Raises
        ------
        InputError
            If the jets have no such kind.
        """
        require_kinds([name for name, _ in self.of_kind], kinds)
        numbers = {name: number for number, (name, _) in enumerate(kinds)}
        jet = np.repeat(np.arange(len(lengths)), lengths)
        keep = np.zeros(len(kind), dtype=bool)
        for name, most in self.of_kind:
            rows = np.flatnonzero(kind == numbers[name])
            if most is not None:
                rows = rows[places(np.bincount(jet[rows], minlength=len(lengths))) < most]
            keep[rows] = True
        if self.together is not None:
            rows = np.flatnonzero(keep)
            late = places(np.bincount(jet[rows], minlength=len(lengths))) >= self.together
            keep[rows[late]] = False
        return keep


MaxParticles: TypeAlias = int | KindLimits | None
"""How many of a jet's hardest particles are kept: of all alike, of each kind, or all."""


def require_kinds(names: Sequence[str], kinds: Kinds, whose: str = "the jets") -> None:
    """Refuse jets that lack a kind of particles.

    Raises
    ------
    InputError
        If they do.
    """
    there = [name for name, _ in kinds]
    for name in names:
        if not there:
            raise InputError(
                f"features: {whose} have particles of one kind, not of {', '.join(names)}; name "
                "the kinds in data.columns.particles, or list features of all particles"
            )
        if name not in there:
            raise InputError(
                f"features.{name}: {whose} have no particles of that kind; there are "
                f"{', '.join(there)}"
            )
