"""Jets to ROOT and parquet files in JetClass's layout, which ``readers.jetclass`` reads back.

Branches are ``part_px`` to ``part_energy``, ``part_deta``, ``part_dphi``, ``jet_pt``, ``jet_eta``,
``jet_phi``, ``jet_energy``, ``jet_nparticles``, one for each label, and what else is known of the
particles and jets, and of other objects in them. Momenta are in GeV, impact parameters in mm;
floats have 32 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from jaxtyping import Bool, Float64, Int64, Shaped

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.clustered import Jets, Lists
from parttag.jets.kinematics import delta_phi, pt_eta_phi
from parttag.system.atomic_files import OutputFile, whole_file
from parttag.system.files import refuse_damaged
from parttag.system.root_files import new_root, open_root

Provenance = Mapping[str, Any]
"""What is said of where jets come from, as JSON has it."""

_TREE = "tree"
_PROVENANCE = "provenance"


@dataclass(frozen=True, eq=False)
class JetClassTable:
    """The columns of a file in JetClass's layout.

    Parameters
    ----------
    particles
        What is known of the particles (packed), by the name of the branch without ``part_``.
    jets
        What is known of the jets, and their labels, by branch.
    lengths
        Number of particles of each jet.
    lists
        Other objects of the jets, by what their branches begin with, as ``sv`` of ``sv_px``.
    """

    particles: Mapping[str, Shaped[np.ndarray, " particles"]]
    jets: Mapping[str, Shaped[np.ndarray, " jets"]]
    lengths: Int64[np.ndarray, " jets"]
    lists: Mapping[str, Lists] = field(default_factory=dict)

    @classmethod
    def of_jets(cls, jets: JetArrays) -> JetClassTable:
        """Return the table of jets as readers return them, bad ones too; weights are left out."""
        # Here, as the processes of a simulation start without the readers.
        from parttag.data.readers.jetclass import EXTRA_BRANCHES

        p4, jet_p4 = jets.p4.astype(np.float64), jets.jet_p4.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            axis = jets.jet_axis.astype(np.float64)
            extra = {
                EXTRA_BRANCHES[name].removeprefix("part_"): jets.extra[:, column]
                for column, name in enumerate(jets.extra_names)
            }
            labels = {name: jets.labels[:, i] == 1 for i, name in enumerate(jets.label_names)}
            return cls(
                particles=_particle_columns(p4, jets.lengths, jet_p4, axis, extra),
                jets=_jet_columns(jet_p4, jets.lengths, {}, labels),
                lengths=jets.lengths,
            )

    @classmethod
    def of_clustered(
        cls, jets: Jets, labels: Mapping[str, Bool[np.ndarray, " jets"]]
    ) -> JetClassTable:
        """Return the table of clustered jets with all their columns.

        Parameters
        ----------
        labels
            For each label branch, which of the jets carry it.
        """
        axis = np.stack(pt_eta_phi(jets.p4)[1:], axis=1)
        return cls(
            particles=_particle_columns(jets.particles, jets.lengths, jets.p4, axis, jets.columns),
            jets=_jet_columns(jets.p4, jets.lengths, jets.jet_columns, labels),
            lengths=jets.lengths,
            lists={
                name: Lists(own.offsets, {key: _short(one) for key, one in own.columns.items()})
                for name, own in jets.lists.items()
            },
        )

    def branches(self) -> dict[str, ak.Array]:
        """Return all branches by name, those of particles jagged."""
        of_lists = {
            f"{kind}_{name}": ak.unflatten(column, lengths)
            for kind, (columns, lengths) in self._kinds().items()
            for name, column in columns.items()
        }
        return {**of_lists, **{name: ak.Array(column) for name, column in self.jets.items()}}

    def sha256(self) -> str:
        """Return a hash of all columns: equal for equal jets, whenever they were written."""
        content = hashlib.sha256()
        for name, column in {**self.particles, **self.jets}.items():
            content.update(name.encode())
            content.update(column.tobytes())
        for name, own in self.lists.items():
            for key, column in {"": own.lengths, **own.columns}.items():
                content.update(f"{name}_{key}".encode())
                content.update(column.tobytes())
        return content.hexdigest()

    def records(self) -> dict[str, ak.Array]:
        """Return each kind of objects as lists of records, by what their branches begin with."""
        return {
            kind: ak.unflatten(ak.zip(dict(columns)), lengths)
            for kind, (columns, lengths) in self._kinds().items()
        }

    def _kinds(self) -> dict[str, tuple[Mapping[str, np.ndarray], Int64[np.ndarray, " jets"]]]:
        others = {name: (own.columns, own.lengths) for name, own in self.lists.items()}
        return {"part": (self.particles, self.lengths), **others}


def _particle_columns(
    p4: Float64[np.ndarray, "particles 4"],
    lengths: Int64[np.ndarray, " jets"],
    jet_p4: Float64[np.ndarray, "jets 4"],
    axis: Float64[np.ndarray, "jets 2"],
    others: Mapping[str, Shaped[np.ndarray, " particles"]],
) -> dict[str, np.ndarray]:
    """Return the columns of the particles; ``deta`` has the sign of the jet's η, as in JetClass."""
    _, jet_eta, _ = pt_eta_phi(jet_p4)
    _, eta, phi = pt_eta_phi(p4)
    jet = np.repeat(np.arange(len(lengths)), lengths)
    sign = np.where(jet_eta < 0, -1.0, 1.0)
    columns = {
        **dict(zip(("px", "py", "pz", "energy"), p4.T, strict=True)),
        "deta": (eta - axis[jet, 0]) * sign[jet],
        "dphi": delta_phi(phi, axis[jet, 1]),
        **others,
    }
    return {name: _short(column) for name, column in columns.items()}


def _short(column: Shaped[np.ndarray, " rows"]) -> Shaped[np.ndarray, " rows"]:
    """Return floats in 32 bits, and whole numbers in the type that they have."""
    return column if column.dtype.kind in "iu" else column.astype(np.float32)


def _jet_columns(
    p4: Float64[np.ndarray, "jets 4"],
    lengths: Int64[np.ndarray, " jets"],
    others: Mapping[str, Shaped[np.ndarray, " jets"]],
    labels: Mapping[str, Bool[np.ndarray, " jets"]],
) -> dict[str, np.ndarray]:
    pt, eta, phi = pt_eta_phi(p4)
    floats = {"jet_pt": pt, "jet_eta": eta, "jet_phi": phi, "jet_energy": p4[:, 3], **others}
    return {
        **{name: _short(column) for name, column in floats.items()},
        "jet_nparticles": lengths.astype(np.int32),
        **labels,
    }


# ------------------------------------------------------------------------------------------ files


def check_format(path: Path) -> None:
    """Refuse a file whose name does not end as one of the formats.

    Raises
    ------
    InputError
        If it does not.
    """
    if path.suffix not in _WRITERS:
        raise InputError(f"{path}: jets are written to {', '.join(_WRITERS)}; choose one of them")


def write_jets(
    path: Path,
    jets: JetArrays | JetClassTable | Iterable[JetClassTable],
    provenance: Provenance | None = None,
) -> None:
    """Write jets to a file of the format that its name says, whole or not at all.

    In a ROOT file they are the TTree ``tree``, one entry a jet.

    Parameters
    ----------
    path
        Ends in ``.root`` or ``.parquet``.
    jets
        Jets, or their columns, of which several tables, at least one, follow one another.
    provenance
        What is to be kept of where the jets come from: beside the tree of a ROOT file, in the
        metadata of a parquet file. It marks them as simulated or generated ones.

    Raises
    ------
    InputError
        If the format is another one, or the file cannot be written, for example for lack of space;
        then there is none.
    """
    check_format(path)
    with whole_file(path) as partial:
        _WRITERS[path.suffix](partial, _tables(jets), provenance)


def write_open_file(
    file: OutputFile, path: Path, jets: JetArrays | JetClassTable, provenance: Provenance
) -> None:
    """Write jets to an open file in the format that ``path`` names; see ``write_jets``."""
    _WRITERS[path.suffix](file, _tables(jets), provenance)


def _tables(jets: JetArrays | JetClassTable | Iterable[JetClassTable]) -> Iterable[JetClassTable]:
    if isinstance(jets, JetArrays):
        return [JetClassTable.of_jets(jets)]
    return [jets] if isinstance(jets, JetClassTable) else jets


def _write_root(
    target: Path | OutputFile, tables: Iterable[JetClassTable], provenance: Provenance | None
) -> None:
    opened = new_root(target) if isinstance(target, Path) else uproot.recreate(target)
    with opened as file:
        tree = None
        for table in tables:
            # Of records, so that the particles of a jet are counted in one branch.
            branches = {**table.records(), **table.jets}
            if tree is None:
                types = {name: ak.Array(column).type.content for name, column in branches.items()}
                # Assignment would write an RNTuple, which weaver and older ROOT cannot read.
                tree = file.mktree(_TREE, types)
            tree.extend(branches)
        if provenance is not None:
            file[_PROVENANCE] = json.dumps(provenance)


def _write_parquet(
    target: Path | OutputFile, tables: Iterable[JetClassTable], provenance: Provenance | None
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = {} if provenance is None else {_PROVENANCE: json.dumps(provenance)}
    writer = None
    try:
        for table in tables:
            arrow = pa.table(
                {
                    name: ak.to_arrow(column, extensionarray=False)
                    for name, column in table.branches().items()
                }
            )
            writer = writer or pq.ParquetWriter(target, arrow.schema.with_metadata(known))
            writer.write_table(arrow)
    finally:
        if writer is not None:
            writer.close()


_WRITERS: dict[
    str, Callable[[Path | OutputFile, Iterable[JetClassTable], Provenance | None], None]
] = {".root": _write_root, ".parquet": _write_parquet}


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance that ``write_jets`` left in a ROOT file.

    Raises
    ------
    InputError
        If the file has none, or cannot be read.
    """
    try:
        with open_root(path) as file:
            provenance: dict[str, Any] = json.loads(str(file[_PROVENANCE]))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is no file of simulated jets, or is damaged: delete it, then give the same "
            "command again to make it anew"
        ) from error
    return provenance


def is_simulated(path: Path) -> bool:
    """Return whether a file is there and was written by ``write_jets`` with a provenance."""
    if path.suffix != ".root" or not path.is_file():
        return False
    with refuse_damaged(path), open_root(path) as file:
        return _PROVENANCE in file
