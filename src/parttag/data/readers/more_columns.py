"""Columns of particles and jets that parttag knows nothing of but their names.

They are named by ``columns.particles.extra`` and ``columns.jet_extra``; any other name that is
asked for is a branch of the files.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from parttag.data.readers.branches import Branches
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.slices import find, leaves
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.kinds import KIND_COLUMN, require_kinds

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
    of_kinds
        Of ``particles``, those of each kind, where there are several.
    with_momenta
        Kinds whose particles must have four-momenta, ``None`` for all there are, and what needs
        them.
    asked_by
        The option that names these, for messages.
    known
        Names that stand for something there, for messages about others.
    asked
        Of columns that other sections ask for than features and jet_features: the key that does.
    optional
        Of the jets, columns that are read where the files have them.
    """

    particles: tuple[str, ...] = ()
    jets: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    of_kinds: tuple[tuple[str, tuple[str, ...]], ...] = ()
    with_momenta: tuple[tuple[str | None, str], ...] = ()
    asked_by: str = "columns"
    known: tuple[str, ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.particles, *self.jets, *self.either, *self.optional)

    def require(self, jets: JetArrays, name: str) -> None:
        """Refuse jets that lack one of the columns, or a kind of particles.

        Raises
        ------
        InputError
            If one is missing; the message names the nearest there is.
        """
        self.require_kinds(jets, name)
        of_particles, of_jets = jets.particle_column_names, jets.jet_column_names
        for key, there, wanted, what in (
            ("features", (*jets.extra_names, *of_particles), self.particles, "particle column"),
            ("jet_features", of_jets, self.jets, "column of the jets"),
            (self.asked_by, (*of_particles, *of_jets), self.either, "column"),
        ):
            for column in wanted:
                if column not in there:
                    near = nearest(column, [*there, *self.known])
                    asked_by = dict(self.asked).get(column, key)
                    raise InputError(
                        f"{asked_by}: {name} has no {what} {column!r}{near}; prepare it with that "
                        "column, or name another"
                    )

    def require_kinds(self, jets: JetArrays, name: str) -> None:
        """Refuse jets that lack a kind of particles, or four-momenta of one where needed.

        Raises
        ------
        InputError
            If they do.
        """
        require_kinds([kind for kind, _ in self.of_kinds], jets.kinds, name)
        without = [kind for kind, has_momentum in jets.kinds if not has_momentum]
        for kind, what in self.with_momenta:
            lacking = [other for other in without if kind in (None, other)]
            if lacking:
                raise InputError(no_momenta(lacking[0], what, name))


def no_momenta(kind: str, what: str, name: str) -> str:
    """Return what is said of particles without four-momenta where something needs them."""
    return (
        f"{what} needs four-momenta, which the {kind} of {name} have not: name their branches in "
        f"data.columns.particles.{kind}, or leave it out"
    )


@dataclass(frozen=True)
class MoreColumns:
    """The branch of each column, by name."""

    particles: Mapping[str, str]
    jets: Mapping[str, str]
    either: Mapping[str, str] = field(default_factory=dict)
    wanted: WantedColumns | None = None
    leading: tuple[str, ...] = ()
    """A branch of each section of particles."""

    sections: tuple[Mapping[str, str], ...] = ()
    """Of ``particles``, what each section of particles has."""

    kinds: tuple[str, ...] = ()
    """What the sections are called, if they are of kinds."""

    @property
    def particle_branches(self) -> list[str]:
        """The branches that are known to be of particles."""
        of_sections = [branch for section in self.sections for branch in section.values()]
        of_all = [] if self.kinds else self.particles.values()
        return list(dict.fromkeys([*of_all, *of_sections]))

    @property
    def branches(self) -> list[str]:
        """All branches."""
        return [*self.particle_branches, *self.jets.values(), *self.either.values()]

    def present(self, there: Collection[str]) -> "MoreColumns":
        """Return these without the optional columns of the jets that a file lacks."""
        optional = self.wanted.optional if self.wanted is not None else ()
        missing = {name for name in optional if find(self.jets[name], there) is None}
        jets = {name: branch for name, branch in self.jets.items() if name not in missing}
        return replace(self, jets=jets) if missing else self

    def require(self, there: Collection[str], path: Path) -> None:
        """Refuse a file that lacks one of the branches.

        Raises
        ------
        InputError
            If it does; the message names the nearest there is.
        """
        wanted = self.wanted or WantedColumns()
        particles = [("features", "data.columns.particles.extra", self.particles)]
        if self.kinds:
            particles = [
                (f"features.{kind}", f"data.columns.particles.{kind}.extra", section)
                for kind, section in zip(self.kinds, self.sections, strict=True)
            ]
        for asked_by, key, named in (
            *particles,
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
                asked = dict(wanted.asked)
                if name in asked:
                    raise InputError(
                        f"{asked[name]}: {path} has no branch {name}"
                        f"{nearest(name, leaves(there))}; name another, or leave it out"
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
        particles = {**self.particles, **self._either(table, of_jets=False)}
        return (
            {name: table.typed_of_particles(branch) for name, branch in particles.items()},
            self.of_jets(table),
        )

    def of_jets(self, table: Branches) -> Columns:
        """Return the columns of jets, each in the type of the file.

        Raises
        ------
        InputError
            If one does not hold a number each.
        """
        jets = {**self.jets, **self._either(table, of_jets=True)}
        return {name: table.typed_of_jets(branch) for name, branch in jets.items()}

    def of_sections(self, table: Branches) -> list[dict[str, str]]:
        """Return the branches of the columns of particles that each section has."""
        found = [dict(section) for section in self.sections]
        for name, branch in self._either(table, of_jets=False).items():
            found[_owner(branch, self.leading)][name] = branch
        return found

    def _either(self, table: Branches, *, of_jets: bool) -> dict[str, str]:
        return {n: b for n, b in self.either.items() if table.is_of_jets(b) == of_jets}


def more_columns(columns: ColumnsOptions, wanted: WantedColumns | None) -> MoreColumns:
    """Return the branches of the columns that are wanted, or else of all that are named."""
    named = [section.extra for section in columns.sections]
    extra = {name: branch for own in reversed(named) for name, branch in own.items()}
    leading = tuple(section.leading for section in columns.sections)
    kinds = tuple(name for name, _ in columns.kinds)
    if wanted is None:
        return MoreColumns(
            extra, columns.jet_extra, leading=leading, sections=tuple(named), kinds=kinds
        )
    both = [name for name in wanted.either if name in extra or name in columns.jet_extra]
    made = {KIND_COLUMN} if kinds else set()  # of no branch
    particles = (*wanted.particles, *(name for name in both if name in extra))
    particles = tuple(name for name in particles if name not in made)
    sections: list[dict[str, str]] = [
        {name: own[name] for name in particles if name in own} for own in named
    ]
    if kinds and wanted.of_kinds:
        sections = [
            {n: own.get(n, n) for n in dict(wanted.of_kinds).get(kind, ()) if n not in made}
            | {name: own[name] for name in both if name in own}
            for kind, own in zip(kinds, named, strict=True)
        ]
    else:
        for name in particles if sections else ():
            if name not in extra:
                sections[_owner(name, leading)][name] = name
    return MoreColumns(
        kinds=kinds,
        particles={name: extra.get(name, name) for name in particles},
        leading=leading,
        sections=tuple(sections),
        jets={
            name: columns.jet_extra.get(name, name)
            for name in (
                *wanted.jets,
                *wanted.optional,
                *(name for name in both if name not in extra),
            )
        },
        either={name: name for name in wanted.either if name not in both},
        wanted=wanted,
    )


def _owner(branch: str, leading: Sequence[str]) -> int:
    """Return the section that a branch is of: the one of the same group, or else the first."""
    group = branch.rpartition(".")[0]
    same = [n for n, other in enumerate(leading) if other.rpartition(".")[0] == group]
    return same[0] if same else 0


def nearest(name: str, there: Iterable[str]) -> str:
    """Return what is said of the nearest name, if there is any."""
    found = get_close_matches(name, list(there), n=1, cutoff=0)
    return f"; the nearest is {found[0]}" if found else ""
