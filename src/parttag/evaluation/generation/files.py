"""Jets to files in JetClass's layout, as far as generated jets have what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from parttag.data.writers.jetclass import LabeledJets
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.clustered import Jets
from parttag.system.atomic_files import OutputFile

Provenance = Mapping[str, Any]


def check_format(path: Path) -> None:
    """Refuse a file whose name does not end as one of the formats.

    Raises
    ------
    InputError
        If it does not.
    """
    if path.suffix not in _WRITERS:
        raise InputError(
            f"{path}: generated jets are written to {', '.join(_WRITERS)}; choose one of them"
        )


def write_jets(file: OutputFile, path: Path, jets: JetArrays, provenance: Provenance) -> None:
    """Write jets to an open file in the format that ``path`` names, one entry a jet.

    There are ``part_px`` to ``part_energy``, ``part_deta``, ``part_dphi``, ``jet_pt``, ``jet_eta``,
    ``jet_phi``, ``jet_energy`` and ``jet_nparticles``, in GeV; no label. ``provenance`` is beside
    the tree of a ROOT file, and in the metadata of a parquet file.
    """
    p4 = jets.p4.astype(np.float64)
    known = Jets(np.arange(len(jets)), jets.jet_p4.astype(np.float64), jets.offsets, p4)
    _WRITERS[path.suffix](file, LabeledJets(known, {}), provenance)


def _write_root(file: OutputFile, jets: LabeledJets, provenance: Provenance) -> None:
    particles = ak.unflatten(ak.zip(jets.particle_columns()), jets.jets.lengths)
    branches = {"part": particles, **jets.jet_columns()}
    types = {name: ak.Array(column).type.content for name, column in branches.items()}
    with uproot.recreate(file) as root:
        # Assignment would write an RNTuple, which older tools cannot read.
        root.mktree("tree", types).extend(branches)
        root["provenance"] = json.dumps(provenance)


def _write_parquet(file: OutputFile, jets: LabeledJets, provenance: Provenance) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        f"part_{name}": ak.unflatten(column, jets.jets.lengths)
        for name, column in jets.particle_columns().items()
    }
    table = pa.table(
        {
            name: ak.to_arrow(ak.Array(column), extensionarray=False)
            for name, column in {**columns, **jets.jet_columns()}.items()
        }
    )
    described = table.replace_schema_metadata({"provenance": json.dumps(provenance)})
    pq.write_table(described, file)


_WRITERS: dict[str, Callable[[OutputFile, LabeledJets, Provenance], None]] = {
    ".root": _write_root,
    ".parquet": _write_parquet,
}
