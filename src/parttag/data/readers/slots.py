"""Particles of jets, from the branches that hold them: momenta and what else is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from parttag.data.readers.branches import Branches
from parttag.data.readers.columns import JetColumns
from parttag.data.readers.particle_columns import ParticleColumns, in_gev, in_mm
from parttag.data.readers.pdg import IDENTITY_NAMES, identify
from parttag.data.readers.relative import to_absolute
from parttag.jets.kinds import KIND_COLUMN, KIND_TYPE
from parttag.jets.kinematics import four_momenta, transverse
from parttag.jets.packing import offsets_of

MOMENTUM = ("px", "py", "pz", "pt", "eta", "rapidity", "ctg_theta", "phi", "energy", "mass")
"""The options that a momentum can be made of."""

_IN_GEV = ("px", "py", "pz", "pt", "energy", "mass")
_IN_MM = ("d0", "d0_error", "dz", "dz_error")

# Of η: its sinh is beyond double precision. Delphes gives 999 to particles at rest.
_NOWHERE = 711


@dataclass(frozen=True)
class Chosen:
    """Which of the particles, as they are stored, are those of jets.

    ``rows`` count the particles of all entries one after the other; ``jets`` is the jet of each,
    from the first one of the entries on, and never falls.
    """

    rows: Int64[np.ndarray, " particles"]
    jets: Int64[np.ndarray, " particles"]

    def take(self, chosen: Bool[np.ndarray, " particles"] | Int64[np.ndarray, " taken"]) -> Chosen:
        """Return some of them."""
        return Chosen(self.rows[chosen], self.jets[chosen])


@dataclass(frozen=True)
class Particles:
    """Particles of jets, one jet's after the other's; p4 in GeV, ``extra`` as a layout names it."""

    jets: Int64[np.ndarray, " particles"]
    p4: Float64[np.ndarray, "particles 4"]
    extra: Float[np.ndarray, "particles extras"]
    columns: Mapping[str, Shaped[np.ndarray, " particles"]] = field(default_factory=dict)
    """More columns, in the types of the file."""

    def offsets(self, num_jets: int) -> Int64[np.ndarray, " jets_and_one"]:
        """Return where each jet's particles begin."""
        return offsets_of(np.bincount(self.jets, minlength=num_jets))

    def chosen(self, chosen: Chosen) -> Particles:
        """Return some of them, as those of other jets."""
        columns = {name: values[chosen.rows] for name, values in self.columns.items()}
        return Particles(chosen.jets, self.p4[chosen.rows], self.extra[chosen.rows], columns)


def join(parts: Sequence[Particles]) -> Particles:
    """Return the particles of all parts, at least one, jet by jet."""
    if len(parts) == 1:
        return parts[0]
    jets = np.concatenate([part.jets for part in parts])
    order = np.argsort(jets, kind="stable")
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return Particles(
        jets[order],
        np.concatenate([part.p4 for part in parts])[order],
        np.concatenate([part.extra for part in parts])[order],
        {name: _joined(parts, name)[order] for name in names},
    )


def _joined(parts: Sequence[Particles], name: str) -> Shaped[np.ndarray, " particles"]:
    """Return a column of all parts, 0 for particles that do not have it."""
    dtype = np.result_type(*(part.columns[name] for part in parts if name in part.columns))
    return np.concatenate(
        [
            part.columns[name].astype(dtype)
            if name in part.columns
            else np.zeros(len(part.jets), dtype)
            for part in parts
        ]
    )


def read_particles(
    particles: ParticleColumns,
    table: Branches,
    extra_names: Sequence[str],
    chosen: Chosen | None = None,
    jet_p4: Float64[np.ndarray, "jets 4"] | None = None,
    columns: Mapping[str, str] | None = None,
    kind: int | None = None,
) -> Particles:
    """Return particles without the slots that are padding, and without those of weight 0.

    Parameters
    ----------
    table
        The entries.
    extra_names
        Of ``Particles.extra``; a column that is not known of these particles is 0.
    chosen
        Those that are of jets; by default all, and every entry is a jet.
    jet_p4
        The momenta of the jets, which coordinates may be relative to.
    columns
        The branches of more columns, by their names.
    kind
        The number of their kind, which becomes a column, if there are several.

    Raises
    ------
    InputError
        If branches differ in length, or a PDG number is none.
    """
    slots = _Slots(particles, table, chosen, jet_p4)
    more = {
        name: table.typed_of_particles(branch, slots.rows)
        for name, branch in (columns or {}).items()
    }
    if kind is not None:
        more[KIND_COLUMN] = np.full(len(slots.jets), kind, dtype=KIND_TYPE)
    return Particles(slots.jets, slots.momenta(), slots.extra(extra_names), more)


class _Slots:
    """The particles of some jets, without the slots that are padding."""

    def __init__(
        self,
        particles: ParticleColumns,
        table: Branches,
        chosen: Chosen | None,
        jet_p4: Float64[np.ndarray, "jets 4"] | None,
    ) -> None:
        self.particles = particles
        self.relative = particles.relative
        self.jet_p4 = jet_p4
        self.table = table
        rows = slice(None) if chosen is None else chosen.rows
        if chosen is None:
            entries = np.repeat(np.arange(len(table.lengths)), table.lengths)
            chosen = Chosen(np.arange(len(entries)), entries)
        real = self._real(rows, len(chosen.rows))
        self.weights: Float64[np.ndarray, " particles"] | None = None
        if particles.weight is not None:
            weights = table.of_particles(particles.weight, rows)
            real &= weights != 0
            self.weights = weights[real]
        if not real.all():
            chosen = chosen.take(real)
        # Of all particles in their order, slices are copied several times faster.
        whole = len(chosen.rows) == len(real) == table.offsets[-1] and _is_in_order(chosen.rows)
        self.rows: Int64[np.ndarray, " particles"] | slice = slice(None) if whole else chosen.rows
        self.stored_rows = chosen.rows
        self.jets = chosen.jets

    def _real(
        self, rows: Int64[np.ndarray, " chosen"] | slice, number: int
    ) -> Bool[np.ndarray, " chosen"]:
        """Return which of some slots hold a particle: of those of jets alone, often a few."""
        particles, table = self.particles, self.table
        real = np.ones(number, dtype=bool)
        if particles.count is not None:
            rank = np.arange(table.offsets[-1]) - np.repeat(table.offsets[:-1], table.lengths)
            real &= (rank < np.repeat(table.of_jets(particles.count), table.lengths))[rows]
        if particles.mask is not None:
            real &= table.typed_of_particles(particles.mask, rows) != 0
        if particles.mask is None and particles.count is None:
            # The logarithm of 1 is 0: then angles of 0 say what is padding.
            logarithms = self.relative is not None and self.relative.has_logarithms
            names = MOMENTUM if logarithms else _IN_GEV
            values = [getattr(particles, name) for name in names]
            branches = [value for value in values if isinstance(value, str)]
            if branches:
                held = [table.typed_of_particles(branch, rows) != 0 for branch in branches]
                real &= np.any(held, axis=0)
        return real

    def column(self, name: str) -> Float64[np.ndarray, " particles"]:
        """Return what an option names, in GeV and mm."""
        source = getattr(self.particles, name)
        values: np.ndarray = (
            self.table.of_particles(source, self.rows)
            if isinstance(source, str)
            else np.full(len(self.jets), float(source))
        )
        if name in _IN_GEV and getattr(self.relative, name, None) is None:
            values = values * in_gev(self.particles.unit)
        if name in _IN_MM:
            values = values * in_mm(self.particles.length_unit)
        return values

    def momenta(self) -> Float64[np.ndarray, "particles 4"]:
        """Return px, py, pz and E in GeV."""
        if not self.particles.has_momentum:
            return np.zeros((len(self.jets), 4))
        names = [name for name in MOMENTUM if self.particles.has(name)]
        columns = {name: self.column(name) for name in names}
        if self.relative is not None:
            unit = in_gev(self.particles.unit)
            columns = to_absolute(columns, self.relative, unit, self.jet_p4, self.jets)
        elif "eta" in columns:
            at_rest = (np.abs(columns["eta"]) > _NOWHERE) & (columns["pt"] == 0)
            columns["eta"] = np.where(at_rest, 0.0, columns["eta"])
        if "ctg_theta" in columns:
            columns["pz"] = columns["pt"] * columns.pop("ctg_theta")
        if "pt" in columns:
            columns["px"], columns["py"] = transverse(columns.pop("pt"), columns.pop("phi"))
        if "energy" not in columns and "mass" not in columns:
            columns["mass"] = self._identities[0]
        p4 = four_momenta(**columns)
        return p4 if self.weights is None else p4 * self.weights[:, None]

    def extra(self, names: Sequence[str]) -> Float[np.ndarray, "particles extras"]:
        """Return these columns, 0 where one is not known."""
        known = self.particles.extra_names
        extra = np.zeros((len(self.jets), len(names)), dtype=np.float32)
        for column, name in enumerate(names):
            if self.particles.has(name):
                with np.errstate(over="ignore"):
                    extra[:, column] = self.column(name)
            elif name in known:
                extra[:, column] = self._identities[1][:, IDENTITY_NAMES.index(name)]
        return extra

    @cached_property
    def _identities(
        self,
    ) -> tuple[Float64[np.ndarray, " particles"], Float[np.ndarray, "particles 6"]]:
        def name(particle: int) -> str:
            row = self.stored_rows[particle]
            entry = int(np.searchsorted(self.table.offsets, row, side="right")) - 1
            return f"{self.table.path}: a particle of {self.table.name_of(entry)}"

        return identify(self.column("pdg_id"), name, self.particles.pdg_map)


def _is_in_order(rows: Int64[np.ndarray, " particles"]) -> bool:
    return bool((np.diff(rows) == 1).all())


def read_jet_momenta(jet: JetColumns, table: Branches) -> Float64[np.ndarray, "jets 4"]:
    """Return the jets' own momenta, (px, py, pz, E) in GeV.

    Raises
    ------
    InputError
        If a branch does not hold one number a jet.
    """
    unit = in_gev(jet.unit)
    columns: dict[str, Float64[np.ndarray, " jets"]] = {}
    for name in MOMENTUM:
        source = getattr(jet, name, None)
        if source is None:
            continue
        values = (
            table.of_jets(source)
            if isinstance(source, str)
            else np.full(table.num_jets, float(source))
        )
        columns[name] = values * unit if name in _IN_GEV else values
    if "pt" in columns:
        columns["px"], columns["py"] = transverse(columns.pop("pt"), columns.pop("phi"))
    return four_momenta(**columns)
