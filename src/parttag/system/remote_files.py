"""Files on other machines, ``root://`` and ``https://``, where a path is expected."""

import os
from pathlib import Path, PosixPath
from typing import Any

from parttag.errors import InputError
from parttag.options import REMOTE_PROTOCOLS


class RemotePath(PosixPath):
    """A URL in the place of a path: what reads files asks it as it would ask a path.

    It is neither a directory nor a file of this machine, and knows its size only from the server.
    """

    url: str

    def __new__(cls, url: str) -> "RemotePath":
        """Keep the URL as it is given: a path would make one slash of two."""
        self = super().__new__(cls, url)
        self.url = url
        return self

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        return _checked(self.url)

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (self.url,)

    def __truediv__(self, key: object) -> "RemotePath":
        return RemotePath(f"{self.url}/{key}")

    def resolve(self, strict: bool = False) -> "RemotePath":
        """Return itself."""
        del strict
        return self

    def is_dir(self) -> bool:
        """Return False: a directory of another machine cannot be listed."""
        return False

    def is_file(self) -> bool:
        """Return False: it is no file of this machine."""
        return False

    def open(self, mode: str = "rb", *_args: Any, **_kwargs: Any) -> Any:
        """Return the file opened for reading of bytes; each read asks the server for a range."""
        import fsspec

        return fsspec.open(_checked(self.url), mode).open()

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return a record in which only the size means anything."""
        del follow_symlinks
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(_checked(self.url))
        return os.stat_result((0, 0, 0, 0, 0, 0, int(filesystem.size(path)), 0, 0, 0))


def is_url(pattern: str | Path) -> bool:
    """Return whether a text names a file of another machine."""
    return isinstance(pattern, RemotePath) or "://" in str(pattern)


def remote_path(url: str) -> RemotePath:
    """Return the path that stands for a URL.

    Raises
    ------
    InputError
        If it is of another protocol than ``https``, ``http`` and ``root``, a glob, or what reads
        this kind of URL is not installed.
    """
    protocol = _checked(url).partition("://")[0]
    import fsspec

    if "*" in url:
        raise InputError(f"{url}: files of another machine cannot be listed; name each of them")
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{url} cannot be read here ({str(error).rstrip('.')}): install parttag[remote], or "
            "copy the file to this machine"
        ) from error
    return RemotePath(url)


def openable(path: Path) -> Any:
    """Return what a library that knows nothing of URLs can open: the path, or the open file.

    The path is absolute: ``http:/a.parquet`` is a file in a directory of this machine.
    """
    return path.open("rb") if isinstance(path, RemotePath) else path.absolute()


def _checked(url: str) -> str:
    """Return a URL that fsspec may be given, which would read 24 protocols and chains of them.

    Some of those run what the name tells them to (``reference``), or open files of this machine.
    """
    if not url.startswith(tuple(f"{protocol}://" for protocol in REMOTE_PROTOCOLS)):
        raise InputError(
            f"{url}: files of other machines are read by {', '.join(REMOTE_PROTOCOLS)} only; copy "
            "the file to this machine"
        )
    if "::" in url:
        raise InputError(f"{url}: a chain of addresses (::) is not read; give the file's https://")
    return url
