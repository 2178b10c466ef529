"""Writing a JetStore: shards of a bounded size, each renamed into place, the manifest last."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np

from parttag.data.files import sha256, sync
from parttag.data.store import MANIFEST, Manifest, Shard, shard_files
from parttag.errors import InputError
from parttag.jets import JetArrays

SHARD_BYTES = 1 << 27
"""A shard is closed once its particles take more: about this much is held in memory to write it."""

# Datasets begin at multiples of it, so that their mapped views are aligned.
_ALIGNMENT_BYTES = 64
# Besides ``offsets``, which are those of the shard's own particles.
_DATASETS = ("p4", "extra", "jet_p4", "jet_axis", "labels", "jet_weights", "index")


@contextmanager
def new_store(directory: Path) -> Iterator[None]:
    """Make the directory for a store that is written inside the block; leave nothing if it fails.

    What an interrupted writing left behind is removed first.

    Raises
    ------
    InputError
        If the directory holds a store or anything else.
    """
    if directory.exists():
        leftovers = shard_files(directory)
        if not directory.is_dir() or len(leftovers) < len(list(directory.iterdir())):
            raise InputError(f"{directory} exists already: choose another place for the store")
        _remove(leftovers)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what went wrong comes first
            _remove(shard_files(directory))
            directory.rmdir()
        raise


def write_shards(directory: Path, chunks: Iterable[JetArrays]) -> tuple[Shard, ...]:
    """Write the jets of all chunks in order; hold no more than about ``SHARD_BYTES`` in memory."""
    shards: list[Shard] = []
    parts: list[JetArrays] = []
    for jets in chunks:
        if len(jets) == 0:
            continue
        parts.append(jets)
        if sum(part.p4.nbytes + part.extra.nbytes for part in parts) >= SHARD_BYTES:
            shards.append(_write_shard(directory / f"shard-{len(shards):05d}.h5", parts))
            parts = []
    if parts:
        shards.append(_write_shard(directory / f"shard-{len(shards):05d}.h5", parts))
    return tuple(shards)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the directory a store."""
    with _renamed_into_place(directory / MANIFEST) as temporary:
        temporary.write_text(manifest.model_dump_json(indent=2) + "\n")


def _write_shard(path: Path, parts: Sequence[JetArrays]) -> Shard:
    with _renamed_into_place(path) as temporary:
        with _new_hdf5(temporary) as file:
            for name in _DATASETS:
                _write_dataset(file, name, [getattr(part, name) for part in parts])
            _write_dataset(file, "offsets", _joined_offsets(parts))
            for name, columns in _columns(parts[0]).items():
                file[name].attrs["columns"] = columns
        checksum, size = sha256(temporary), temporary.stat().st_size
    return Shard(
        name=path.name,
        num_jets=sum(len(part) for part in parts),
        num_particles=sum(len(part.p4) for part in parts),
        bytes=size,
        sha256=checksum,
    )


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


def _write_dataset(file: h5py.File, name: str, arrays: Sequence[np.ndarray]) -> None:
    """Write the arrays one below the other, without making one array of them first."""
    length = sum(len(array) for array in arrays)
    dataset = file.create_dataset(name, shape=(length, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    start = 0
    for array in arrays:
        dataset[start : start + len(array)] = array
        start += len(array)


def _columns(jets: JetArrays) -> dict[str, tuple[str, ...]]:
    """Return what the columns of the two-dimensional datasets are, for those who read with h5py."""
    momentum = ("px", "py", "pz", "energy")
    return {
        "p4": momentum,
        "extra": jets.extra_names,
        "jet_p4": momentum,
        "jet_axis": ("eta", "phi"),
        "labels": jets.label_names,
    }


def _joined_offsets(parts: Sequence[JetArrays]) -> list[np.ndarray]:
    starts = np.cumsum([0, *(len(part.p4) for part in parts)])
    return [
        np.zeros(1, dtype=np.int64),
        *(part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)),
    ]


@contextmanager
def _renamed_into_place(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, and rename it once what was written is on the disk."""
    temporary = path.with_name(f".{path.name}.part")
    yield temporary
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()
