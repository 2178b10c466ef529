"""JetClass's layout: its branches, whichever file format holds them, to ``JetArrays``.

One jagged branch a particle quantity (``part_px``), one flat branch a jet quantity (``jet_pt``) or
label (``label_QCD``). Momenta and energies are in GeV, impact parameters in mm. Slots without
momentum and energy, with which many files fill arrays of fixed size, are left out.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import awkward as ak
import numpy as np
from jaxtyping import Float64, Int64

from parttag.data.readers.branches import Branches, in_short, require_branches
from parttag.data.readers.friend_columns import FriendColumns
from parttag.data.readers.layout import MAX_PARTICLES, Schema, TreeNames
from parttag.errors import InputError, option
from parttag.jets import kinematics
from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.packing import jet_medians, jet_sums, offsets_of, padding

_MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
_ANGLES = ("part_deta", "part_dphi")
_JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
EXTRA_BRANCHES = {
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
"""The branch of each particle column besides the four-momentum."""

# The axis of a jet is the median of what so many particles say.
_AXIS_PARTICLES = 9

tree: TreeNames = None
"""Any name of the TTree or RNTuple will do."""

friends: tuple[FriendColumns, ...] = ()
"""Nothing is added from other trees."""

leading: str = _MOMENTUM[0]
"""All lists of particles are as long as this one."""

max_particles: int = MAX_PARTICLES
"""Of a jet; the set itself has 128 at most."""


def branches_to_read(available: Iterable[str], path: Path) -> list[str]:
    """Return the branches that ``to_jets`` uses, of those that the file has.

    Raises
    ------
    InputError
        If a component of the particles' momenta is missing.
    """
    there = list(available)
    if there and not any(name in there for name in _MOMENTUM):
        raise InputError(
            f"{path} has no branch {_MOMENTUM[0]}; "
            f"{in_short(_MOMENTUM[0], there)}: say what they mean "
            f"in data.columns ({option('columns', '')})"
        )
    require_branches(_MOMENTUM, there, path)
    used = {*_MOMENTUM, *_ANGLES, *_JET, *EXTRA_BRANCHES.values()}
    return [name for name in there if name in used or name.startswith("label_")]


def schema(available: Iterable[str], path: Path) -> Schema:
    """Return labels, particle columns and jet branches of those that the file has.

    Raises
    ------
    InputError
        If a component of the particles' momenta is missing.
    """
    there = branches_to_read(available, path)
    used_together = [names for names in (_JET, _ANGLES) if set(names) <= set(there)]
    return Schema(
        label_names=tuple(name for name in there if name.startswith("label_")),
        extra_names=tuple(name for name, branch in EXTRA_BRANCHES.items() if branch in there),
        other=frozenset(name for names in used_together for name in names),
    )


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
    columns = Branches(branches, path, first_row, leading, max_particles)
    found = schema(branches, path)
    with np.errstate(over="ignore", invalid="ignore"):
        p4 = np.stack([columns.of_particles(name) for name in _MOMENTUM], axis=1)
        empty = padding(p4)
        if empty.any():  # before axes are found, which look at the first particles
            there = [n for n in (*_MOMENTUM, *_ANGLES, *EXTRA_BRANCHES.values()) if n in branches]
            columns, p4 = columns.without(empty, there), p4[~empty]
        jet_p4 = _jet_momenta(columns, p4)
        extra = np.empty((len(p4), len(found.extra_names)), dtype=np.float32)
        for column, name in enumerate(found.extra_names):
            extra[:, column] = columns.of_particles(EXTRA_BRANCHES[name])
        return pack_jets(
            p4,
            columns.offsets,
            extra=extra,
            extra_names=found.extra_names,
            labels=columns.one_hot(found.label_names),
            label_names=found.label_names,
            path=path,
            first_row=first_row,
            jet_p4=jet_p4,
            jet_axis=_jet_axes(columns, p4, jet_p4),
        )


def _jet_momenta(
    columns: Branches, p4: Float64[np.ndarray, "particles 4"]
) -> Float64[np.ndarray, "jets 4"]:
    if not columns.has(_JET):
        return jet_sums(p4, columns.offsets)
    pt, eta, phi, energy = (columns.of_jets(name) for name in _JET)
    px, py = kinematics.transverse(pt, phi)
    return np.stack([px, py, pt * np.sinh(eta), energy], axis=1)


def _jet_axes(
    columns: Branches,
    p4: Float64[np.ndarray, "particles 4"],
    jet_p4: Float64[np.ndarray, "jets 4"],
) -> Float64[np.ndarray, "jets 2"]:
    """Return η and φ of each jet's axis.

    What is stored is Δη = ±(η − η_axis), with the sign of the jet's η, and Δφ = φ − φ_axis. All
    particles of a jet give the same axis but for rounding; the median of the first ones ignores a
    broken one.
    """
    jet_eta, jet_phi = kinematics.eta(jet_p4), kinematics.phi(jet_p4)
    if not columns.has(_ANGLES):
        return np.stack([jet_eta, jet_phi], axis=1)
    delta_eta, delta_phi = (columns.of_particles(name) for name in _ANGLES)
    some = _first_particles(columns.offsets)
    offsets = offsets_of(np.minimum(columns.lengths, _AXIS_PARTICLES))
    _, eta, phi = kinematics.pt_eta_phi(p4[some])
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    sign = np.where(jet_p4[:, 2] < 0, -1.0, 1.0)[jet]
    # Azimuths near ±π have no median: take that of their differences to the jet's.
    turn = kinematics.delta_phi(phi - delta_phi[some], jet_phi[jet])
    axis_eta = jet_medians(eta - sign * delta_eta[some], offsets)
    axis_phi = kinematics.wrap(jet_phi + jet_medians(turn, offsets))
    return np.stack([axis_eta, axis_phi], axis=1)


def _first_particles(offsets: Int64[np.ndarray, " jets_and_one"]) -> Int64[np.ndarray, " rows"]:
    """Return the rows of each jet's first ``_AXIS_PARTICLES`` particles."""
    lengths = np.minimum(np.diff(offsets), _AXIS_PARTICLES)
    own = offsets_of(lengths)
    return np.repeat(offsets[:-1] - own[:-1], lengths) + np.arange(own[-1])
