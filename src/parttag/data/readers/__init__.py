"""Files to jets: one reader for each format, told apart by what the files begin with.

Other packages add formats by ``register_reader``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import awkward as ak
import numpy as np

import parttag.data.readers.event_files as event_files
import parttag.data.readers.hdf5 as hdf5
import parttag.data.readers.npz_columns as npz_columns
import parttag.data.readers.parquet as parquet
import parttag.data.readers.quarkgluon as quarkgluon
import parttag.data.readers.root as root
import parttag.data.readers.toptagging as toptagging
from parttag.data.readers.branches import require_branches
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.layout import Layout, Schema
from parttag.data.readers.patterns import matching
from parttag.data.readers.registry import known_suffixes, reader_of, register_reader
from parttag.data.store.store import JetStore, is_store, is_unfinished_store
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, make_index
from parttag.jets.columns import column_names
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import is_url, remote_path

CHUNK_JETS = 10_000
"""Jets read at a time: few enough that a chunk and what it is made from take some 200 MB."""


def _is_mapped(path: Path, layout: Layout | None) -> bool:
    """Return whether an HDF5 file is read as ``data.columns`` says, not as a top-tagging one."""
    return isinstance(layout, ColumnLayout) and not toptagging.is_table(path)


_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"

register_reader("root", suffixes=[".root"], magic=b"root")(root)
register_reader("hdf5", suffixes=[".h5", ".hdf5"], magic=_HDF5, applies=_is_mapped)(hdf5)
register_reader("toptagging", suffixes=[".h5", ".hdf5"], magic=_HDF5)(toptagging)
register_reader("parquet", suffixes=[".parquet"], magic=b"PAR1")(parquet)
register_reader("npz", suffixes=[".npz"], magic=_ZIP, applies=npz_columns.is_mapped)(npz_columns)
register_reader("quarkgluon", suffixes=[".npz"], magic=_ZIP)(quarkgluon)


def find_files(patterns: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the files and stores that the patterns name, each once, in the patterns' order.

    A pattern is a file, a JetStore, a directory (for the readable files and stores right inside
    it, sorted by name), a glob (sorted; ``**`` for any depth, ``{a,b}`` for either), or the URL of
    one file (``root://…``, ``https://…``), which is taken as it is.

    Raises
    ------
    InputError
        If a pattern matches nothing, a directory has nothing to read, a store is unfinished, or a
        URL is a glob, a chain, or of a kind that is not or cannot be read here.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        if is_url(pattern):
            remote = remote_path(str(pattern))
            found[remote] = remote
            continue
        path = Path(pattern).expanduser()
        with refuse_damaged(path):
            matches = [path] if path.exists() else matching(path)
        if not matches:
            raise InputError(f"{pattern}: there is no such file")
        for match in matches:
            found.update((entry.resolve(), entry) for entry in _entries(match))
    return tuple(found.values())


def count_jets(path: Path, layout: Layout | None = None) -> int:
    """Return the number of jets of a file or store, good and bad.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    if path.is_dir():
        return len(JetStore(path))
    reader = reader_of(path, layout)
    if _of_events(layout):
        return event_files.count_jets(layout, reader, path)
    return reader.count_jets(path, layout)


def read_schema(path: Path, layout: Layout | None = None) -> Schema:
    """Return what the jets of a file or store have, without reading them.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a branch that is needed.
    """
    if path.is_dir():
        manifest = JetStore(path).manifest
        return Schema(
            manifest.label_names,
            manifest.extra_names,
            columns=column_names(manifest.column_types),
            jet_columns=column_names(manifest.jet_column_types),
            kinds=tuple(name for name, _ in manifest.kinds),
        )
    return reader_of(path, layout).read_schema(path, layout)


def read_chunks(
    path: Path,
    *,
    file_number: int = 0,
    sources: tuple[str, ...] = (),
    chunk_jets: int = CHUNK_JETS,
    layout: Layout | None = None,
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
    layout
        What the branches mean, if not what they do in the public sets. Stores, top-tagging and
        quark-gluon files are read as what they are all the same.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, or not as its layout says.
    """
    chunks = (
        JetStore(path).read_chunks(chunk_jets)
        if path.is_dir()
        else _chunks_of_file(path, chunk_jets, layout)
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


def _chunks_of_file(path: Path, chunk_jets: int, layout: Layout | None) -> Iterator[JetArrays]:
    reader = reader_of(path, layout)
    if _of_events(layout):
        return event_files.read_chunks(layout, reader, path, chunk_jets)
    return reader.read_chunks(path, chunk_jets, layout)


def _of_events(layout: Layout | None) -> TypeGuard[ColumnLayout]:
    """Return whether the entries of a file are events of several jets."""
    return isinstance(layout, ColumnLayout) and layout.several_jets


def read_branches(
    path: Path, names: Sequence[str], layout: Layout | None = None
) -> dict[str, ak.Array]:
    """Return whole branches of a file by name, one entry a jet, in the file's order.

    Of events of several jets, what is known of an event holds for each of its jets.

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
    reader = reader_of(path, layout)
    require_branches(names, reader.list_branches(path, layout), path)
    if _of_events(layout):
        return event_files.read_branches(layout, reader, path, names)
    return reader.read_branches(path, names, layout)


def list_branches(path: Path, layout: Layout | None = None) -> tuple[str, ...]:
    """Return the names of what ``read_branches`` can read of a file; a store has none.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return () if path.is_dir() else tuple(reader_of(path, layout).list_branches(path, layout))


def _entries(path: Path) -> list[Path]:
    """Return what there is to read at a path that exists."""
    if not path.is_dir() or is_store(path):
        return [path]
    if is_unfinished_store(path):
        raise InputError(f"{path} is an unfinished store: run the command that made it again")
    with refuse_damaged(path):
        inside = sorted(path.iterdir())
    suffixes = known_suffixes()
    readable = [p for p in inside if p.name.lower().endswith(suffixes) or is_store(p)]
    if not readable:
        raise InputError(f"{path} holds no file to read ({', '.join(suffixes)}) and no store")
    return readable
