"""Simulated jets to ROOT files in JetClass's layout; every file is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from jaxtyping import Bool

from parttag.errors import InputError
from parttag.jets.clustered import Jets
from parttag.jets.geometry import delta_phi, pt_eta_phi
from parttag.system.atomic_files import whole_file
from parttag.system.files import refuse_damaged
from parttag.system.root_files import new_root, open_root


@dataclass(frozen=True, eq=False)
class LabeledJets:
    """Jets and, for each label branch, which of them carry it."""

    jets: Jets
    labels: Mapping[str, Bool[np.ndarray, " jets"]]

    def particle_columns(self) -> dict[str, np.ndarray]:
        """Return what a file holds of the particles (packed), by the part of its name.

        ``deta`` is multiplied by the sign of the jet's η, as in JetClass.
        """
        _, jet_eta, jet_phi = pt_eta_phi(self.jets.p4)
        _, eta, phi = pt_eta_phi(self.jets.particles)
        jet = np.repeat(np.arange(len(self.jets)), self.jets.lengths)
        sign = np.where(jet_eta < 0, -1.0, 1.0)
        px, py, pz, energy = self.jets.particles.T
        columns = {
            "px": px,
            "py": py,
            "pz": pz,
            "energy": energy,
            "deta": (eta - jet_eta[jet]) * sign[jet],
            "dphi": delta_phi(phi, jet_phi[jet]),
            **self.jets.columns,
        }
        return {name: column.astype(np.float32) for name, column in columns.items()}

    def jet_columns(self) -> dict[str, np.ndarray]:
        """Return what a file holds of the jets, by branch."""
        pt, eta, phi = pt_eta_phi(self.jets.p4)
        floats = {
            "jet_pt": pt,
            "jet_eta": eta,
            "jet_phi": phi,
            "jet_energy": self.jets.p4[:, 3],
            **self.jets.jet_columns,
        }
        return {
            **{name: column.astype(np.float32) for name, column in floats.items()},
            "jet_nparticles": self.jets.lengths.astype(np.int32),
            **self.labels,
        }

    def sha256(self) -> str:
        """Return a hash of all columns: equal for equal jets, whenever they were written."""
        content = hashlib.sha256()
        for name, column in {**self.particle_columns(), **self.jet_columns()}.items():
            content.update(name.encode())
            content.update(column.tobytes())
        return content.hexdigest()


def write_jets(path: Path, jets: LabeledJets, provenance: Mapping[str, Any]) -> None:
    """Write jets to a TTree named ``tree``, one entry each, and ``provenance`` as JSON beside it.

    Branches are those of JetClass: ``part_px`` to ``part_energy``, ``part_deta``, ``part_dphi``,
    ``jet_pt``, ``jet_eta``, ``jet_phi``, ``jet_energy``, ``jet_nparticles`` and the labels, and
    what else the jets' columns hold; momenta are in GeV, floats of 32 bits.

    Raises
    ------
    InputError
        If the file cannot be written, for example for lack of space; then there is none.
    """
    particles = ak.unflatten(ak.zip(jets.particle_columns()), jets.jets.lengths)
    branches = {"part": particles, **jets.jet_columns()}
    types = {name: ak.Array(column).type.content for name, column in branches.items()}
    with whole_file(path) as partial, new_root(partial) as file:
        # Assignment would write an RNTuple, which weaver and older versions of ROOT cannot read.
        file.mktree("tree", types).extend(branches)
        file["provenance"] = json.dumps(provenance)


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance that ``write_jets`` left in a file.

    Raises
    ------
    InputError
        If the file has none, or cannot be read.
    """
    try:
        with open_root(path) as file:
            provenance: dict[str, Any] = json.loads(str(file["provenance"]))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is no file of simulated jets, or is damaged: delete it, then give the same "
            "command again to make it anew"
        ) from error
    return provenance


def is_simulated(path: Path) -> bool:
    """Return whether a file is there and was written by ``write_jets``."""
    if path.suffix != ".root" or not path.is_file():
        return False
    with refuse_damaged(path), open_root(path) as file:
        return "provenance" in file
