"""Writing that a full disk, a kill or a power cut does not leave half done.

What is written has another name until all of it is on the disk, and only then its own. A process
that was killed may leave files whose names end in ``.partial``.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path

from parttag.errors import InputError, option
from parttag.system.files import refuse_unwritable

_PARTIAL = ".partial"


@contextmanager
def whole_files(paths: Sequence[Path], *, lasting: bool = True) -> Iterator[tuple[Path, ...]]:
    """Give names to write files to, which get their own names when the block ends, all of them.

    If the block raises, nothing is left, and files that were there before stay. Files that need not
    be ``lasting`` are not waited for: a power cut may leave them empty.

    Raises
    ------
    InputError
        If what was written cannot be put in its place. Errors of the block pass as they are.
    """
    partial = tuple(_partial_name(path) for path in paths)
    try:
        yield partial
        for part, path in zip(partial, paths, strict=True):
            with refuse_unwritable(path):
                if lasting:
                    sync(part)
        for part, path in zip(partial, paths, strict=True):
            with refuse_unwritable(path):
                part.replace(path)
        for directory in {path.parent for path in paths}:
            with refuse_unwritable(directory):
                if lasting:
                    sync(directory)
    finally:
        _remove(partial)


@contextmanager
def whole_file(
    path: Path, keep_old_as: Path | None = None, *, lasting: bool = True
) -> Iterator[Path]:
    """Give a name to write a file to, which gets its own name when the block ends.

    If the block raises, nothing is left, and a file that was there before stays. Missing parents
    are made.

    Parameters
    ----------
    keep_old_as
        The new name of the file that was there before, if it is to stay after a success.
    lasting
        See ``whole_files``.

    Raises
    ------
    InputError
        If it cannot be written: the block or what follows it raises ``OSError``.
    """
    with refuse_unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files([path], lasting=lasting) as (partial,):
            yield partial
            if keep_old_as is not None and path.exists():
                sync(partial)  # before the old file gives up its name
                path.replace(keep_old_as)


def write_file(path: Path, data: bytes | memoryview, keep_old_as: Path | None = None) -> None:
    """Write a file by ``whole_file``.

    Raises
    ------
    InputError
        If it cannot be written: full disk, no permission. What was there before is intact.
    """
    with whole_file(path, keep_old_as) as partial, partial.open("xb") as file:
        file.write(data)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Give a new directory to write to, which gets its own name when the block ends.

    If the block raises, nothing is left. Missing parents are made.

    Raises
    ------
    InputError
        If it cannot be written: the block or what follows it raises ``OSError``.
    """
    partial = _partial_name(path)
    try:
        with refuse_unwritable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            yield partial
            for inside in (*partial.rglob("*"), partial):
                sync(inside)
            partial.rename(path)
            sync(path.parent)
    finally:
        _remove([partial])


@contextmanager
def made_directory(path: Path) -> Iterator[None]:
    """Make a directory and its parents; remove those again if the block raises and leaves no file.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    with refuse_unwritable(path):
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # something else is in it by now
            for directory in missing:
                directory.rmdir()
        raise


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to replace what is there already.

    Raises
    ------
    InputError
        If one of the files exists.
    """
    for path in paths:
        if path.exists():
            raise InputError(f"{path} exists already; add {option('overwrite')} to replace it")


class OutputFile(io.FileIO):
    """A new file that remembers a failed write instead of raising it.

    HDF5 brings the interpreter down at exit if it could not write what it had to, and other
    libraries leave files open. So they see every write succeed, and ``check`` says the truth.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.failure: OSError | None = None

    def write(self, data: object, /) -> int:
        """Write all of ``data``, or remember why not; return its length in any case."""
        left = memoryview(data).cast("B")  # type: ignore[arg-type]
        length = len(left)
        try:
            while left and self.failure is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
        return length

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file, or remember why not; return the size in any case."""
        size = self.tell() if size is None else size
        try:
            super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
        return size

    def check(self) -> None:
        """Raise the ``OSError`` of the first write that failed, if one did."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def new_files(paths: Sequence[Path], *, overwrite: bool) -> Iterator[tuple[OutputFile, ...]]:
    """Open files that get their names when the block ends, all of them, synced to the disk.

    If the block raises, or a write fails, nothing is left, and files that were there before stay.

    Raises
    ------
    InputError
        If a file exists and is not to be overwritten, or cannot be written.
    """
    if not overwrite:
        refuse_existing(paths)
    for path in paths:
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no directory {path.parent}; make it first")
    with whole_files(paths) as partial, ExitStack() as stack:
        files = [
            stack.enter_context(_create(part, path))
            for part, path in zip(partial, paths, strict=True)
        ]
        yield tuple(files)
        for file, path in zip(files, paths, strict=True):
            with refuse_unwritable(path):
                file.check()


def is_partial(path: Path) -> bool:
    """Return whether this is what a writer that was killed has left of a file."""
    return path.name.endswith(_PARTIAL)


def remove_partial_files(directory: Path) -> None:
    """Delete what writers that were killed have left right inside a directory, if there is one."""
    _remove(directory.glob(f"*{_PARTIAL}"))


def sync(path: Path) -> None:
    """Make the content of a file, or the renames in a directory, survive a power cut.

    By its name, because a library may have closed the file.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(partial: Path, path: Path) -> OutputFile:
    with refuse_unwritable(path):
        return OutputFile(partial)


def _partial_name(path: Path) -> Path:
    """Return the name of what this process writes, and remove what one of its number has left.

    Nobody can foresee the name and let a link to another file wait there.
    """
    start = f".{path.name}.{os.getpid()}."
    _remove(path.parent.glob(f"{escape(start)}*{_PARTIAL[1:]}"))
    return path.with_name(f"{start}{secrets.token_hex(8)}{_PARTIAL}")


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
