"""The JetStore: a directory of immutable HDF5 shards, and a manifest that is written last.

A shard holds whole jets in contiguous, uncompressed datasets that are named as the fields of
``JetArrays``: plain h5py reads them. A directory without a manifest is not a store, so that
whatever interrupts the writing leaves none that looks whole.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Int
from pydantic import Field, JsonValue, ValidationError

from parttag.data.store.shard import Columns, Count, Record, Shard, ShardFile, read_spans
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, take_from_parts
from parttag.jets.kinds import KIND_COLUMN, KIND_TYPE, MaxParticles
from parttag.jets.packing import offsets_of
from parttag.migrations.formats import VERSION_KEY
from parttag.migrations.stores import STORE
from parttag.system.files import refuse_damaged

SCHEMA_VERSION = STORE.version
MANIFEST = "manifest.json"
WORK = ".unfinished"
"""Where, inside the directory of a store, its making keeps what it needs to continue."""

# Of a manifest: enough for a store of 4 TB, and few enough for 1 GB of memory.
_MOST_BYTES, _MOST_VALUES = 1 << 26, 1_000_000

_OWN_FILE = re.compile(
    r"shard-\d{5,}\.h5|\.(shard-\d{5,}\.h5|manifest\.json)\.\d+(\.\w+)?\.partial"
)


class Source(Record):
    """A file that jets were read from."""

    path: str
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Columns):
    """What a store holds and where it comes from.

    ``index`` of a jet counts ``sources``; ``dropped`` counts the jets of the sources that were
    left out, by reason; ``shuffle_seed`` is null where the jets are in the sources' order.
    ``columns`` and ``cuts`` are what was said of the files and of the jets to leave out, where
    anything was.
    """

    schema_version: Count
    parttag_version: str
    num_jets: Count
    num_particles: Count
    shuffle_seed: Count | None
    dropped: dict[str, Count]
    sources: tuple[Source, ...]
    shards: tuple[Shard, ...]
    columns: dict[str, JsonValue]
    cuts: dict[str, JsonValue]


class JetStore:
    """A finished store, opened for reading.

    Opening reads the manifest and looks at the sizes of the shards. Each block of 1 MiB is compared
    with its checksum when it is read for the first time.

    Raises
    ------
    InputError
        If the directory is no finished store, is of a schema that is not read, its manifest
        contradicts itself or its shards, or a shard has another size.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest = _read_manifest(self.directory)
        self._files = [
            ShardFile(self.directory / shard.name, shard, self.manifest)
            for shard in self.manifest.shards
        ]
        self._starts = offsets_of([len(file) for file in self._files])
        self._mapped: dict[int, JetArrays] = {}

    def __len__(self) -> int:
        return self.manifest.num_jets

    def __repr__(self) -> str:
        manifest = self.manifest
        order = f"shuffled, seed {manifest.shuffle_seed}" if self.is_shuffled else "in order"
        return (
            f"JetStore {self.directory}: {len(self):,} jets, {manifest.num_particles:,} particles, "
            f"{order}, shards: {len(manifest.shards)} | "
            f"extra: {', '.join(manifest.extra_names) or 'none'} | "
            f"labels: {', '.join(manifest.label_names) or 'none'}"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that the jets were read from."""
        return tuple(source.path for source in self.manifest.sources)

    @property
    def is_shuffled(self) -> bool:
        """Whether the jets are in a random order, so that neighbors have nothing in common."""
        return self.manifest.shuffle_seed is not None

    def read(
        self,
        ranges: Iterable[tuple[int, int]],
        *,
        extras: bool = True,
        particles: bool = True,
    ) -> JetArrays:
        """Return the jets of each range, from its first to before its last, in memory of their own.

        Parameters
        ----------
        ranges
            Numbers of jets, counted through the whole store.
        extras, particles
            Leave out, if false, the extra columns, or the particles with them: jets without any.

        Raises
        ------
        InputError
            If a block is not what was written.
        """
        spans = [span for start, stop in ranges for span in self._spans(start, stop)]
        return read_spans(spans, self.manifest, self.sources, extras=extras, particles=particles)

    def read_chunks(self, chunk_jets: int) -> Iterator[JetArrays]:
        """Yield the jets in order, ``chunk_jets`` at a time.

        Raises
        ------
        InputError
            If a block is not what was written.
        """
        for start in range(0, len(self), chunk_jets):
            yield self.read([(start, min(start + chunk_jets, len(self)))])

    def take(
        self,
        rows: Int[np.ndarray, " chosen"],
        max_particles: MaxParticles = None,
        *,
        extras: bool = True,
    ) -> JetArrays:
        """Return the jets at ``rows``, in that order; repeats are allowed.

        The shards that they lie in are checked whole, once, and mapped into memory.

        Raises
        ------
        InputError
            If a shard is not what was written.
        """

        def shard(number: int) -> JetArrays:
            jets = self._map(number)
            return jets if extras else jets.without_extras()

        return take_from_parts(shard, self._starts, rows, max_particles)

    def _spans(self, start: int, stop: int) -> Iterator[tuple[ShardFile, int, int]]:
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for number in range(first, len(self._files)):
            begin = int(self._starts[number])
            if begin >= stop:
                return
            file = self._files[number]
            yield file, max(start - begin, 0), min(stop - begin, len(file))

    def _map(self, number: int) -> JetArrays:
        if number not in self._mapped:
            self._mapped[number] = self._files[number].mapped(self.manifest, self.sources)
        return self._mapped[number]


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
            f"those and prepare it again, or accept it by leaving out {option('strict')}"
        )


def is_store(directory: Path) -> bool:
    """Return whether the path is a directory with a manifest."""
    return (directory / MANIFEST).is_file()


def is_unfinished_store(directory: Path) -> bool:
    """Return whether the path is a directory in which a store was begun, and nothing else."""
    return directory.is_dir() and not is_store(directory) and bool(own_files(directory))


def own_files(directory: Path) -> list[Path]:
    """Return what in a directory only the writing of a store makes; ``WORK`` is a directory."""
    if not directory.is_dir():
        return []
    return [p for p in directory.iterdir() if p.name == WORK or _OWN_FILE.fullmatch(p.name)]


def _read_manifest(directory: Path) -> Manifest:
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"{directory} is not a store: it has no {MANIFEST}")
    content = _read_json(path)
    if content.get(VERSION_KEY) is None:
        raise _damaged(path, VERSION_KEY)
    content = STORE.upgraded(content, directory)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _damaged(path, ".".join(map(str, first["loc"]))) from error
    for key, fits in _claims(manifest):
        if not fits:
            raise _damaged(path, key)
    return manifest


def _read_json(path: Path) -> dict[str, Any]:
    """Return a manifest's content, whatever it is, in a memory that does not depend on it."""
    with refuse_damaged(path), path.open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    # Each value follows one of these.
    if len(text) > _MOST_BYTES or sum(map(text.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise _damaged(path, "it is larger than that of any store")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "cut short, or not JSON") from error
    if not isinstance(content, dict):
        raise _damaged(path, "not a mapping")
    return content


def _claims(manifest: Manifest) -> Iterator[tuple[str, bool]]:
    """Yield what a manifest says more than once, by key, and whether it is the same each time."""
    shards = manifest.shards
    names = [shard.name for shard in shards]
    yield "shards", _distinct(names) and all(name.startswith("shard") for name in names)
    yield "num_jets", 0 < manifest.num_jets == sum(shard.num_jets for shard in shards)
    yield "num_particles", manifest.num_particles == sum(s.num_particles for s in shards)
    yield "label_names", _distinct(manifest.label_names)
    yield "extra_names", _distinct(manifest.extra_names)
    yield "column_types", _distinct([name for name, _ in manifest.column_types])
    yield "jet_column_types", _distinct([name for name, _ in manifest.jet_column_types])
    names = [name for name, _ in manifest.kinds]
    has_kinds = dict(manifest.column_types).get(KIND_COLUMN) == KIND_TYPE
    yield "kinds", _distinct(names) and (not names or has_kinds)
    yield "sources", len(manifest.sources) > 0


def _distinct(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names) and all(names)


def _damaged(path: Path, where: str) -> InputError:
    return InputError(
        f"{path} is damaged ({_shown(where)}): prepare the store again, with parttag prepare"
    )


def _shown(value: object) -> str:
    """Return a text that came with a file so that it cannot disturb a terminal or fill it."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:60])
