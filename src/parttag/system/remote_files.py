"""Files on other machines, ``root://`` and ``https://``, where a path is expected."""

import os
from pathlib import Path, PosixPath
from typing import Any

from parttag.errors import InputError


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
        return self.url

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

        return fsspec.open(self.url, mode).open()

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return a record in which only the size means anything."""
        del follow_symlinks
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(self.url)
        return os.stat_result((0, 0, 0, 0, 0, 0, int(filesystem.size(path)), 0, 0, 0))


def is_url(pattern: str | Path) -> bool:
    """Return whether a text names a file of another machine."""
    return isinstance(pattern, RemotePath) or "://" in str(pattern)


def remote_path(url: str) -> RemotePath:
    """Return the path that stands for a URL.

    Raises
    ------
    InputError
        If it is a glob, or what reads this kind of URL is not installed.
    """
    import fsspec

    protocol = url.partition("://")[0]
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
    """Return what a library that knows nothing of URLs can open: the path, or the open file."""
    return path.open("rb") if isinstance(path, RemotePath) else path
