"""Jets from Awkward Arrays, as vector and coffea hold them.

Coordinates have the names that vector gives them. ``JetArrays.to_awkward`` is the way back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import awkward as ak
import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.kinds import KIND_COLUMN, Kinds, is_kind
from parttag.jets.kinematics import four_momenta, transverse
from parttag.jets.packing import offsets_of
from parttag.jets.summary import listed

_COORDINATES = {
    "px": ("px", "x"),
    "py": ("py", "y"),
    "pt": ("pt", "rho"),
    "phi": ("phi",),
    "pz": ("pz", "z"),
    "eta": ("eta",),
    "theta": ("theta",),
    "energy": ("E", "e", "energy", "t"),
    "mass": ("mass", "M", "m", "tau"),
}
_CHOICES = (
    (("px", "py"), ("pt", "phi")),
    (("pz",), ("eta",), ("theta",)),
    (("energy",), ("mass",)),
)
_ALIASES = {name for aliases in _COORDINATES.values() for name in aliases}
_SOURCE = "awkward array"

Columns: TypeAlias = Mapping[str, object] | ak.Array


def from_awkward(
    array: ak.Array | Iterable[object] | Mapping[str, ak.Array],
    labels: Columns | None = None,
    *,
    jets: ak.Array | None = None,
    extras: Sequence[str] | None = None,
    jet_weights: object = None,
) -> JetArrays:
    """Return the jets whose particles are the records of an array.

    Momenta become single precision, the particles of a jet are put in order of falling pT.

    Parameters
    ----------
    array
        Jets × particles: records with px, py or pt, phi; with pz or eta or theta; and with E or
        mass (or x, y, z, rho, e, energy, t, M, m, tau, as vector has them). Of coordinates that say
        the same, those named first here are taken. Or what ``JetArrays.to_awkward`` returns: its
        labels, jets, axes and weights are those of the jets, unless others are given. Or such
        arrays of several kinds of particles, by their names (``{"charged": …, "vertices": …}``);
        those of a kind may be without any coordinates.
    labels
        What the jets are: columns of 0 and 1, by their names (``{"label_top": is_top}``).
    jets
        The jets' own momenta, records as those of the particles; by default the sums of those.
    extras
        Fields of the particles to keep as columns; by default all that are no coordinates.
    jet_weights
        By default 1.

    Raises
    ------
    InputError
        If the array is not as above, a coordinate is missing, a value is missing or no number, a
        label is not 0 or 1, or something has not one entry a jet.

    Examples
    --------
    >>> array = ak.Array([[{"pt": 2.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, "d0": 0.1}], []])
    >>> jets = from_awkward(array, labels={"label_QCD": [1, 1]})
    >>> jets
    JetArrays: 2 jets, 1 particles | extra: d0 | labels: label_QCD 2
    >>> jets.p4.tolist()
    [[2.0, 0.0, 0.0, 2.0]]
    """
    if isinstance(array, Mapping):
        own, axis = _of_kinds(array, extras), None
    else:
        array, labels, jets, jet_weights, axis = _unpacked(array, labels, jets, jet_weights)
        own = _of_array(array, extras)
    columns = _label_columns(labels, len(own.lengths))
    num_jets = len(own.lengths)
    return pack_jets(
        own.p4,
        offsets_of(own.lengths),
        extra=own.extra,
        extra_names=own.names,
        labels=np.stack([*columns.values()], axis=1) if columns else _no_labels(num_jets),
        label_names=tuple(columns),
        path=_SOURCE,
        first_row=0,
        jet_p4=None if jets is None else _momenta(_jet_columns(jets, num_jets), "jets"),
        jet_axis=None if axis is None else _axes(axis, num_jets),
        jet_weights=None if jet_weights is None else _of_jets(jet_weights, "weights", num_jets),
        columns=None if own.kind is None else {KIND_COLUMN: own.kind},
        kinds=own.kinds,
    )


class _Particles(NamedTuple):
    """Particles of jets, one jet's after the other's."""

    lengths: Int64[np.ndarray, " jets"]
    p4: Float64[np.ndarray, "particles 4"]
    extra: Float32[np.ndarray, "particles extras"]
    names: tuple[str, ...]
    kind: UInt8[np.ndarray, " particles"] | None = None
    kinds: Kinds = ()


def _unpacked(
    given: object, labels: Columns | None, jets: ak.Array | None, jet_weights: object
) -> tuple[ak.Array, Columns | None, ak.Array | None, object, ak.Array | None]:
    """Return particles, labels, jets, weights and axes: those given, or those that came along."""
    array = _as_array(given)
    if array.ndim != 1 or "particles" not in array.fields:
        return array, labels, jets, jet_weights, None
    there = {name: array[name] for name in array.fields}
    labels = there.get("labels") if labels is None else labels
    jet_weights = there.get("weight") if jet_weights is None else jet_weights
    axis = None
    if jets is None and "jet" in there:
        jets, axis = there["jet"], there.get("axis")
    return there["particles"], labels, jets, jet_weights, axis


def _of_array(
    array: ak.Array, extras: Sequence[str] | None, *, may_lack_momenta: bool = False
) -> _Particles:
    lengths = _lengths(array)
    particles = {name: _values(array[name], name) for name in array.fields}
    names = _extras(particles, extras)
    extra = np.zeros((int(lengths.sum()), len(names)), dtype=np.float32)
    with np.errstate(over="ignore"):  # beyond single precision: infinite
        for column, name in enumerate(names):
            extra[:, column] = particles[name]
    if may_lack_momenta and not particles.keys() & _ALIASES:
        return _Particles(lengths, np.zeros((len(extra), 4)), extra, names, kinds=(("", False),))
    return _Particles(lengths, _momenta(particles, "particles"), extra, names)


def _of_kinds(arrays: Mapping[str, object], extras: Sequence[str] | None) -> _Particles:
    """Return the particles of all kinds, jet by jet; a column that one of them lacks is 0."""
    parts: list[_Particles] = []
    for name, given in arrays.items():
        if not is_kind(name):
            raise InputError(f"{name!r} cannot be the name of a kind: take letters, digits and _")
        array = _as_array(given)
        chosen = None if extras is None else [n for n in extras if n in array.fields]
        parts.append(_of_array(array, chosen, may_lack_momenta=True))
    if not parts or any(len(part.lengths) != len(parts[0].lengths) for part in parts):
        raise InputError("arrays of kinds must have the same jets, one or more kinds of them")
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    jet = np.concatenate([np.repeat(np.arange(len(p.lengths)), p.lengths) for p in parts])
    order = np.argsort(jet, kind="stable")
    extra = np.zeros((len(jet), len(names)), dtype=np.float32)
    kind = np.concatenate([np.full(len(p.p4), n, np.uint8) for n, p in enumerate(parts)])
    for number, part in enumerate(parts):
        extra[np.ix_(kind == number, [names.index(name) for name in part.names])] = part.extra
    return _Particles(
        lengths=np.sum([part.lengths for part in parts], axis=0),
        p4=np.concatenate([part.p4 for part in parts])[order],
        extra=extra[order],
        names=names,
        kind=kind[order],
        kinds=tuple((name, not p.kinds) for name, p in zip(arrays, parts, strict=True)),
    )


def _as_array(values: object) -> ak.Array:
    if isinstance(values, ak.Array):
        return values
    try:
        return ak.Array(values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{type(values).__name__} is no Awkward Array of jets and their particles; give one "
            "(of a lazy collection, what its compute() returns)"
        ) from error


def _lengths(array: ak.Array) -> Shaped[np.ndarray, " jets"]:
    if array.ndim != 2 or not array.fields:
        raise InputError(
            f"an array of type {array.type.content} is no jets × particles of records with "
            "momenta: zip the particles' columns with ak.zip"
        )
    if ak.any(ak.is_none(array, axis=0)):
        raise InputError("the array has missing jets (None): leave them out with ak.drop_none")
    lengths: np.ndarray = ak.to_numpy(ak.num(array)).astype(np.int64)
    return lengths


def _values(column: ak.Array, name: str) -> Shaped[np.ndarray, " particles"] | None:
    """Return the values of all particles; none where they are not one number each."""
    return _numbers(ak.flatten(column), name) if column.ndim == 2 and not column.fields else None


def _numbers(values: ak.Array, name: str) -> Shaped[np.ndarray, " rows"] | None:
    try:
        numbers = ak.to_numpy(values)
    except ValueError:
        return None
    if np.ma.is_masked(numbers):
        raise InputError(
            f"field {name} has missing values (None): fill them with ak.fill_none, or leave such "
            "particles out with ak.drop_none"
        )
    numbers = np.asarray(numbers)
    return numbers if numbers.dtype.kind in "bfiu" else None


def _extras(particles: Mapping[str, object], chosen: Sequence[str] | None) -> tuple[str, ...]:
    names = [n for n in particles if n not in _ALIASES] if chosen is None else list(chosen)
    for name in names:
        if name not in particles:
            raise InputError(
                f"the particles have no field {name}; they have {listed(list(particles))}"
            )
        if particles[name] is None:
            raise InputError(
                f"field {name} does not hold one number a particle: name the fields to keep in "
                "extras"
            )
    return tuple(names)


def _momenta(
    columns: Mapping[str, Shaped[np.ndarray, " rows"] | None], whose: str
) -> Float64[np.ndarray, "rows 4"]:
    """Return px, py, pz and E from the coordinates that there are."""
    found: dict[str, Float64[np.ndarray, " rows"]] = {}
    for meaning, aliases in _COORDINATES.items():
        names = [name for name in aliases if name in columns]
        if len(names) > 1:
            raise InputError(
                f"the {whose} have {' and '.join(names)}, which are the same: keep one"
            )
        for name in names:
            values = columns[name]
            if values is None:
                raise InputError(f"field {name} of the {whose} does not hold one number each")
            found[meaning] = values.astype(np.float64)
    used = [_first_complete(choice, found, columns, whose) for choice in _CHOICES]
    parts = {name: found[name] for names in used for name in names}
    if "pt" in parts:
        parts["px"], parts["py"] = transverse(parts.pop("pt"), parts.pop("phi"))
    if "theta" in parts:
        with np.errstate(divide="ignore", invalid="ignore"):
            parts["pz"] = np.hypot(parts["px"], parts["py"]) / np.tan(parts.pop("theta"))
    return four_momenta(**parts)


def _first_complete(
    choice: tuple[tuple[str, ...], ...],
    found: Mapping[str, object],
    columns: Mapping[str, object],
    whose: str,
) -> tuple[str, ...]:
    for names in choice:
        if all(name in found for name in names):
            return names
    wanted = " or ".join(", ".join(names) for names in choice)
    raise InputError(f"the {whose} need {wanted}; they have {listed(list(columns))}")


def _label_columns(labels: Columns | None, num_jets: int) -> dict[str, UInt8[np.ndarray, " jets"]]:
    if labels is None:
        return {}
    names: list[str] = labels.fields if isinstance(labels, ak.Array) else list(labels)
    columns = {}
    for name in names:
        values = _of_jets(labels[name], f"label {name}", num_jets)
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if len(wrong):
            raise InputError(
                f"label {name} must be 0 or 1, but is {values[wrong[0]]:g} for jet {wrong[0]}"
            )
        columns[name] = values.astype(np.uint8)
    return columns


def _no_labels(num_jets: int) -> UInt8[np.ndarray, "jets 0"]:
    return np.zeros((num_jets, 0), dtype=np.uint8)


def _jet_columns(jets: ak.Array, num_jets: int) -> dict[str, Float64[np.ndarray, " jets"]]:
    return {
        name: _of_jets(jets[name], f"{name} of the jets", num_jets)
        for name in jets.fields
        if name in _ALIASES
    }


def _axes(axis: ak.Array, num_jets: int) -> Float64[np.ndarray, "jets 2"]:
    columns = [_of_jets(axis[name], f"{name} of the axes", num_jets) for name in ("eta", "phi")]
    return np.stack(columns, axis=1)


def _of_jets(values: object, name: str, num_jets: int) -> Float64[np.ndarray, " jets"]:
    array = _as_array(values)
    numbers = _numbers(array, name) if array.ndim == 1 and not array.fields else None
    if numbers is None or len(numbers) != num_jets:
        raise InputError(f"{name} must be one number for each of the {num_jets} jets")
    return numbers.astype(np.float64)
