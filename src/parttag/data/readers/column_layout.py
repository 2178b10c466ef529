"""The layout that ``data.columns`` describes: branches of any name and unit to ``JetArrays``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, UInt8

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers.branches import Branches
from parttag.data.readers.columns import (
    Column,
    ColumnsOptions,
    LabelColumns,
    ParticleColumns,
    in_gev,
    in_mm,
)
from parttag.data.readers.friend_columns import FriendColumns
from parttag.data.readers.layout import Schema, TreeNames
from parttag.data.readers.patterns import matches
from parttag.data.readers.pdg import IDENTITY_NAMES, identify
from parttag.data.readers.relative import to_absolute
from parttag.data.readers.slices import find, leaves
from parttag.errors import InputError
from parttag.jets.arrays import EXTRA_NAMES, JetArrays, pack_jets
from parttag.jets.kinematics import four_momenta, transverse
from parttag.jets.packing import offsets_of

_MOMENTUM = ("px", "py", "pz", "pt", "eta", "rapidity", "phi", "energy", "mass")
_IN_GEV = ("px", "py", "pz", "pt", "energy", "mass")
_IN_MM = ("d0", "d0_error", "dz", "dz_error")


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
    """

    columns: ColumnsOptions
    truth_optional: bool = False

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
        return None if self.columns.particles is None else self.columns.particles.offsets

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
        particles = self.columns.particles
        return "part_px" if particles is None else particles.px or particles.pt or ""

    @cached_property
    def particle_branches(self) -> frozenset[str]:
        """The branches with one entry a particle."""
        named = self._named("particles", (*_MOMENTUM, "mask", "pdg_id", *EXTRA_NAMES))
        return frozenset(branch for _, branch in named)

    def branches_to_read(self, available: Iterable[str], path: Path) -> list[str]:
        """Return the branches that are mapped.

        Raises
        ------
        InputError
            If one is missing; the message names the nearest that the file has.
        """
        there = dict.fromkeys(available)
        wanted = [
            *self._named(
                "particles", (*_MOMENTUM, "mask", "count", "offsets", "pdg_id", *EXTRA_NAMES)
            ),
            *self._named("jet", ("pt", "eta", "phi", "energy", "mass")),
        ]
        for truth in (self._label_branches(), self._weight_branch()):
            if not self.truth_optional or any(find(branch, there) for _, branch in truth):
                wanted += truth
        for key, branch in wanted:
            if find(branch, there) is None:
                raise InputError(self._missing(key, branch, leaves(there), path))
        mapped = dict.fromkeys(branch for _, branch in wanted)
        if self.columns.particles is None:
            mapped = dict.fromkeys(jetclass.branches_to_read(there, path)) | mapped
        return list(mapped)

    def schema(self, available: Iterable[str], path: Path) -> Schema:
        """Return what the jets of a file with these branches have.

        Raises
        ------
        InputError
            If a mapped branch is missing.
        """
        read = self.branches_to_read(available, path)
        if self.columns.particles is not None:
            return Schema(self._label_names(read), self.columns.particles.extra_names)
        return replace(jetclass.schema(read, path), label_names=self._label_names(read))

    def to_jets(self, branches: Mapping[str, ak.Array], path: Path, first_row: int) -> JetArrays:
        """Return the jets of these branches, which hold the file's rows from ``first_row`` on.

        Raises
        ------
        InputError
            If branches of particles differ in length, one is a list where a number a jet is needed
            or the reverse, or a label, weight or PDG number is none.
        """
        table = Branches(branches, path, first_row, self.leading, self.max_particles)
        label_names = self._label_names(branches)
        labels, jet_weights = self._labels(table, label_names), self._jet_weights(table)
        if self.columns.particles is None:
            jets = jetclass.to_jets(_without_labels(branches), path, first_row)
            if jet_weights is None:
                jet_weights = jets.jet_weights
            weights = jet_weights.astype(np.float32)
            return replace(jets, labels=labels, label_names=label_names, jet_weights=weights)
        if self.offsets in branches:
            raise InputError(
                f"{path}: particles.offsets is for arrays of one axis in HDF5 or npz files that "
                f"hold the particles of all jets one after the other; {self.leading} is none"
            )
        jet_p4 = _jet_momenta(self.columns, table)
        slots = _Slots(self.columns.particles, table, jet_p4)
        return pack_jets(
            slots.momenta(),
            slots.offsets,
            extra=slots.extra(),
            extra_names=self.columns.particles.extra_names,
            labels=labels,
            label_names=label_names,
            path=path,
            first_row=first_row,
            jet_p4=jet_p4,
            jet_weights=jet_weights,
        )

    # ------------------------------------------------------------------------------------- truth

    def _label_names(self, read: Iterable[str]) -> tuple[str, ...]:
        labels = self.columns.labels
        branches = [branch for _, branch in self._label_branches()]
        known = labels is not None and set(branches) <= set(read)
        return labels.label_names if labels is not None and known else ()

    def _labels(self, table: Branches, names: tuple[str, ...]) -> UInt8[np.ndarray, "jets labels"]:
        labels = self.columns.labels
        if labels is None or not names:
            return np.zeros((len(table.lengths), 0), dtype=np.uint8)
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
        return np.tile(row, (len(table.lengths), 1))

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
        wrong = np.flatnonzero(~((values >= 0) & np.isfinite(values)))
        if len(wrong):
            raise InputError(
                f"{table.path}: {branch} is {values[wrong[0]]:g} for jet "
                f"{table.first_row + wrong[0]}, but a weight must be finite and not below 0"
            )
        return values

    # ----------------------------------------------------------------------------- what is mapped

    def _named(self, section: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield key and branch of the options that name one."""
        options = getattr(self.columns, section)
        for name in names if options is not None else ():
            branch = getattr(options, name)
            if isinstance(branch, str):
                yield f"{section}.{name}", branch

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
        nearest = max(there, key=lambda name: SequenceMatcher(None, branch, name).ratio())
        return f"{where}; the nearest is {nearest}: correct data.columns.{key}"


def _without_labels(branches: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    return {name: b for name, b in branches.items() if not name.startswith("label_")}


class _Slots:
    """The particles of some jets, without the slots that are padding."""

    def __init__(
        self,
        particles: ParticleColumns,
        table: Branches,
        jet_p4: Float64[np.ndarray, "jets 4"] | None,
    ) -> None:
        self.particles = particles
        self.relative = particles.relative
        self.jet_p4 = jet_p4
        self.extra_names = particles.extra_names
        self.table = table
        self.keep = self._real()
        jets = np.repeat(np.arange(len(table.lengths)), table.lengths)[self.keep]
        self.jet_of_particle: Int64[np.ndarray, " particles"] = jets
        self.offsets = offsets_of(np.bincount(jets, minlength=len(table.lengths)))

    def _real(self) -> Bool[np.ndarray, " slots"]:
        particles, table = self.particles, self.table
        real = np.ones(table.offsets[-1], dtype=bool)
        if particles.count is not None:
            rank = np.arange(len(real)) - np.repeat(table.offsets[:-1], table.lengths)
            real &= rank < np.repeat(table.of_jets(particles.count), table.lengths)
        if particles.mask is not None:
            real &= table.of_particles(particles.mask) != 0
        if particles.mask is None and particles.count is None:
            # The logarithm of 1 is 0: then angles of 0 say what is padding.
            logarithms = self.relative is not None and self.relative.has_logarithms
            names = [n for n in (_MOMENTUM if logarithms else _IN_GEV) if particles.has(n)]
            branches = [getattr(particles, name) for name in names]
            real &= np.any([table.of_particles(branch) != 0 for branch in branches], axis=0)
        return real

    def column(self, name: str) -> Float64[np.ndarray, " particles"]:
        """Return what an option names, in GeV and mm."""
        values: np.ndarray = self.table.of_particles(getattr(self.particles, name))[self.keep]
        if name in _IN_GEV and getattr(self.relative, name, None) is None:
            values = values * in_gev(self.particles.unit)
        if name in _IN_MM:
            values = values * in_mm(self.particles.length_unit)
        return values

    def momenta(self) -> Float64[np.ndarray, "particles 4"]:
        """Return px, py, pz and E in GeV."""
        names = [name for name in _MOMENTUM if self.particles.has(name)]
        columns = {name: self.column(name) for name in names}
        if self.relative is not None:
            unit, jets = in_gev(self.particles.unit), self.jet_of_particle
            columns = to_absolute(columns, self.relative, unit, self.jet_p4, jets)
        if "pt" in columns:
            columns["px"], columns["py"] = transverse(columns.pop("pt"), columns.pop("phi"))
        if "energy" not in columns and "mass" not in columns:
            columns["mass"] = self._masses(len(columns["px"]))
        return four_momenta(**columns)

    def _masses(self, number: int) -> Float64[np.ndarray, " particles"]:
        if isinstance(self.particles.mass, float):
            return np.full(number, self.particles.mass * in_gev(self.particles.unit))
        return self._identities[0]

    def extra(self) -> Float[np.ndarray, "particles extras"]:
        """Return the columns besides the four-momentum."""
        extra = np.empty((int(self.offsets[-1]), len(self.extra_names)), dtype=np.float32)
        for column, name in enumerate(self.extra_names):
            if self.particles.has(name):
                with np.errstate(over="ignore"):
                    extra[:, column] = self.column(name)
            else:
                extra[:, column] = self._identities[1][:, IDENTITY_NAMES.index(name)]
        return extra

    @cached_property
    def _identities(
        self,
    ) -> tuple[Float64[np.ndarray, " particles"], Float[np.ndarray, "particles 6"]]:
        def name(particle: int) -> str:
            jet = self.table.first_row + self.jet_of_particle[particle]
            return f"{self.table.path}: a particle of jet {jet}"

        return identify(self.column("pdg_id"), name, self.particles.pdg_map)


def _jet_momenta(columns: ColumnsOptions, table: Branches) -> Float64[np.ndarray, "jets 4"] | None:
    jet = columns.jet
    if jet is None:
        return None
    unit = in_gev(jet.unit)

    def values(column: Column) -> Float64[np.ndarray, " jets"]:
        if isinstance(column, str):
            return table.of_jets(column)
        return np.full(len(table.lengths), float(column))

    pt, eta, phi = (values(column) for column in (jet.pt, jet.eta, jet.phi))
    last = {
        name: values(column) * unit
        for name, column in (("energy", jet.energy), ("mass", jet.mass))
        if column is not None
    }
    return four_momenta(*transverse(pt * unit, phi), eta=eta, **last)
