"""A reader of NumPy files: a row a jet, its label (1 for top), then px, py, pz, E of its particles.

Particles of energy 0 fill the row up.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import awkward as ak
import numpy as np

from parttag.data.readers.layout import Layout, Schema
from parttag.data.readers.registry import register_reader
from parttag.jets.arrays import JetArrays, pack_jets
from parttag.jets.packing import offsets_of

LABELS = ("label_top", "label_QCD")


@register_reader("rows", suffixes=[".rows.npy"])
class RowReader:
    """Reads the files without taking them whole into memory."""

    def count_jets(self, path: Path, layout: Layout | None) -> int:
        """Return the number of rows."""
        return len(_rows(path))

    def read_schema(self, path: Path, layout: Layout | None) -> Schema:
        """Return the labels; there are no columns besides the four-momenta."""
        return Schema(label_names=LABELS, extra_names=())

    def read_chunks(
        self, path: Path, chunk_jets: int, layout: Layout | None
    ) -> Iterator[JetArrays]:
        """Yield the jets, some at a time."""
        rows = _rows(path)
        for first in range(0, len(rows), chunk_jets):
            chunk = np.array(rows[first : first + chunk_jets], dtype=np.float64)
            p4 = chunk[:, 1:].reshape(len(chunk), -1, 4)
            is_real, is_top = p4[:, :, 3] > 0, chunk[:, 0] == 1
            yield pack_jets(
                p4[is_real],
                offsets_of(is_real.sum(axis=1)),
                extra=np.empty((is_real.sum(), 0)),
                extra_names=(),
                labels=np.stack([is_top, ~is_top], axis=1).astype(np.uint8),
                label_names=LABELS,
                path=path,
                first_row=first,
            )

    def list_branches(self, path: Path, layout: Layout | None) -> Sequence[str]:
        """Return the one branch that is passed through."""
        return ["label"]

    def read_branches(
        self, path: Path, names: Sequence[str], layout: Layout | None
    ) -> dict[str, ak.Array]:
        """Return the label of every jet."""
        return {name: ak.Array(np.array(_rows(path)[:, 0])) for name in names}


def _rows(path: Path) -> np.ndarray:
    rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return rows
