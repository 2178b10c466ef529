"""The lock of a run's directory: one training at a time."""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parttag.errors import InputError, option
from parttag.system.atomic_files import made_directory
from parttag.system.files import open_own, refuse_unwritable

logger = logging.getLogger(__name__)

LOCK = ".lock"
_MOST_BYTES = 1000
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def only_training(directory: Path) -> Iterator[None]:
    """Keep other trainings out of a directory, which is made if need be, for as long as this lasts.

    The lock is the operating system's: it ends with the process, in whatever way that ends, and the
    file ``.lock`` that a killed one leaves is no obstacle. The ranks of a training share that of
    the first. If nothing came of a new directory, it is removed again.

    Raises
    ------
    InputError
        If another process of this or, on a shared disk, another machine trains in it; the message
        names both. Also if the directory cannot be made.
    """
    with made_directory(directory):
        path = directory / LOCK
        with refuse_unwritable(path):
            file = _locked(path)
        try:
            yield
        finally:
            # While it is ours: whoever opens it from now on finds another file, or none.
            with suppress(OSError):
                path.unlink()
            os.close(file)


def _locked(path: Path) -> int:
    """Return the lock file, opened and locked."""
    while True:
        file = open_own(path, os.O_RDWR | os.O_CREAT)
        try:
            # Of this process alone, and not of those that it starts.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                logger.warning("%s: this disk has no locks; train here once at a time", path)
                return file
            holder = _holder(os.read(file, _MOST_BYTES))
            os.close(file)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise InputError(
                f"{path.parent} is being trained by {holder}; wait for its end, or give another "
                f"{option('out', '')}"
            ) from error
        if _is_there(file, path):
            who = {"host": os.uname().nodename, "process": os.getpid()}
            os.ftruncate(file, 0)
            os.write(file, json.dumps(who).encode())
            return file
        os.close(file)  # of one that has just ended


def _is_there(file: int, path: Path) -> bool:
    """Return whether the name still is that of the open file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), path.lstat())
    return False


def _holder(content: bytes) -> str:
    """Return who holds a lock, as it says itself."""
    try:
        who = json.loads(content)
        return f"process {int(who['process'])} on {str(who['host'])[:100]}"
    except (ValueError, LookupError, TypeError):
        return "another process"
