"""Writing the files of a JetStore: each is renamed into place once it is whole."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from parttag.data.store.shard import Shard, block_digests, starts_of
from parttag.data.store.store import MANIFEST, Manifest
from parttag.jets.arrays import ARRAYS, JetArrays
from parttag.jets.columns import as_records
from parttag.system.atomic_files import whole_file, write_file

# Datasets begin at multiples of it, so that their mapped views are aligned.
_ALIGNMENT_BYTES = 64


def write_shard(
    path: Path,
    jets: JetArrays,
    others: Mapping[str, np.ndarray] | None = None,
    *,
    lasting: bool = True,
) -> Shard:
    """Write jets to a file of their own, and return what it must be.

    Parameters
    ----------
    others
        More datasets, by name.
    lasting
        Make the file survive a power cut.
    """
    arrays = {
        name: as_records(getattr(jets, name), rows.types(jets))
        if rows.packed
        else getattr(jets, name)
        for name, rows in ARRAYS.items()
        if not rows.is_absent(jets)
    }
    arrays |= dict(others or {})
    with whole_file(path, lasting=lasting) as temporary:
        with _new_hdf5(temporary) as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
            for name, columns in _columns(jets).items():
                file[name].attrs["columns"] = columns
            starts = starts_of(file)
        size, blocks = temporary.stat().st_size, block_digests(temporary)
    return Shard(
        name=path.name,
        num_jets=len(jets),
        num_particles=len(jets.p4),
        bytes=size,
        starts=starts,
        blocks=blocks,
    )


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the directory a store."""
    text = manifest.model_dump_json(indent=2) + "\n"
    write_file(directory / MANIFEST, text.encode())


@contextmanager
def _new_hdf5(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(
            path, "w", alignment_threshold=1, alignment_interval=_ALIGNMENT_BYTES
        ) as file:
            yield file
    except RuntimeError as error:
        # Closing a file that could not be written whole fails too, and hides why.
        cause = error.__context__
        raise (cause if isinstance(cause, OSError) else OSError(str(error))) from error


def _columns(jets: JetArrays) -> dict[str, tuple[str, ...]]:
    """Return what the columns of the two-dimensional datasets are, for those who read with h5py."""
    columns = {name: rows.names(jets) for name, rows in ARRAYS.items()}
    return {name: names for name, names in columns.items() if names is not None}
