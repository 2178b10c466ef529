"""Arrays in npz files, a few rows at a time: no pickle is opened, nothing large is believed.

``numpy.load`` would take each array whole into memory, and as much as its header says. Here the
header must agree with the size of the archive's member, rows are decompressed as they are asked
for, and after the last one the member's checksum is compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from zipfile import ZipExtFile, ZipFile

import numpy as np
from numpy.lib import format as npy

from parttag.errors import InputError
from parttag.system.files import refuse_damaged
from parttag.system.remote_files import openable

_MAX_HEADER_BYTES = 10_000
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class ArrayStream:
    """An array of an npz file, read from its first row on.

    ``shape`` and ``dtype`` are those of the whole array, whose rows are still to come.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    stream: ZipExtFile

    @property
    def row_bytes(self) -> int:
        """Size of one row in memory."""
        return self.dtype.itemsize * prod(self.shape[1:])

    def read_rows(self, number: int) -> np.ndarray:
        """Return the next rows.

        Raises
        ------
        InputError
            If there are fewer, or what is stored cannot be decompressed.
        """
        with refuse_damaged(self.path):
            content = self.stream.read(number * self.row_bytes)
            return np.frombuffer(content, self.dtype).reshape(number, *self.shape[1:])

    def finish(self) -> None:
        """Read to the end and compare the checksum.

        Raises
        ------
        InputError
            If it is wrong.
        """
        with refuse_damaged(self.path):
            while self.stream.read(_PIECE_BYTES):  # zipfile compares at the end
                pass


@contextmanager
def open_npz(path: Path) -> Iterator[ZipFile]:
    """Open the archive.

    Raises
    ------
    InputError
        If it is none, or damaged.
    """
    with refuse_damaged(path):
        archive = ZipFile(openable(path))
    with archive:
        yield archive


def array_names(archive: ZipFile) -> tuple[str, ...]:
    """Return the names of an archive's arrays."""
    members = archive.namelist()
    return tuple(m.removesuffix(".npy") for m in members if m.endswith(".npy"))


@contextmanager
def open_array(
    archive: ZipFile, name: str, path: Path, *, kinds: str = "bfiu"
) -> Iterator[ArrayStream]:
    """Open an array of numbers, or of the other kinds of NumPy types that are given.

    Raises
    ------
    InputError
        If there is none of this name, it holds anything but numbers, is stored column by column, or
        its header disagrees with its size.
    """
    member = f"{name}.npy"
    if member not in archive.namelist():
        names = ", ".join(entry.removesuffix(".npy") for entry in archive.namelist())
        raise InputError(f"{path} has no array {name}; it has {names or 'none'}")
    with refuse_damaged(path):
        stream = archive.open(member)
    with stream:
        assert isinstance(stream, ZipExtFile)  # as it is opened for reading
        with refuse_damaged(path):
            version = npy.read_magic(stream)
            read_header = {
                (1, 0): npy.read_array_header_1_0,
                (2, 0): npy.read_array_header_2_0,
            }[version]
            shape, by_columns, dtype = read_header(stream, max_header_size=_MAX_HEADER_BYTES)
            size = stream.tell() + dtype.itemsize * prod(shape)
        if dtype.kind not in kinds:
            raise InputError(f"{path}: the array {name} must hold numbers, not {dtype}")
        if by_columns and len(shape) > 1:
            raise InputError(
                f"{path}: the array {name} is stored column by column; save it again after "
                "numpy.ascontiguousarray"
            )
        if not shape:
            raise InputError(f"{path}: the array {name} is a single number, not one a jet")
        if size != archive.getinfo(member).file_size:
            raise InputError(
                f"{path} is damaged: the array {name} is not of the size that its header says; get "
                "the file again, or leave it out"
            )
        yield ArrayStream(path, name, tuple(shape), dtype, stream)
