"""The layout that ``data.columns`` describes: branches of any name and unit to ``JetArrays``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Float64, UInt8

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.branches import Branches
from parttag.data.readers.columns import ColumnsOptions, LabelColumns
from parttag.data.readers.derived import DerivedColumns
from parttag.data.readers.event_jets import read_events, relation_branches
from parttag.data.readers.event_tables import Tally
from parttag.data.readers.friend_columns import FriendColumns
from parttag.data.readers.layout import Schema, TreeNames
from parttag.data.readers.more_columns import MoreColumns, WantedColumns, more_columns
from parttag.data.readers.patterns import matches
from parttag.data.readers.slices import find, leaves, nearest_branch
from parttag.data.readers.slots import (
    MOMENTUM,
    Particles,
    join,
    read_jet_momenta,
    read_particles,
)
from parttag.errors import InputError
from parttag.jets.arrays import EXTRA_NAMES, JetArrays, pack_jets
from parttag.jets.kinds import KIND_COLUMN
from parttag.options import Options

_OF_PARTICLES = (*MOMENTUM, "weight", "mask", "pdg_id", *EXTRA_NAMES)


@dataclass(frozen=True)
class ColumnLayout:
    """Reads files of any names.

    Parameters
    ----------
    columns
        What the branches mean.
    truth_optional
        Whether files may lack all branches of labels, and that of the weight: those of jets that
        are to be scored, not learned from. Their labels are then unknown, their weights 1.
    wanted
        The columns to read of those in ``extra`` and ``jet_extra``, and other branches; by default
        all of those and no other.
    tally
        What is counted while a file is read.
    """

    columns: ColumnsOptions
    truth_optional: bool = False
    wanted: WantedColumns | None = None
    tally: Tally = field(default_factory=Tally, repr=False, compare=False)

    @property
    def tree(self) -> TreeNames:
        """The name of the TTree or RNTuple, if one is given."""
        return self.columns.tree

    @property
    def friends(self) -> tuple[FriendColumns, ...]:
        """Trees with more branches of the same entries."""
        return self.columns.friends

    @property
    def offsets(self) -> str | None:
        """The array of where jets begin among particles that lie one after the other."""
        sections = self.columns.sections
        return sections[0].offsets if len(sections) == 1 else None

    @property
    def text_branches(self) -> frozenset[str]:
        """The branches that hold texts."""
        labels = self.columns.labels
        texts = labels is not None and labels.branch is not None and labels.are_texts
        return frozenset({str(labels.branch)} if labels is not None and texts else ())

    @property
    def max_particles(self) -> int:
        """The most particles, or slots, that a jet may have."""
        return self.columns.max_particles

    @cached_property
    def leading(self) -> str:
        """The branch whose lengths those of all particle branches must equal."""
        sections = self.columns.sections
        return sections[0].leading if sections else "part_px"

    @cached_property
    def leading_in_file(self) -> str:
        """The same, or the first branch that it is computed from."""
        return next(iter(self._derived.sources([self.leading])), self.leading)

    @property
    def several_jets(self) -> bool:
        """Whether an entry is an event that may hold several jets."""
        return self.columns.of_jet is not None

    @cached_property
    def particle_branches(self) -> frozenset[str]:
        """The branches with one entry a particle."""
        named = self._of_particles(_OF_PARTICLES)
        branches = [*(branch for _, branch in named), *self._more.particle_branches]
        return frozenset([*branches, *self._derived.sources(branches)])

    @cached_property
    def _derived(self) -> DerivedColumns:
        """The branches that are computed."""
        return DerivedColumns(self.columns.derived)

    @cached_property
    def _more(self) -> MoreColumns:
        """The branches of columns of any type."""
        return more_columns(self.columns, self.wanted)

    def branches_to_read(self, available: Iterable[str], path: Path) -> list[str]:
        """Return the branches that are mapped.

        Raises
        ------
        InputError
            If one is missing; the message names the nearest that the file has.
        """
        in_file = dict.fromkeys(available)
        there = in_file | dict.fromkeys(self._derived.names)
        wanted = [
            *self._of_particles((*_OF_PARTICLES, "count", "offsets")),
            *_named("jet", self.columns.jet, MOMENTUM),
            *relation_branches(self.columns),
        ]
        for truth in (self._label_branches(), self._weight_branch()):
            if not self.truth_optional or any(find(branch, there) for _, branch in truth):
                wanted += truth
        for key, branch in wanted:
            if find(branch, there) is None:
                raise InputError(self._missing(key, branch, leaves(there), path))
        more = self._more.present(there)
        more.require(there, path)
        wanted += [("", branch) for branch in more.branches]
        needed = self._derived.sources(branch for _, branch in wanted)
        self._derived.require(needed, in_file, path)
        mapped = dict.fromkeys(needed)
        if self.columns.particles is None:
            mapped = dict.fromkeys(jetclass.branches_to_read(in_file, path)) | mapped
        return list(mapped)

    def schema(self, available: Iterable[str], path: Path) -> Schema:
        """Return what the jets of a file with these branches have.

        Raises
        ------
        InputError
            If a mapped branch is missing.
        """
        read = [*self.branches_to_read(available, path), *self._derived.names]
        if self.columns.particles is None:
            known = jetclass.schema(read, path)
            label_names = known.label_names if self._has_own_labels else self._label_names(read)
        else:
            known = Schema((), self.columns.extra_names)
            label_names = self._label_names(read)
        return replace(
            known,
            label_names=label_names,
            columns=(*self._more.particles, *([KIND_COLUMN] if self.columns.kinds else [])),
            jet_columns=tuple(self._more.present(read).jets),
            kinds=tuple(name for name, _ in self.columns.kinds),
        )

    @property
    def _has_own_labels(self) -> bool:
        """Whether the labels are JetClass's."""
        return self.columns.particles is None and self.columns.labels is None

    def to_jets(self, branches: Mapping[str, ak.Array], path: Path, first_row: int) -> JetArrays:
        """Return the jets of these branches, which hold the file's rows from ``first_row`` on.

        Raises
        ------
        InputError
            If branches of particles differ in length, one is a list where a number a jet is needed
            or the reverse, or a label, weight or PDG number is none.
        """
        columns = self.columns
        if columns.derived:
            branches = self._derived.added(branches, path)
        more = self._more.present(branches)
        table: Branches
        if self.several_jets:
            table, particles = read_events(
                columns, branches, path, first_row, self.max_particles, self.tally, more
            )
        else:
            table = Branches(branches, path, first_row, self.leading, self.max_particles)
        label_names = self._label_names(branches)
        labels, jet_weights = self._labels(table, label_names), self._jet_weights(table)
        if self.columns.particles is None:
            particle_columns, jet_columns = more.read(table)
            known = branches if self._has_own_labels else _without_labels(branches)
            jets = jetclass.to_jets(
                known, path, first_row, particle_columns=particle_columns, jet_columns=jet_columns
            )
            if jet_weights is None:
                jet_weights = jets.jet_weights
            weights = jet_weights.astype(np.float32)
            if self._has_own_labels:
                return replace(jets, jet_weights=weights)
            return replace(jets, labels=labels, label_names=label_names, jet_weights=weights)
        if self.offsets in branches:
            raise InputError(
                f"{path}: particles.offsets is for arrays of one axis in HDF5 or npz files that "
                f"hold the particles of all jets one after the other; {self.leading} is none"
            )
        jet_p4 = None if columns.jet is None else read_jet_momenta(columns.jet, table)
        if not self.several_jets:
            particles = self._particles(branches, path, first_row, jet_p4)
        return pack_jets(
            particles.p4,
            particles.offsets(table.num_jets),
            extra=particles.extra,
            extra_names=columns.extra_names,
            labels=labels,
            label_names=label_names,
            path=path,
            rows=table.rows,
            jet_p4=jet_p4,
            jet_weights=jet_weights,
            columns=particles.columns,
            jet_columns=more.of_jets(table),
            kinds=columns.kinds,
        )

    def _particles(
        self,
        branches: Mapping[str, ak.Array],
        path: Path,
        first_row: int,
        jet_p4: Float64[np.ndarray, "jets 4"] | None,
    ) -> Particles:
        """Return the particles of entries that are one jet each."""
        parts, names = [], self.columns.extra_names
        first = Branches(branches, path, first_row, self.leading, self.max_particles)
        sections = zip(self.columns.sections, self._more.of_sections(first), strict=True)
        for number, (section, own) in enumerate(sections):
            kind = number if self.columns.kinds else None
            table = Branches(branches, path, first_row, section.leading, self.max_particles)
            table.require_one_an_entry(self.leading)
            parts.append(
                read_particles(section, table, names, jet_p4=jet_p4, columns=own, kind=kind)
            )
        return join(parts)

    # ------------------------------------------------------------------------------------- truth

    def _label_names(self, read: Iterable[str]) -> tuple[str, ...]:
        labels = self.columns.labels
        branches = [branch for _, branch in self._label_branches()]
        known = labels is not None and set(branches) <= set(read)
        return labels.label_names if labels is not None and known else ()

    def _labels(self, table: Branches, names: tuple[str, ...]) -> UInt8[np.ndarray, "jets labels"]:
        labels = self.columns.labels
        if labels is None or not names:
            return np.zeros((table.num_jets, 0), dtype=np.uint8)
        if labels.branches:
            return table.one_hot(labels.branches.values())
        if labels.one_hot is not None:
            return table.rows_of_zeros_and_ones(labels.one_hot, len(names))
        if labels.branch is not None:
            read = table.texts if labels.are_texts else table.of_jets
            values: np.ndarray = read(labels.branch)
            carried = [np.isin(values, chosen) for chosen in labels.values.values()]
            return np.stack(carried, axis=1).astype(np.uint8)
        row = np.array([name == self._label_of(table.path, labels) for name in names], np.uint8)
        return np.tile(row, (table.num_jets, 1))

    def _label_of(self, path: Path, labels: LabelColumns) -> str | None:
        found = [
            name
            for name, patterns in labels.files.items()
            if any(matches(path, pattern) for pattern in patterns)
        ]
        if len(found) == 1:
            return found[0]
        if not found and self.truth_optional:
            return None
        which = f"those of {' and '.join(found)}" if found else "none"
        raise InputError(
            f"{path}: of the patterns in data.columns.labels.files, {which} match this file; a "
            "file must match those of one label"
        )

    def _jet_weights(self, table: Branches) -> Float64[np.ndarray, " jets"] | None:
        branch = self.columns.jet_weight
        if branch is None or not table.has([branch]):
            return None
        values = table.of_jets(branch)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise InputError(
                f"{table.path}: {branch} is {values[wrong[0]]:g} for "
                f"{table.name_of(int(wrong[0]))}, but a weight must be finite"
            )
        return values

    # ----------------------------------------------------------------------------- what is mapped

    def _of_particles(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield key and branch of the options of all sections of particles that name one."""
        sections = zip(self.columns.section_keys, self.columns.sections, strict=True)
        for key, section in sections:
            yield from _named(key, section, names)

    def _label_branches(self) -> list[tuple[str, str]]:
        labels = self.columns.labels
        if labels is None:
            return []
        if labels.branch is not None:
            return [("labels.branch", labels.branch)]
        if labels.one_hot is not None:
            return [("labels.one_hot", labels.one_hot)]
        return [(f"labels.branches.{name}", branch) for name, branch in labels.branches.items()]

    def _weight_branch(self) -> list[tuple[str, str]]:
        branch = self.columns.jet_weight
        return [] if branch is None else [("jet_weight", branch)]

    def _missing(self, key: str, branch: str, there: list[str], path: Path) -> str:
        where = f"{path} has no branch {branch}"
        if self.tree is not None:
            where += f" in its tree {self.tree}" if isinstance(self.tree, str) else ""
        if not there:
            return f"{where}; it has none"
        nearest = nearest_branch(branch, there)
        return f"{where}; the nearest is {nearest}: correct data.columns.{key}"


def _named(
    section: str, options: Options | None, names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield key and branch of the options that name one."""
    for name in names:
        branch = getattr(options, name, None)
        if isinstance(branch, str):
            yield f"{section}.{name}", branch


def _without_labels(branches: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    return {name: b for name, b in branches.items() if not name.startswith("label_")}
