"""JetClass's layout: its branches, whichever file format holds them, to ``JetArrays``.

One jagged branch a particle quantity (``part_px``), one flat branch a jet quantity (``jet_pt``) or
label (``label_QCD``). Momenta and energies are in GeV, impact parameters in mm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt8

from parttag.data.readers.particles import eta_phi, falling_pt, jet_medians, jet_sums, offsets_of
from parttag.errors import InputError
from parttag.jets import JetArrays

_MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
_ANGLES = ("part_deta", "part_dphi")
_JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
_EXTRAS = {
    "charge": "part_charge",
    "is_charged_hadron": "part_isChargedHadron",
    "is_neutral_hadron": "part_isNeutralHadron",
    "is_photon": "part_isPhoton",
    "is_electron": "part_isElectron",
    "is_muon": "part_isMuon",
    "d0": "part_d0val",
    "d0_error": "part_d0err",
    "dz": "part_dzval",
    "dz_error": "part_dzerr",
}


def require_branches(names: Iterable[str], available: Iterable[str], path: Path) -> None:
    """Check that a file has these branches.

    Raises
    ------
    InputError
        If one is missing; the message names it and lists what is there.
    """
    there = list(available)
    for name in names:
        if name not in there:
            raise InputError(f"{path} has no branch {name}; it has {', '.join(there) or 'none'}")


def branches_to_read(available: Iterable[str], path: Path) -> list[str]:
    """Return the branches that ``to_jets`` uses, of those that the file has.

    Raises
    ------
    InputError
        If a component of the particles' momenta is missing.
    """
    there = list(available)
    require_branches(_MOMENTUM, there, path)
    used = {*_MOMENTUM, *_ANGLES, *_JET, *_EXTRAS.values()}
    return [name for name in there if name in used or name.startswith("label_")]


def to_jets(branches: Mapping[str, ak.Array], path: Path, first_row: int) -> JetArrays:
    """Return the jets of these branches, which hold the file's rows from ``first_row`` on.

    The jets' momenta are the four ``jet_*`` branches if all are there, else the sums of the
    particles. The axis is what ``part_deta`` and ``part_dphi`` are relative to, if both are there,
    else that of the jet's momentum.

    Raises
    ------
    InputError
        If a branch is not as the layout has it: lists of particles that differ in length between
        two branches, one number a jet instead of a list or the reverse, or a label that is not
        0 or 1.
    """
    columns = _Columns(branches, path, first_row)
    label_names = tuple(name for name in branches if name.startswith("label_"))
    extra_names = tuple(name for name, branch in _EXTRAS.items() if branch in branches)
    # Numbers beyond single precision become infinite, which makes their jet a bad one: no warning.
    with np.errstate(over="ignore", invalid="ignore"):
        p4 = np.stack([columns.of_particles(name) for name in _MOMENTUM], axis=1)
        jet_p4 = _jet_momenta(columns, p4)
        extra = np.empty((len(p4), len(extra_names)), dtype=np.float32)
        for column, name in enumerate(extra_names):
            extra[:, column] = columns.of_particles(_EXTRAS[name])
        order = falling_pt(p4, columns.offsets)
        return JetArrays(
            p4=p4.astype(np.float32)[order],
            extra=extra[order],
            extra_names=extra_names,
            offsets=columns.offsets,
            jet_p4=jet_p4.astype(np.float32),
            jet_axis=_jet_axes(columns, p4, jet_p4).astype(np.float32),
            labels=columns.labels(label_names),
            label_names=label_names,
            jet_weights=np.ones(len(jet_p4), dtype=np.float32),
            index=first_row + np.arange(len(jet_p4), dtype=np.int64),
            sources=(str(path),),
        )


@dataclass(frozen=True)
class _Columns:
    """The branches as NumPy columns; knows what to say where one is not as the layout has it."""

    branches: Mapping[str, ak.Array]
    path: Path
    first_row: int

    def has(self, names: Iterable[str]) -> bool:
        return all(name in self.branches for name in names)

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " jets"]:
        """Number of particles of each jet, by the first branch of their momenta."""
        return self._list_lengths(_MOMENTUM[0])

    @cached_property
    def offsets(self) -> Int64[np.ndarray, " jets_and_one"]:
        return offsets_of(self.lengths)

    def of_particles(self, name: str) -> Float64[np.ndarray, " particles"]:
        """Return a jagged branch, flattened."""
        lengths = self._list_lengths(name)
        if not np.array_equal(lengths, self.lengths):
            jet = int(np.flatnonzero(lengths != self.lengths)[0])
            raise InputError(
                f"{self.path}: {_MOMENTUM[0]} and {name} differ in length "
                f"({self.lengths[jet]} and {lengths[jet]} particles in jet "
                f"{self.first_row + jet}): write both for the same particles"
            )
        return self._numbers(ak.flatten(self.branches[name]), name).astype(np.float64)

    def of_jets(self, name: str) -> Float64[np.ndarray, " jets"]:
        """Return a flat branch."""
        if self.branches[name].ndim != 1:
            raise InputError(f"{self.path}: {name} must hold one number a jet, not a list")
        return self._numbers(self.branches[name], name).astype(np.float64)

    def labels(self, names: tuple[str, ...]) -> UInt8[np.ndarray, "jets labels"]:
        """Return the label branches as columns of zeros and ones."""
        labels = np.empty((len(self.lengths), len(names)), dtype=np.uint8)
        for column, name in enumerate(names):
            values = self.of_jets(name)
            wrong = np.flatnonzero((values != 0) & (values != 1))
            if len(wrong):
                raise InputError(
                    f"{self.path}: {name} must be 0 or 1, but is {values[wrong[0]]:g} for jet "
                    f"{self.first_row + wrong[0]}"
                )
            labels[:, column] = values
        return labels

    def _list_lengths(self, name: str) -> Int64[np.ndarray, " jets"]:
        if self.branches[name].ndim != 2:
            raise InputError(f"{self.path}: {name} must hold a list of numbers, one a particle")
        lengths: np.ndarray = ak.to_numpy(ak.num(self.branches[name]))
        return lengths.astype(np.int64)

    def _numbers(self, array: ak.Array, name: str) -> Shaped[np.ndarray, " values"]:
        values: np.ndarray = ak.to_numpy(array)
        if values.dtype.kind not in "bfiu":
            raise InputError(f"{self.path}: {name} must hold numbers, not {values.dtype}")
        return values


def _jet_momenta(
    columns: _Columns, p4: Float64[np.ndarray, "particles 4"]
) -> Float64[np.ndarray, "jets 4"]:
    if not columns.has(_JET):
        return jet_sums(p4, columns.offsets)
    pt, eta, phi, energy = (columns.of_jets(name) for name in _JET)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)


def _jet_axes(
    columns: _Columns,
    p4: Float64[np.ndarray, "particles 4"],
    jet_p4: Float64[np.ndarray, "jets 4"],
) -> Float64[np.ndarray, "jets 2"]:
    """Return η and φ of each jet's axis.

    What is stored is Δη = ±(η − η_axis), with the sign of the jet's η, and Δφ = φ − φ_axis. All
    particles of a jet give the same axis but for rounding; the median ignores a broken one.
    """
    jet_eta, jet_phi = eta_phi(jet_p4)
    if not columns.has(_ANGLES):
        return np.stack([jet_eta, jet_phi], axis=1)
    eta, phi = eta_phi(p4)
    delta_eta, delta_phi = (columns.of_particles(name) for name in _ANGLES)
    sign = np.repeat(np.where(jet_p4[:, 2] < 0, -1.0, 1.0), columns.lengths)
    # Azimuths near ±π have no median: take that of their differences to the jet's.
    turn = _wrap(phi - delta_phi - np.repeat(jet_phi, columns.lengths))
    axis_eta = jet_medians(eta - sign * delta_eta, columns.offsets)
    axis_phi = _wrap(jet_phi + jet_medians(turn, columns.offsets))
    return np.stack([axis_eta, axis_phi], axis=1)


def _wrap(angle: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    return (angle + np.pi) % (2 * np.pi) - np.pi
