"""Jets from Awkward Arrays, as vector and coffea hold them.

Coordinates have the names that vector gives them. ``JetArrays.to_awkward`` is the way back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import awkward as ak
import numpy as np
from jaxtyping import Float64, Shaped, UInt8

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, pack_jets
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
_SOURCE = "awkward array"

Columns: TypeAlias = Mapping[str, object] | ak.Array


def from_awkward(
    array: ak.Array | Iterable[object],
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
        labels, jets, axes and weights are those of the jets, unless others are given.
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
    array = _as_array(array)
    axis = None
    if array.ndim == 1 and "particles" in array.fields:
        whole, array = array, array["particles"]
        there = {name: whole[name] for name in whole.fields}
        labels = there.get("labels") if labels is None else labels
        jet_weights = there.get("weight") if jet_weights is None else jet_weights
        if jets is None and "jet" in there:
            jets, axis = there["jet"], there.get("axis")
    lengths = _lengths(array)
    particles = {name: _values(array[name], name) for name in array.fields}
    names = _extras(particles, extras)
    columns = _label_columns(labels, len(lengths))
    extra = np.zeros((int(lengths.sum()), len(names)), dtype=np.float32)
    with np.errstate(over="ignore"):  # beyond single precision: infinite
        for column, name in enumerate(names):
            extra[:, column] = particles[name]
    return pack_jets(
        _momenta(particles, "particles"),
        offsets_of(lengths),
        extra=extra,
        extra_names=names,
        labels=np.stack([*columns.values()], axis=1) if columns else _no_labels(len(lengths)),
        label_names=tuple(columns),
        path=_SOURCE,
        first_row=0,
        jet_p4=None if jets is None else _momenta(_jet_columns(jets, len(lengths)), "jets"),
        jet_axis=None if axis is None else _axes(axis, len(lengths)),
        jet_weights=None if jet_weights is None else _of_jets(jet_weights, "weights", len(lengths)),
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
    coordinates = {name for aliases in _COORDINATES.values() for name in aliases}
    names = [n for n in particles if n not in coordinates] if chosen is None else list(chosen)
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
    coordinates = {name for aliases in _COORDINATES.values() for name in aliases}
    return {
        name: _of_jets(jets[name], f"{name} of the jets", num_jets)
        for name in jets.fields
        if name in coordinates
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
