"""The JetStore: a directory of immutable HDF5 shards, and a manifest that is written last.

A shard holds whole jets in contiguous, uncompressed datasets that are named as the fields of
``JetArrays``: plain h5py reads them, and here they are memory-mapped. A directory without a
manifest is not a store, so that whatever interrupts the writing leaves none that looks whole.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parttag.data.files import refuse_damaged, sha256
from parttag.errors import InputError
from parttag.jets import JetArrays

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

_SHARD_NAME = r"shard-\d{5,}\.h5"
_OWN_FILE = re.compile(rf"{_SHARD_NAME}|\.{_SHARD_NAME}\.part|\.manifest\.json\.part")


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
    left out, by reason. ``columns`` and ``cuts`` are what was said of the files and of the jets to
    leave out, where anything was.
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
    columns: dict[str, Any] = {}
    cuts: dict[str, Any] = {}


class JetStore:
    """A finished store, opened for reading.

    Opening looks at the sizes of the shards; reading a shard first checks its checksum.

    Raises
    ------
    InputError
        If the directory is no finished store, is of a newer schema, or a shard has another size.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest = _read_manifest(self.directory)
        for shard in self.manifest.shards:
            path = self.directory / shard.name
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


def refuse_dropped(store: JetStore) -> None:
    """Refuse a store whose sources held bad jets: for who wants none, dropped ones included.

    Raises
    ------
    InputError
        If the store was made without some of its sources' jets.
    """
    if store.manifest.dropped:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in store.manifest.dropped.items())
        raise InputError(
            f"{store.directory} was made without the bad jets of its sources ({reasons}): correct "
            "those and prepare it again, or accept it by leaving out --strict"
        )


def is_store(directory: Path) -> bool:
    """Return whether the path is a directory with a manifest."""
    return (directory / MANIFEST).is_file()


def is_unfinished_store(directory: Path) -> bool:
    """Return whether the path is a directory of shards, or of beginnings of them, only."""
    return directory.is_dir() and not is_store(directory) and bool(shard_files(directory))


def shard_files(directory: Path) -> list[Path]:
    """Return the directory's files that only the writing of a store makes."""
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if _OWN_FILE.fullmatch(path.name)]


def _view(content: np.ndarray, dataset: h5py.Dataset) -> np.ndarray:
    """Return a contiguous dataset as a view of the mapped file."""
    offset = dataset.id.get_offset()
    if offset is None:  # nothing was stored, as the dataset has no element
        return np.zeros(dataset.shape, dtype=dataset.dtype)
    size = dataset.size * dataset.dtype.itemsize
    view: np.ndarray = content[offset : offset + size].view(dataset.dtype)
    return view.reshape(dataset.shape)


def _read_manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"{directory} is not a store: it has no {MANIFEST}")
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
