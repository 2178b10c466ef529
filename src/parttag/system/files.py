"""Sentences about files that cannot be read or written, and a file's SHA-256."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parttag.errors import InputError
from parttag.system.remote_files import RemotePath


@contextmanager
def refuse_damaged(path: Path) -> Iterator[None]:
    """Turn whatever a library raises while it reads the file into one sentence.

    Damaged bytes make the libraries raise almost anything, from ``KeyError`` to ``zlib.error``: so
    put only their calls into the block, and none of our own logic.

    Raises
    ------
    InputError
        If the block raises, or the path is a pipe or a device, which might never end.
    """
    refuse_irregular(path)
    try:
        yield
    except (InputError, ImportError):
        raise
    except MemoryError as error:
        raise InputError(
            f"{path} asks for more memory than there is ({error}): it is damaged, or too large for "
            "this machine"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
        if isinstance(path, RemotePath):
            raise InputError(
                f"{path} cannot be read ({reason}); try again, or copy the file to this machine"
            ) from error
        raise InputError(
            f"{path} is damaged or cut short ({reason}); get the file again, or leave it out"
        ) from error


@contextmanager
def refuse_unwritable(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission and the like into one sentence.

    Raises
    ------
    InputError
        If the block raises ``OSError``.
    """
    try:
        yield
    except OSError as error:
        # h5py puts a paragraph of its own where the system's short message belongs.
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        advice = "free some space" if error.errno in _NO_SPACE else "choose another place"
        raise InputError(f"{path} cannot be written ({reason.lower()}): {advice}") from error


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def open_own(path: Path, flags: int) -> int:
    """Open a file to write to, which must be one of its own: no link, and known by no other name.

    Where others may write, such a link may wait to have one of the user's files overwritten.

    Raises
    ------
    InputError
        If it is a link, a pipe or the like.
    OSError
        If it cannot be opened.
    """
    problem = InputError(
        f"{path} is a link or no regular file, which parttag never makes: look who put it there, "
        "and remove it"
    )
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe that nobody reads
            raise problem from error
        raise
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(file)
        raise problem
    return file


def refuse_irregular(path: Path) -> None:
    """Refuse a pipe, a device or a socket, which might never end, where a file is wanted.

    Raises
    ------
    InputError
        If the path is one. Files that are not there, directories and URLs pass.
    """
    if isinstance(path, RemotePath):
        return
    with suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{path} is no regular file: copy its content into one")


def read_small(path: Path, most: int) -> bytes:
    """Return the content of a regular file that has no more than so many bytes.

    Raises
    ------
    InputError
        If it is no regular file, or larger.
    OSError
        If it cannot be read.
    """
    refuse_irregular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path} has more than {most:,} bytes, too many for what it should be")
    return content


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    with refuse_damaged(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
