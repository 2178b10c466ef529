"""One file over HTTP, continued where it was cut, and only ever there whole and right.

While it comes, a file is called ``NAME.part``; an interruption leaves that, and the next call goes
on from its end by a range request. It gets its name once its MD5 is right. A file with a wrong one
is kept as ``NAME.wrong`` and never used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from parttag import __version__
from parttag.errors import InputError
from parttag.progress import Progress, no_progress
from parttag.samples.download.records import Source, web_address
from parttag.system.atomic_files import sync
from parttag.system.files import open_own, refuse_unwritable, sha256

CHUNK = 1 << 20  # bytes
_TIMEOUT = 60.0  # seconds without a byte
_ATTEMPTS = 5  # in a row without a byte
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206


def fetch(
    source: Source,
    directory: Path,
    *,
    progress: Progress = no_progress,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file to a directory, or the rest of it, and return its path.

    A file that is there already with the right checksum is left as it is.

    Parameters
    ----------
    source
        Where from, how many bytes, and their MD5.
    directory
        Where to; made if need be.
    progress
        Is told of each MiB.
    wait
        Called with the seconds between two attempts.

    Raises
    ------
    InputError
        If the server does not give the file, what it gives has another checksum, or the file
        cannot be written.
    """
    path = directory / source.name
    if path.exists():
        if _difference(path, source) is None:
            return path
        raise InputError(
            f"{path} is there already, but is not the record's file ({_difference(path, source)}): "
            "move it away"
        )
    partial = path.with_name(f"{path.name}.part")
    with refuse_unwritable(partial):
        directory.mkdir(parents=True, exist_ok=True)
        os.close(open_own(partial, os.O_WRONLY | os.O_CREAT))
    pieces = _until_complete(source, partial, wait)
    for _ in progress(pieces, total=-(-source.size // CHUNK), description=f"{source.name}, MiB"):
        pass
    difference = _difference(partial, source)
    if difference is not None:
        wrong = path.with_name(f"{path.name}.wrong")
        partial.replace(wrong)
        raise InputError(
            f"{source.name} arrived damaged ({difference}): what came is kept as "
            f"{wrong} and not used; give the same command again to download it anew"
        )
    with refuse_unwritable(path):
        sync(partial)
        partial.replace(path)
        sync(directory)
    return path


def missing_bytes(source: Source, directory: Path) -> int:
    """Return how much of a file is still to come."""
    path = directory / source.name
    partial = path.with_name(f"{path.name}.part")
    if path.exists():
        return 0
    return max(source.size - (partial.stat().st_size if partial.exists() else 0), 0)


def md5(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal."""
    import pooch

    digest: str = pooch.file_hash(str(path), alg="md5")
    return digest


def _difference(path: Path, source: Source) -> str | None:
    """Return which checksum of a file is wrong, ``None`` if none is.

    MD5 finds damage; another file with the same one can be made, so SHA-256 counts where known.
    """
    found = md5(path)
    if found != source.md5:
        return f"MD5 {found}, not {source.md5}"
    if source.sha256 is not None and sha256(path) != source.sha256:
        return f"SHA-256 {sha256(path)}, not {source.sha256}"
    return None


def _until_complete(source: Source, partial: Path, wait: Callable[[float], None]) -> Iterator[None]:
    """Yield for each MiB that the partial file has, until it has all bytes."""
    for _ in range(min(partial.stat().st_size, source.size) // CHUNK):
        yield
    failures, reason = 0, ""
    while (have := partial.stat().st_size) != source.size:
        if failures == _ATTEMPTS:
            raise InputError(
                f"{source.name}: {have:,} of {source.size:,} bytes came, and then no more "
                f"({reason}): give the same command again later, and it continues"
            )
        if failures:
            wait(2.0**failures)
        try:
            yield from _next_part(source, partial, have)
            reason = "the connection was cut"
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
        failures = 0 if partial.stat().st_size > have else failures + 1


def _next_part(source: Source, partial: Path, have: int) -> Iterator[None]:
    """Append what one request gives to the partial file, and yield for each chunk.

    A server that ignores the range, or whose file is of another length, makes it start anew.
    """
    if have > source.size:
        _cut(partial)
        return
    headers = {"User-Agent": f"parttag/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: HTTPResponse = _ask(source.url, headers)
    except HTTPError as error:
        with error:
            if error.code == _RANGE_NOT_SATISFIABLE:
                _cut(partial)
                return
            if error.code in _BUSY:
                raise
            raise InputError(
                f"{source.url} is not given out (HTTP {error.code} {error.reason}): look at the "
                "record, or download the file by hand"
            ) from error
    with response:
        if have and not _continues(response, have, source.size):
            _cut(partial)
            have = 0
            if response.status == _PARTIAL_CONTENT:
                return
        yield from _append(response, partial, source.size - have)


class _WebOnly(HTTPRedirectHandler):
    """Follows a server's redirection to another address of the web, and nowhere else."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return what to ask for instead, or raise if it is not on the web."""
        try:
            _refuse_off_web(newurl)
        except InputError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _ask(url: str, headers: dict[str, str]) -> HTTPResponse:
    _refuse_off_web(url)
    response: HTTPResponse = build_opener(_WebOnly).open(
        Request(url, headers=headers), timeout=_TIMEOUT
    )
    return response


def _refuse_off_web(url: str) -> None:
    try:
        web_address(url)
    except ValueError as error:
        raise InputError(f"{error}: the record is not what it was; try again later") from error


def _append(response: HTTPResponse, partial: Path, wanted: int) -> Iterator[None]:
    """Write what comes, but not more than is wanted."""
    with refuse_unwritable(partial):
        file = os.fdopen(open_own(partial, os.O_WRONLY | os.O_APPEND), "ab")
    with file:
        while wanted and (chunk := response.read(min(CHUNK, wanted))):
            with refuse_unwritable(partial):
                file.write(chunk)
                file.flush()
            wanted -= len(chunk)
            yield


def _continues(response: HTTPResponse, have: int, size: int) -> bool:
    """Return whether a response is the part of the file that was asked for."""
    given = response.headers.get("Content-Range", "")
    return response.status == _PARTIAL_CONTENT and given == f"bytes {have}-{size - 1}/{size}"


def _cut(partial: Path) -> None:
    with refuse_unwritable(partial):
        os.close(open_own(partial, os.O_WRONLY | os.O_TRUNC))
