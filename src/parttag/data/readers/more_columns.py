"""Columns of particles and jets that parttag knows nothing of but their names.

They are named by ``columns.particles.extra`` and ``columns.jet_extra``; any other name that is
asked for is a branch of the files.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from parttag.data.readers.branches import Branches
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.slices import find, leaves
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays

Columns = dict[str, Shaped[np.ndarray, " _rows"]]


@dataclass(frozen=True)
class WantedColumns:
    """The columns to read, by name.

    Parameters
    ----------
    particles, jets
        Of the particles, and of the jets.
    either
        Of whichever their branches are.
    asked_by
        The option that names these, for messages.
    known
        Names that stand for something there, for messages about others.
    """

    particles: tuple[str, ...] = ()
    jets: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    asked_by: str = "columns"
    known: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.particles, *self.jets, *self.either)

    def require(self, jets: JetArrays, name: str) -> None:
        """Refuse jets that lack one of the columns.

        Raises
        ------
        InputError
            If one is missing; the message names the nearest there is.
        """
        of_particles, of_jets = jets.particle_column_names, jets.jet_column_names
        for key, there, wanted, what in (
            ("features", (*jets.extra_names, *of_particles), self.particles, "particle column"),
            ("jet_features", of_jets, self.jets, "column of the jets"),
            (self.asked_by, (*of_particles, *of_jets), self.either, "column"),
        ):
            for column in wanted:
                if column not in there:
                    near = nearest(column, [*there, *self.known])
                    raise InputError(
                        f"{key}: {name} has no {what} {column!r}{near}; prepare it with that "
                        "column, or name another"
                    )


@dataclass(frozen=True)
class MoreColumns:
    """The branch of each column, by name."""

    particles: Mapping[str, str]
    jets: Mapping[str, str]
    either: Mapping[str, str] = field(default_factory=dict)
    wanted: WantedColumns | None = None

    @property
    def branches(self) -> list[str]:
        """All branches."""
        return [*self.particles.values(), *self.jets.values(), *self.either.values()]

    def require(self, there: Collection[str], path: Path) -> None:
        """Refuse a file that lacks one of the branches.

        Raises
        ------
        InputError
            If it does; the message names the nearest there is.
        """
        wanted = self.wanted or WantedColumns()
        for asked_by, key, named in (
            ("features", "data.columns.particles.extra", self.particles),
            ("jet_features", "data.columns.jet_extra", self.jets),
            (wanted.asked_by, "columns", self.either),
        ):
            for name, branch in named.items():
                if find(branch, there) is not None:
                    continue
                if branch != name or self.wanted is None:
                    raise InputError(
                        f"{path} has no branch {branch}{nearest(branch, leaves(there))}: correct "
                        f"{key}.{name}"
                    )
                raise InputError(
                    f"{asked_by}: there is no feature {name!r}, and {path} has no branch of that "
                    f"name{nearest(name, [*leaves(there), *wanted.known])}"
                )

    def read(self, table: Branches) -> tuple[Columns, Columns]:
        """Return the columns of particles and of jets, each in the type of the file.

        Raises
        ------
        InputError
            If one does not hold a number each.
        """
        particles, jets = dict(self.particles), dict(self.jets)
        for name, branch in self.either.items():
            (jets if table.branches[branch].ndim == 1 else particles)[name] = branch
        return (
            {name: table.typed_of_particles(branch) for name, branch in particles.items()},
            {name: table.typed_of_jets(branch) for name, branch in jets.items()},
        )


def more_columns(columns: ColumnsOptions, wanted: WantedColumns | None) -> MoreColumns:
    """Return the branches of the columns that are wanted, or else of all that are named."""
    extra = columns.particles.extra if columns.particles is not None else {}
    if wanted is None:
        return MoreColumns(extra, columns.jet_extra)
    both = [name for name in wanted.either if name in extra or name in columns.jet_extra]
    return MoreColumns(
        particles={
            name: extra.get(name, name)
            for name in (*wanted.particles, *(name for name in both if name in extra))
        },
        jets={
            name: columns.jet_extra.get(name, name)
            for name in (*wanted.jets, *(name for name in both if name not in extra))
        },
        either={name: name for name in wanted.either if name not in both},
        wanted=wanted,
    )


def nearest(name: str, there: Iterable[str]) -> str:
    """Return what is said of the nearest name, if there is any."""
    found = get_close_matches(name, list(there), n=1, cutoff=0)
    return f"; the nearest is {found[0]}" if found else ""
