"""Jets in NumPy, as readers return them and stores hold them: ``JetArrays``. Needs no torch.

Particles are *packed*: those of all jets one after the other, without padding, jet ``b`` owning the
rows ``offsets[b]:offsets[b + 1]``. Within a jet, particles are in order of falling pT. A
four-momentum is (px, py, pz, E) in GeV. ``JetBatch`` is the same in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, Shaped, UInt8

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.columns import column_names, numpy_column, pack_columns
from parttag.jets.fields import JetFields, array_fields, rows_per
from parttag.jets.kinds import KIND_COLUMN, KindLimits, Kinds, MaxParticles
from parttag.jets.packing import falling_pt, jet_sums, offsets_of, padding, take_packed, without
from parttag.jets.summary import as_html, as_text, in_words, listed

if TYPE_CHECKING:
    import awkward as ak

EXTRA_NAMES = (
    "charge",
    "is_charged_hadron",
    "is_neutral_hadron",
    "is_photon",
    "is_electron",
    "is_muon",
    "d0",
    "d0_error",
    "dz",
    "dz_error",
)
"""The particle columns besides p4 that the published features use, by their names in ``extra``."""

# A jet's index packs where it came from into one integer: file number above, row below. The row of
# a jet of an event is the entry, with the jet's number, counted from 1, above it.
_ROW_BITS = 40
_ENTRY_BITS = 30
MAX_JETS_OF_EVENT = (1 << (_ROW_BITS - _ENTRY_BITS)) - 1
"""Jets that one entry of a file may hold."""


def make_index(file_number: int, rows: Int64[np.ndarray, " jets"]) -> Int64[np.ndarray, " jets"]:
    """Return the index of the given rows of the file that is number ``file_number`` of its set."""
    return (np.int64(file_number) << _ROW_BITS) | rows


def split_index(
    index: Int64[np.ndarray, " jets"],
) -> tuple[Int64[np.ndarray, " jets"], Int64[np.ndarray, " jets"]]:
    """Return file numbers and rows of an index."""
    return index >> _ROW_BITS, index & ((1 << _ROW_BITS) - 1)


def make_rows(
    entries: Int64[np.ndarray, " jets"], numbers: Int64[np.ndarray, " jets"]
) -> Int64[np.ndarray, " jets"]:
    """Return the rows, for ``make_index``, of jets by their entry and number there, from 0 on.

    Raises
    ------
    ValueError
        If an entry or a number is too large: there may be 2³⁰ entries of ``MAX_JETS_OF_EVENT``.
    """
    if entries.max(initial=0) >> _ENTRY_BITS or numbers.max(initial=0) >= MAX_JETS_OF_EVENT:
        raise ValueError(
            f"an index names {1 << _ENTRY_BITS:,} entries of {MAX_JETS_OF_EVENT:,} jets at most"
        )
    rows: np.ndarray = ((numbers + 1) << _ENTRY_BITS) | entries
    return rows


def split_rows(
    rows: Int64[np.ndarray, " jets"],
) -> tuple[Int64[np.ndarray, " jets"], Int64[np.ndarray, " jets"]]:
    """Return the entry of rows of ``split_index``, and the number of the jet there, from 0 on.

    The number is −1 where an entry is one jet.
    """
    number = (rows >> _ENTRY_BITS) - 1
    # A file of one jet an entry may have more rows than entries can have here; no file has.
    return rows & ((1 << _ENTRY_BITS) - 1), number


@dataclass(frozen=True, eq=False)
class JetArrays(JetFields[np.ndarray]):
    """Jagged jets in NumPy: what readers return and a JetStore holds.

    ``labels`` has one column a label branch of the file (1 where the jet carries it), named by
    ``label_names``; a configuration's classes turn it into one class index a jet. ``extra`` has one
    column for each of ``extra_names``: charge, particle-identity flags, and impact parameters with
    their errors in mm. ``jet_p4`` and ``jet_axis`` (η, φ) belong to the whole jet, before any
    truncation. ``index`` names source file and row
    (``split_index``, ``split_rows``); ``sources`` are the files it counts.

    Examples
    --------
    >>> import awkward as ak
    >>> from parttag.jets.awkward_arrays import from_awkward
    >>> particles = ak.Array([
    ...     [{"pt": 50.0, "eta": 0.1, "phi": 0.2, "mass": 0.14, "charge": 1.0},
    ...      {"pt": 70.0, "eta": 0.2, "phi": 0.1, "mass": 0.0, "charge": 0.0}],
    ...     [{"pt": 30.0, "eta": -1.0, "phi": 3.1, "mass": 0.14, "charge": -1.0}],
    ... ])
    >>> jets = from_awkward(particles, labels={"label_top": [1, 0]})
    >>> jets
    JetArrays: 2 jets, 3 particles | extra: charge | labels: label_top 1
    >>> jets.pt.round(1)
    array([119.9,  30. ])
    >>> jets["charge"]
    array([ 0.,  1., -1.], dtype=float32)
    >>> jets["label_top"]
    array([1, 0], dtype=uint8)
    >>> jets.to_awkward().particles.charge.tolist()
    [[0.0, 1.0], [-1.0]]
    """

    labels: UInt8[np.ndarray, "jets labels"] = field(metadata=rows_per("jet", "|u1", "label_names"))
    label_names: tuple[str, ...]
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        """Take arrays of no columns where none are given."""
        absent = [name for name in ("columns", "jet_columns") if getattr(self, name) is None]
        for name in absent:
            object.__setattr__(self, name, np.empty((0, 0), dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of particles of each jet."""
        return np.diff(self.offsets)

    @property
    def pt(self) -> Float64[np.ndarray, " jets"]:
        """The jets' transverse momenta in GeV; like the others, without meaning for a bad jet."""
        return self._of_jets(kinematics.pt)

    @property
    def eta(self) -> Float64[np.ndarray, " jets"]:
        """The jets' pseudorapidities."""
        return self._of_jets(kinematics.eta)

    @property
    def phi(self) -> Float64[np.ndarray, " jets"]:
        """The jets' azimuths in [−π, π]."""
        return self._of_jets(kinematics.phi)

    @property
    def mass(self) -> Float64[np.ndarray, " jets"]:
        """The jets' masses in GeV; 0 where rounding makes m² negative."""
        return self._of_jets(kinematics.mass)

    def _of_jets(self, quantity: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return quantity(self.jet_p4.astype(np.float64))

    @overload
    def __getitem__(self, name: str) -> np.ndarray: ...

    @overload
    def __getitem__(self, name: slice | np.ndarray) -> JetArrays: ...

    def __getitem__(self, name: str | slice | np.ndarray) -> np.ndarray | JetArrays:
        """Return a column by its name, or the jets of a slice, a mask or row numbers.

        A column is a view: of the particles, or a label or another column of the jets. Particles
        come in one row after the other, jet by jet; ``offsets`` says where each jet's begin, and
        ``to_awkward`` gives them jet by jet.

        Raises
        ------
        InputError
            If there is no such column.
        """
        if not isinstance(name, str):
            return self.take(np.arange(len(self))[name])
        if name in self.extra_names:
            return self.extra[:, self.extra_names.index(name)]
        if name in self.label_names:
            return self.labels[:, self.label_names.index(name)]
        if name in self.particle_column_names:
            return numpy_column(self.columns, self.column_types, name)
        if name in self.jet_column_names:
            return numpy_column(self.jet_columns, self.jet_column_types, name)
        there = self.extra_names + self.label_names
        there += self.particle_column_names + self.jet_column_names
        raise InputError(f"the jets have no column {name!r}; there are {listed(there)}")

    @property
    def particle_column_names(self) -> tuple[str, ...]:
        """The particle columns that a configuration named besides those of ``extra``."""
        return column_names(self.column_types)

    @property
    def jet_column_names(self) -> tuple[str, ...]:
        """The columns of the jets that a configuration named."""
        return column_names(self.jet_column_types)

    # By its ``__getitem__`` alone, Python would take it for a sequence of jets.
    __iter__ = None

    def __repr__(self) -> str:
        return as_text("JetArrays", self._parts())

    def _repr_html_(self) -> str:
        return as_html("JetArrays", self._parts())

    def _parts(self) -> dict[str, str]:
        counts = self.labels.sum(axis=0, dtype=np.int64).tolist()
        labels = [
            f"{name} {number:,}" for name, number in zip(self.label_names, counts, strict=True)
        ]
        more = (("columns", self.particle_column_names), ("jet columns", self.jet_column_names))
        return {
            "": f"{len(self):,} jets, {in_words(int(np.diff(self.offsets[[0, -1]])[0]))} particles",
            "extra": listed(self.extra_names),
            **{name: listed(names) for name, names in more if names},
            "labels": listed(labels),
        }

    def to_awkward(self) -> ak.Array:
        """Return a record a jet, its particles jagged, for Awkward Array, vector and coffea.

        ``particles`` have px, py, pz, E in GeV and the extra columns; ``jet`` is the jet's own
        four-momentum. Both are vector's ``Momentum4D``, with ``.pt``, ``.deltaR`` and so on.
        ``axis`` is what angles are relative to, ``labels`` has the label columns, ``weight`` is the
        jet's; ``columns`` are the jet's others, where there are any.
        """
        import awkward as ak  # in a third of a second, which others save
        from vector.backends.awkward import behavior

        def momenta(p4: np.ndarray, columns: dict[str, np.ndarray]) -> ak.Array:
            components = dict(zip(("px", "py", "pz", "E"), p4.T, strict=True))
            return ak.zip(components | columns, with_name="Momentum4D", behavior=behavior)

        names = (*self.extra_names, *self.particle_column_names)
        particles = momenta(self.p4, {name: self[name] for name in names})
        begin, end = int(self.offsets[0]), int(self.offsets[-1])
        fields = {
            "particles": ak.unflatten(particles[begin:end], self.lengths),
            "jet": momenta(self.jet_p4, {}),
            "axis": ak.zip(dict(zip(("eta", "phi"), self.jet_axis.T, strict=True))),
            "weight": self.jet_weights,
        }
        if self.label_names:
            columns = dict(zip(self.label_names, self.labels.T, strict=True))
            fields["labels"] = ak.zip(columns)
        if self.jet_column_types:
            fields["columns"] = ak.zip({name: self[name] for name in self.jet_column_names})
        return ak.zip(fields, depth_limit=1, behavior=behavior)

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: MaxParticles = None
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order; repeats are allowed.

        With ``max_particles`` only so many of a jet's hardest particles are taken; the quantities
        of the jet stay those of all.
        """
        if isinstance(max_particles, KindLimits):
            return self.take(rows)._within(max_particles)
        names = self.held(PER_PARTICLE)
        columns = [getattr(self, name) for name in names]
        offsets, taken = take_packed(columns, self.offsets, rows, max_particles)
        particles: dict[str, Any] = dict(zip(names, taken, strict=True))
        return replace(self, offsets=offsets, **particles, **self._per_jet(rows))

    def _within(self, limits: KindLimits) -> JetArrays:
        kind = self[KIND_COLUMN] if self.kinds else np.empty(0, np.uint8)
        keep = limits.keep(self.kinds, kind, self.lengths)
        particles: dict[str, Any] = {n: getattr(self, n)[keep] for n in self.held(PER_PARTICLE)}
        return replace(self, offsets=offsets_of(keep.astype(np.int64))[self.offsets], **particles)

    def span(self, start: int, stop: int) -> JetArrays:
        """Return jets ``start`` to ``stop`` as views: no particle is copied."""
        offsets = self.offsets[start : stop + 1]
        own = slice(int(offsets[0]), int(offsets[-1]))
        names = self.held(PER_PARTICLE)
        particles: dict[str, Any] = {name: getattr(self, name)[own] for name in names}
        jets = self._per_jet(slice(start, stop))
        return replace(self, offsets=offsets - offsets[0], **particles, **jets)

    def without_extras(self) -> JetArrays:
        """Return the jets without the particle columns besides the four-momentum, as views."""
        none: dict[str, Any] = {"extra_names": (), "column_types": (), "kinds": ()}
        return replace(self, extra=self.extra[:, :0], columns=self.columns[:, :0], **none)

    def _per_jet(self, rows: Int[np.ndarray, " chosen"] | slice) -> dict[str, Any]:
        return {name: getattr(self, name)[rows] for name in self.held(PER_JET)}


ARRAYS = array_fields(JetArrays)
"""What the rows of each array are, by the name of its field."""

PER_PARTICLE = tuple(name for name, rows in ARRAYS.items() if rows.per == "particle")
"""The fields that have one row a particle, of arrays and batches alike."""

PER_JET = tuple(name for name, rows in ARRAYS.items() if rows.per == "jet")
"""The fields that have one row a jet, besides the offsets."""


@runtime_checkable
class TakesJets(Protocol):
    """Whatever jets can be taken from by row."""

    def take(
        self, rows: Int[np.ndarray, " chosen"], max_particles: MaxParticles = None, /
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order."""
        ...


def concatenate(parts: Sequence[JetArrays]) -> JetArrays:
    """Return the jets of all parts, one after the other.

    The parts must agree in ``extra_names``, ``label_names``, ``sources`` and the types of the
    columns: a reader that makes parts from several files gives them all the same list of sources.

    Raises
    ------
    ValueError
        If there is no part, or two parts disagree in a name.
    """
    if not parts:
        raise ValueError("no jets to concatenate")
    head = parts[0]
    names = ("extra_names", "label_names", "sources", "column_types", "jet_column_types", "kinds")
    for name in names:
        if any(getattr(part, name) != getattr(head, name) for part in parts):
            raise ValueError(f"the parts disagree in {name}")
    if len(parts) == 1:
        return head
    lengths = np.concatenate([part.lengths for part in parts])
    return replace(head, offsets=offsets_of(lengths), **_joined(parts))


def take_from_parts(
    part: Callable[[int], TakesJets],
    starts: Int[np.ndarray, " parts_and_one"],
    rows: Int[np.ndarray, " chosen"],
    max_particles: MaxParticles = None,
) -> JetArrays:
    """Return the jets at ``rows`` of a set in several parts, in that order; repeats are allowed.

    Parameters
    ----------
    part
        Returns the part of a number; asked for those only that hold some of the rows.
    starts
        Number of the first jet of each part, and the number of all jets at the end.
    """
    part_of_row = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(part_of_row, kind="stable")
    numbers, begins = np.unique(part_of_row[order], return_index=True)
    if len(numbers) < 2:
        number = int(numbers[0]) if len(numbers) else 0
        return part(number).take(rows - starts[number], max_particles)
    # Gather part by part, then put the jets back into the order asked for.
    pieces = [
        part(int(number)).take(own - starts[number], max_particles)
        for number, own in zip(numbers, np.split(rows[order], begins[1:]), strict=True)
    ]
    return concatenate(pieces).take(np.argsort(order))


def _joined(parts: Sequence[JetArrays]) -> dict[str, Any]:
    names = parts[0].held((*PER_PARTICLE, *PER_JET))
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}


def pack_jets(
    p4: Float[np.ndarray, "particles 4"],
    offsets: Int64[np.ndarray, " jets_and_one"],
    *,
    extra: Float[np.ndarray, "particles extras"],
    extra_names: Sequence[str],
    labels: UInt8[np.ndarray, "jets labels"],
    label_names: Sequence[str],
    path: Path | str,
    first_row: int = 0,
    rows: Int64[np.ndarray, " jets"] | None = None,
    jet_p4: Float64[np.ndarray, "jets 4"] | None = None,
    jet_axis: Float64[np.ndarray, "jets 2"] | None = None,
    jet_weights: Float[np.ndarray, " jets"] | None = None,
    columns: Mapping[str, Shaped[np.ndarray, " particles"]] | None = None,
    jet_columns: Mapping[str, Shaped[np.ndarray, " jets"]] | None = None,
    kinds: Kinds = (),
) -> JetArrays:
    """Return the jets of these particles, put in order of falling pT, in single precision.

    Numbers beyond single precision become infinite, which makes their jet a bad one: no warning.
    Slots without momentum and energy are padding and left out, whatever the file calls them.

    Parameters
    ----------
    jet_p4
        The jets' own momenta; by default the sums of their particles.
    jet_axis
        η and φ that the particles' angles are relative to; by default those of ``jet_p4``.
    jet_weights
        By default 1.
    columns, jet_columns
        More columns of particles and jets, which keep their types.
    kinds
        The kinds of particles, if there are several; a column says of which each is. Those without
        four-momenta come last in their jet, and are no padding.
    path, first_row
        The file, or what else they come from, and the row of it that the first jet is.
    rows
        The row of each jet, if not one after the other; see ``make_rows``.
    """
    columns = dict(columns or {})
    empty = padding(p4)
    if kinds:
        empty &= np.array([has_momentum for _, has_momentum in kinds])[columns[KIND_COLUMN]]
    if empty.any():
        p4, extra, offsets = p4[~empty], extra[~empty], without(empty, offsets)
        columns = {name: values[~empty] for name, values in columns.items()}
    with np.errstate(over="ignore", invalid="ignore"):
        if jet_p4 is None:
            jet_p4 = jet_sums(p4, offsets)
        if jet_axis is None:
            jet_axis = np.stack([kinematics.eta(jet_p4), kinematics.phi(jet_p4)], axis=1)
        if jet_weights is None:
            jet_weights = np.ones(len(jet_p4))
        order = falling_pt(p4, offsets)
        ordered = {name: values[order] for name, values in columns.items()}
        packed, types = pack_columns(ordered, len(p4))
        of_jets, jet_types = pack_columns(jet_columns or {}, len(jet_p4))
        return JetArrays(
            p4=p4.astype(np.float32, copy=False)[order],
            extra=extra.astype(np.float32, copy=False)[order],
            extra_names=tuple(extra_names),
            offsets=offsets,
            jet_p4=jet_p4.astype(np.float32),
            jet_axis=jet_axis.astype(np.float32),
            labels=labels,
            label_names=tuple(label_names),
            jet_weights=jet_weights.astype(np.float32),
            index=first_row + np.arange(len(jet_p4), dtype=np.int64) if rows is None else rows,
            sources=(str(path),),
            columns=packed,
            column_types=types,
            jet_columns=of_jets,
            jet_column_types=jet_types,
            kinds=kinds,
        )
