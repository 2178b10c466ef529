"""The readers of file formats by name: parttag's own, and those that other packages add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import awkward as ak

from parttag.data.readers.layout import Layout, Schema
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.plugins import Registry
from parttag.system.files import refuse_damaged

T = TypeVar("T")


@runtime_checkable
class Reader(Protocol):
    """Reads files of one format. The modules ``root`` and ``parquet`` are readers.

    ``layout`` says what the branches mean (``data.columns``), ``None`` if nothing was said; a
    format whose jets are always of the same columns need not look at it. What cannot be read is an
    ``InputError`` that names the file and says what to do. Files are not changed; several threads
    may read one at a time.
    """

    def count_jets(self, path: Path, layout: Layout | None) -> int:
        """Return the number of jets in a file, without reading them."""
        ...

    def read_schema(self, path: Path, layout: Layout | None) -> Schema:
        """Return labels and particle columns of the jets, without reading them."""
        ...

    def read_chunks(
        self, path: Path, chunk_jets: int, layout: Layout | None
    ) -> Iterator[JetArrays]:
        """Yield all jets in the file's order, at most so many at a time.

        ``index`` numbers the rows of the file from 0 on; ``sources`` are ``(str(path),)``.
        Particles are in order of falling pT, momenta in GeV, impact parameters in mm:
        ``arrays.pack_jets`` makes such jets. Jets with a fault are yielded too: they are judged
        later.
        """
        ...

    def list_branches(self, path: Path, layout: Layout | None) -> Sequence[str]:
        """Return the names that ``read_branches`` knows."""
        ...

    def read_branches(
        self, path: Path, names: Sequence[str], layout: Layout | None
    ) -> dict[str, ak.Array]:
        """Return whole branches that the file has, one entry a jet."""
        ...


@dataclass(frozen=True)
class Format:
    """A reader, and which files are for it.

    Parameters
    ----------
    suffixes
        What the names of its files end in, in small letters.
    magic
        What its files begin with; without it they are known by their names.
    applies
        Whether it is for a file that begins so; by default it is.
    """

    reader: Reader
    suffixes: tuple[str, ...]
    magic: bytes = b""
    applies: Callable[[Path, Layout | None], bool] = lambda _path, _layout: True


READERS: Registry[Format] = Registry("reader")


def register_reader(
    name: str,
    *,
    suffixes: Sequence[str],
    magic: bytes = b"",
    applies: Callable[[Path, Layout | None], bool] | None = None,
) -> Callable[[T], T]:
    """Return a decorator that adds a reader: a class without arguments, an object, or a module.

    Parameters
    ----------
    name
        Of the format, in small letters.
    suffixes
        What the names of its files end in (``".lhco.h5"``): such files are found in directories,
        and read by it whatever they begin with, unless there is a ``magic``.
    magic
        The bytes that its files begin with, whatever their names are.
    applies
        Of a file and a layout: whether the reader is for it, if several are for the same ``magic``.

    Raises
    ------
    InputError
        If the name, or without ``magic`` a suffix, is that of another reader.
    TypeError
        If a function of ``Reader`` is missing.

    Examples
    --------
    >>> @register_reader("toy", suffixes=[".toy"])  # doctest: +SKIP
    ... class ToyReader:
    ...     def count_jets(self, path, layout): ...
    """

    def add(reader: T) -> T:
        instance = reader() if isinstance(reader, type) else reader
        if not isinstance(instance, Reader):
            functions = [f for f in vars(Reader) if f.startswith(("count", "read", "list"))]
            missing = [f for f in functions if not hasattr(instance, f)]
            raise TypeError(f"the reader {name} lacks {', '.join(missing)}")
        ends = tuple(suffix.lower() for suffix in suffixes)
        for other, known in READERS.items() if not magic else ():
            if other != name and set(ends) & set(known.suffixes):
                raise InputError(
                    f"files that end in {', '.join(ends)} are read by the reader {other}; give "
                    f"{name} a suffix of its own, or what its files begin with"
                )
        chosen = Format(instance, ends, magic)
        chosen = chosen if applies is None else replace(chosen, applies=applies)
        READERS.add(name, chosen, definition=reader)
        return reader

    return add


def known_suffixes() -> tuple[str, ...]:
    """Return what the names of readable files end in."""
    return tuple(dict.fromkeys(s for format_ in READERS.values() for s in format_.suffixes))


def reader_of(path: Path, layout: Layout | None) -> Reader:
    """Return the reader of a file.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, or there is none for it.
    """
    formats = tuple(READERS.values())
    with refuse_damaged(path), path.open("rb") as file:
        head = file.read(max(len(format_.magic) for format_ in formats))
    if not head:
        raise InputError(f"{path} is empty; get the file again, or leave it out")
    for format_ in formats:
        if not format_.magic and path.name.lower().endswith(format_.suffixes):
            return format_.reader
    for format_ in formats:
        if format_.magic and head.startswith(format_.magic) and format_.applies(path, layout):
            return format_.reader
    raise InputError(
        f"{path} does not begin as a ROOT, HDF5, parquet or npz file: it is damaged or of another "
        "format"
    )
