"""Files that take their names only when they are complete."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from parttag.data.files import refuse_unwritable
from parttag.data.writing import refuse_existing, whole_files
from parttag.errors import InputError


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


def _create(partial: Path, path: Path) -> OutputFile:
    with refuse_unwritable(path):
        return OutputFile(partial)
