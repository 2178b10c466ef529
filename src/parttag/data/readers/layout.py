"""Layouts: the meaning of a file's branches, whatever format holds them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import awkward as ak

from parttag.data.readers.friend_columns import FriendColumns
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays

MAX_PARTICLES = 100_000
"""Particles that a jet may have, if nothing else is said: ten times those of a whole event of lead
nuclei. Compressed files can claim any number in a few bytes."""


TreeNames: TypeAlias = str | tuple[str, ...] | Mapping[str, str] | None
"""The name of the TTree or RNTuple; several, of which the first that a file has is read; or by
patterns of the files' names."""


@dataclass(frozen=True)
class Schema:
    """What the jets of a file have: labels, columns of the particles, and where the rest is from.

    ``other`` are the branches that jet quantities come from; ``None`` where the format leaves no
    choice. ``columns`` and ``jet_columns`` are those that a configuration names besides, ``kinds``
    the names of the kinds of particles, where there are several.
    """

    label_names: tuple[str, ...]
    extra_names: tuple[str, ...]
    other: frozenset[str] | None = None
    columns: tuple[str, ...] = ()
    jet_columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


@runtime_checkable
class Layout(Protocol):
    """Turns branches into jets; the module ``jetclass`` is one, ``ColumnLayout`` the other."""

    @property
    def tree(self) -> TreeNames:
        """The name of the TTree or RNTuple, if it must have one."""
        ...

    @property
    def friends(self) -> tuple[FriendColumns, ...]:
        """Trees with more branches of the same entries."""
        ...

    @property
    def leading(self) -> str:
        """The branch whose lengths those of all branches of particles must equal."""
        ...

    @property
    def max_particles(self) -> int:
        """The most particles that a jet may have."""
        ...

    @property
    def text_branches(self) -> frozenset[str]:
        """The branches that hold texts."""
        ...

    def branches_to_read(self, available: Iterable[str], path: Path) -> list[str]:
        """Return the branches that ``to_jets`` needs, or refuse a file that lacks one."""
        ...

    def schema(self, available: Iterable[str], path: Path) -> Schema:
        """Return what the jets of a file with these branches have."""
        ...

    def to_jets(self, branches: Mapping[str, ak.Array], path: Path, first_row: int) -> JetArrays:
        """Return the jets of these branches, which hold the rows from ``first_row`` on."""
        ...


def too_many_particles(path: Path, number: str, most: int, branch: str = "") -> InputError:
    """Return what is said of a jet with more particles than a jet may have."""
    where = f"{path}: {branch}" if branch else str(path)
    return InputError(
        f"{where} has {number} particles in one jet, more than {most:,}; if that is meant, raise "
        "data.columns.max_particles"
    )
