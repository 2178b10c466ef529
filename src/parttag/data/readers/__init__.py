"""Files to jets: one reader for each format, told apart by what the files begin with."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import awkward as ak
import numpy as np

import parttag.data.readers.parquet as parquet
import parttag.data.readers.root as root
import parttag.data.readers.toptagging as toptagging
from parttag.data.files import refuse_damaged
from parttag.data.store import JetStore, is_store, is_unfinished_store
from parttag.errors import InputError
from parttag.jets import JetArrays, make_index

CHUNK_JETS = 10_000
"""Jets read at a time: few enough that a chunk and what it is made from take some 200 MB."""

_SUFFIXES = (".root", ".h5", ".hdf5", ".parquet")


@runtime_checkable
class _Reader(Protocol):
    """What the module of a format offers."""

    def count_jets(self, path: Path) -> int: ...
    def read_chunks(self, path: Path, chunk_jets: int) -> Iterator[JetArrays]: ...
    def read_branches(self, path: Path, names: Sequence[str]) -> dict[str, ak.Array]: ...


_READERS: dict[bytes, _Reader] = {
    b"root": root,
    b"\x89HDF\r\n\x1a\n": toptagging,
    b"PAR1": parquet,
}


def find_files(patterns: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the files and stores that the patterns name, each once, in the patterns' order.

    A pattern is a file, a JetStore, a directory (for the readable files and stores right inside
    it, sorted by name), or a glob (sorted; ``**`` for any depth).

    Raises
    ------
    InputError
        If a pattern matches nothing, a directory has nothing to read, or a store is unfinished.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        with refuse_damaged(path):
            matches = [path] if path.exists() else [Path(match) for match in _glob(path)]
        if not matches:
            raise InputError(f"{pattern}: there is no such file")
        for match in matches:
            found.update((entry.resolve(), entry) for entry in _entries(match))
    return tuple(found.values())


def count_jets(path: Path) -> int:
    """Return the number of jets of a file or store, good and bad.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return len(JetStore(path)) if path.is_dir() else _reader(path).count_jets(path)


def read_chunks(
    path: Path,
    *,
    file_number: int = 0,
    sources: tuple[str, ...] = (),
    chunk_jets: int = CHUNK_JETS,
) -> Iterator[JetArrays]:
    """Yield every jet of a file or store, good or bad, in its order.

    Parameters
    ----------
    file_number
        Position of the file, or of a store's first source, in ``sources``.
    sources
        The names that ``index`` counts; by default those of this file alone.
    chunk_jets
        Most jets in a chunk. Those of a store are views of memory-mapped shards.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, or not as its layout says.
    """
    chunks = (
        JetStore(path).read_chunks(chunk_jets)
        if path.is_dir()
        else _reader(path).read_chunks(path, chunk_jets)
    )
    first = make_index(file_number, np.zeros(1, dtype=np.int64))
    empty = True
    for jets in chunks:
        empty = False
        # A store's index stays memory-mapped where it can.
        index = jets.index + first if file_number else jets.index
        yield replace(jets, index=index, sources=sources or jets.sources)
    if empty:
        raise InputError(f"{path} holds no jets; leave it out")


def read_branches(path: Path, names: Sequence[str]) -> dict[str, ak.Array]:
    """Return whole branches of a file by name, one entry a jet, in the file's order.

    Raises
    ------
    InputError
        If the file cannot be read or has no such branch; a store has none besides the jets.
    """
    if path.is_dir():
        raise InputError(
            f"{path} holds jets only, not the other branches ({', '.join(names)}) of the files it "
            "was made from: name those files instead"
        )
    return _reader(path).read_branches(path, names)


def _glob(pattern: Path) -> list[str]:
    return sorted(glob.glob(str(pattern), recursive=True))  # noqa: PTH207 (takes absolute patterns)


def _entries(path: Path) -> list[Path]:
    """Return what there is to read at a path that exists."""
    if not path.is_dir() or is_store(path):
        return [path]
    if is_unfinished_store(path):
        raise InputError(f"{path} is an unfinished store: run the command that made it again")
    with refuse_damaged(path):
        inside = sorted(path.iterdir())
    readable = [p for p in inside if p.suffix.lower() in _SUFFIXES or is_store(p)]
    if not readable:
        raise InputError(f"{path} holds no file to read ({', '.join(_SUFFIXES)}) and no store")
    return readable


def _reader(path: Path) -> _Reader:
    with refuse_damaged(path), path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise InputError(f"{path} is empty; get the file again, or leave it out")
    for magic, reader in _READERS.items():
        if head.startswith(magic):
            return reader
    raise InputError(
        f"{path} does not begin as a ROOT, HDF5 or parquet file: it is damaged or of another format"
    )
