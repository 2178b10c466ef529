"""Small files in the public layouts, written from ``JetArrays``, for tests to read."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import hdf5plugin
import numpy as np
import uproot

from parttag.data.writers.jetclass import JetClassTable
from parttag.jets.arrays import JetArrays

SLOTS = 200


def jetclass_branches(arrays: JetArrays) -> dict[str, Any]:
    """Return the branches that a JetClass file holding these jets would have, bad jets too."""
    return JetClassTable.of_jets(arrays).branches()


def write_root(
    path: Path, branches: Mapping[str, Any], *, tree: str = "tree", rntuple: bool = False
) -> Path:
    """Write the branches to one TTree, or one RNTuple, and return the path."""
    with uproot.recreate(path) as file:
        if rntuple:
            file.mkrntuple(tree, dict(branches))
        else:
            file.mktree(tree, {name: ak.type(ak.Array(b)).content for name, b in branches.items()})
            file[tree].extend(dict(branches))
    return path


def write_jetclass_root(
    path: Path,
    arrays: JetArrays,
    *,
    tree: str = "tree",
    without: Collection[str] = (),
    replaced: Mapping[str, Any] | None = None,
    rntuple: bool = False,
) -> Path:
    """Write jets as JetClass does, some branches left out, replaced or added; return the path."""
    branches = {**jetclass_branches(arrays), **(replaced or {})}
    kept = {name: branch for name, branch in branches.items() if name not in without}
    return write_root(path, kept, tree=tree, rntuple=rntuple)


def write_jetclass_parquet(
    path: Path,
    arrays: JetArrays,
    *,
    without: Collection[str] = (),
    replaced: Mapping[str, Any] | None = None,
) -> Path:
    """Write jets in JetClass's layout to parquet and return the path."""
    branches = {**jetclass_branches(arrays), **(replaced or {})}
    kept = {name: branch for name, branch in branches.items() if name not in without}
    ak.to_parquet(ak.zip(kept, depth_limit=1), path)
    return path


def toptagging_table(arrays: JetArrays) -> np.ndarray:
    """Return the rows of the pandas table that would hold these jets (200 particles at most)."""
    dtype = [("index", "<i8"), ("values_block_0", "<f4", (804,)), ("values_block_1", "<i8", (2,))]
    table = np.zeros(len(arrays), dtype=dtype)
    table["index"] = np.arange(len(arrays))
    slots = table["values_block_0"][:, : 4 * SLOTS].reshape(-1, SLOTS, 4)
    jet = np.repeat(np.arange(len(arrays)), arrays.lengths)
    slot = np.arange(len(arrays.p4)) - np.repeat(arrays.offsets[:-1], arrays.lengths)
    slots[jet, slot] = arrays.p4[:, [3, 0, 1, 2]]
    table["values_block_0"][:, : 4 * SLOTS] = slots.reshape(-1, 4 * SLOTS)
    table["values_block_1"][:, 1] = arrays.labels[:, arrays.label_names.index("label_top")]
    return table


def write_toptagging_h5(
    path: Path,
    arrays: JetArrays,
    *,
    compression: str | None = "zlib",
    table: np.ndarray | None = None,
) -> Path:
    """Write jets as the top-tagging reference set has them; ``table`` replaces the rows.

    ``compression`` is ``zlib``, ``blosc`` or None.
    """
    filters: dict[str, Any] = {
        "zlib": {"compression": "gzip", "shuffle": True},
        "blosc": dict(hdf5plugin.Blosc(cname="zstd")),
        None: {},
    }[compression]
    rows = toptagging_table(arrays) if table is None else table
    with h5py.File(path, "w") as file:
        file.create_dataset("table/table", data=rows, chunks=(min(16, len(rows)),), **filters)
        # What pandas writes: a pickle, which a reader must never open.
        file["table"].attrs["non_index_axes"] = np.bytes_(b"(lp0\n.")
    return path
