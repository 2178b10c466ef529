"""The JetStore: a directory of immutable HDF5 shards, and a manifest that is written last.

A shard holds whole jets in contiguous, uncompressed datasets that are named as the fields of
``JetArrays``: plain h5py reads them, and here they are memory-mapped. A directory without a
manifest is not a store, so that whatever interrupts the writing leaves none that looks whole.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parttag.data.files import refuse_damaged, sha256
from parttag.errors import InputError
from parttag.jets import JetArrays

SCHEMA_VERSION = 1
SHARD_BYTES = 1 << 27
"""A shard is closed once its particles take more: about this much is held in memory to write it."""

_MANIFEST = "manifest.json"
_SHARD_NAME = r"shard-\d{5,}\.h5"
_OWN_FILE = re.compile(rf"{_SHARD_NAME}|\.{_SHARD_NAME}\.part|\.manifest\.json\.part")

# Datasets begin at multiples of it, so that their mapped views are aligned.
_ALIGNMENT_BYTES = 64
# Besides ``offsets``, which are those of the shard's own particles.
_DATASETS = ("p4", "extra", "jet_p4", "jet_axis", "labels", "jet_weights", "index")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Record):
    """A file that jets were read from."""

    path: str
    bytes: int
    sha256: str


class Shard(_Record):
    """A file of a store, and what it must be."""

    name: Annotated[str, Field(pattern=f"^{_SHARD_NAME}$")]
    num_jets: int
    num_particles: int
    bytes: int
    sha256: str


class Manifest(_Record):
    """What a store holds and where it comes from.

    ``index`` of a jet counts ``sources``; ``dropped`` counts the jets of the sources that were
    left out, by reason.
    """

    schema_version: int
    parttag_version: str
    num_jets: int
    num_particles: int
    extra_names: tuple[str, ...]
    label_names: tuple[str, ...]
    dropped: dict[str, int]
    sources: tuple[Source, ...]
    shards: tuple[Shard, ...]


class JetStore:
    """A finished store, opened for reading.

    Opening looks at the sizes of the shards; reading a shard first checks its checksum.

    Raises
    ------
    InputError
        If the directory is no finished store, is of a newer schema, or a shard has another size.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest = _read_manifest(directory)
        for shard in self.manifest.shards:
            path = directory / shard.name
            with refuse_damaged(path):
                size = path.stat().st_size
            if size != shard.bytes:
                raise _changed(path)

    def __len__(self) -> int:
        return self.manifest.num_jets

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that the jets were read from."""
        return tuple(source.path for source in self.manifest.sources)

    def read_chunks(self, chunk_jets: int) -> Iterator[JetArrays]:
        """Yield the jets in order, at most ``chunk_jets`` at a time, as views of mapped shards.

        Raises
        ------
        InputError
            If the content of a shard is not what was written.
        """
        for shard in self.manifest.shards:
            jets = self._map(shard)
            if len(jets) <= chunk_jets:
                yield jets
                continue
            for start in range(0, len(jets), chunk_jets):
                yield jets.span(start, min(start + chunk_jets, len(jets)))

    def _map(self, shard: Shard) -> JetArrays:
        path = self.directory / shard.name
        if sha256(path) != shard.sha256:
            raise _changed(path)
        with refuse_damaged(path):
            content = np.memmap(path, mode="r", dtype=np.uint8).view(np.ndarray)
            with h5py.File(path) as file:
                arrays = {name: _view(content, dataset) for name, dataset in file.items()}
        return JetArrays(
            **arrays,
            extra_names=self.manifest.extra_names,
            label_names=self.manifest.label_names,
            sources=self.sources,
        )


def is_store(directory: Path) -> bool:
    """Return whether the path is a directory with a manifest."""
    return (directory / _MANIFEST).is_file()


def is_unfinished_store(directory: Path) -> bool:
    """Return whether the path is a directory of shards, or of beginnings of them, only."""
    return directory.is_dir() and not is_store(directory) and bool(_shard_files(directory))


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
        leftovers = _shard_files(directory)
        if not directory.is_dir() or len(leftovers) < len(list(directory.iterdir())):
            raise InputError(f"{directory} exists already: choose another place for the store")
        _remove(leftovers)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what went wrong comes first
            _remove(_shard_files(directory))
            directory.rmdir()
        raise


def write_shards(directory: Path, chunks: Iterable[JetArrays]) -> tuple[Shard, ...]:
    """Write the jets of all chunks in order; hold no more than about ``SHARD_BYTES`` in memory."""
    shards: list[Shard] = []
    parts: list[JetArrays] = []
    for jets in chunks:
        parts.append(jets)
        if sum(part.p4.nbytes + part.extra.nbytes for part in parts) >= SHARD_BYTES:
            shards.append(_write_shard(directory / f"shard-{len(shards):05d}.h5", parts))
            parts = []
    if parts:
        shards.append(_write_shard(directory / f"shard-{len(shards):05d}.h5", parts))
    return tuple(shards)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the directory a store."""
    with _renamed_into_place(directory / _MANIFEST) as temporary:
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
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shard_files(directory: Path) -> list[Path]:
    """Return the directory's files that only the writing of a store makes."""
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if _OWN_FILE.fullmatch(path.name)]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


def _view(content: np.ndarray, dataset: h5py.Dataset) -> np.ndarray:
    """Return a contiguous dataset as a view of the mapped file."""
    offset = dataset.id.get_offset()
    if offset is None:  # nothing was stored, as the dataset has no element
        return np.zeros(dataset.shape, dtype=dataset.dtype)
    size = dataset.size * dataset.dtype.itemsize
    view: np.ndarray = content[offset : offset + size].view(dataset.dtype)
    return view.reshape(dataset.shape)


def _read_manifest(directory: Path) -> Manifest:
    path = directory / _MANIFEST
    if not path.is_file():
        raise InputError(f"{directory} is not a store: it has no {_MANIFEST}")
    with refuse_damaged(path):
        content = json.loads(path.read_bytes())
        version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{directory} is a store of schema {version}, but this parttag reads schema "
            f"{SCHEMA_VERSION}: update parttag, or prepare the store again"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{path} is damaged ({where}): prepare the store again") from error


def _changed(path: Path) -> InputError:
    return InputError(f"{path} is not what was written (cut short or changed): prepare it again")
