"""The public data sets, downloaded from their records on Zenodo, checked and unpacked."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from parttag.errors import InputError, option
from parttag.progress import Progress, no_progress
from parttag.samples.download.archives import unpack
from parttag.samples.download.records import RECORDS, ZENODO, DataSet, Source, look_up
from parttag.samples.download.transfer import fetch, missing_bytes
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_damaged

_DONE = "download.json"


class _Entry(TypedDict):
    """What ``download.json`` says of a file: its MD5, and path and size of what it became."""

    md5: str
    files: dict[str, int]


@dataclass(frozen=True)
class Download:
    """A file of a record, and the files that it became: itself, or what it unpacked to."""

    source: Source
    files: tuple[Path, ...]


def download(
    data_set: DataSet,
    out: Path,
    files: Sequence[str] = (),
    *,
    base_url: str = ZENODO,
    progress: Progress = no_progress,
    wait: Callable[[float], None] = time.sleep,
) -> list[Download]:
    """Download a public data set, or parts of it, and return what is there now.

    Downloads that were interrupted go on where they stopped, files that are there are left as they
    are. Archives are unpacked into ``out`` and then deleted; ``out/download.json`` remembers them.

    Parameters
    ----------
    data_set
        ``toptagging``, ``jetclass`` or ``quarkgluon``.
    out
        Directory to download to.
    files
        Names or aliases of files of the record (``train``, ``val``, ``test``, ``part0`` …); all if
        there are none.
    base_url
        Where the record is.
    progress
        Is told of each MiB.
    wait
        Called with the seconds between two attempts.

    Raises
    ------
    InputError
        If a file is not part of the record, the record or a file cannot be had, a checksum is
        wrong, an archive is not what it should be, or there is not enough space.
    """
    record = RECORDS[data_set]
    chosen = record.choose(files)
    done = _read_done(out)
    sources = look_up(record, chosen, base_url)
    missing = [source for source in sources if not _is_done(source, out, done)]
    _refuse_full_disk(missing, out)
    for source in missing:
        path = fetch(source, out, progress=progress, wait=wait)
        unpacked = [path]
        if _is_archive(source):
            unpacked = unpack(path, out, progress=progress)
        sizes = {str(file.relative_to(out)): file.stat().st_size for file in unpacked}
        done[source.name] = _Entry(md5=source.md5, files=sizes)
        _write_done(out, done)
    for source in filter(_is_archive, sources):
        (out / source.name).unlink(missing_ok=True)
    return [
        Download(source, tuple(out / name for name in done[source.name]["files"]))
        for source in sources
    ]


def _is_archive(source: Source) -> bool:
    return source.name.endswith(".tar")


def _is_done(source: Source, out: Path, done: dict[str, _Entry]) -> bool:
    """Return whether a file was downloaded before and all that it became is still there."""
    entry = done.get(source.name)
    return (
        entry is not None
        and entry["md5"] == source.md5
        and all(
            (out / name).is_file() and (out / name).stat().st_size == size
            for name, size in entry["files"].items()
        )
    )


def _refuse_full_disk(sources: Sequence[Source], out: Path) -> None:
    """Raise ``InputError`` if what is still to come will not fit."""
    needed = sum(missing_bytes(source, out) for source in sources)
    # An archive is deleted only after it was unpacked: the largest is there twice for a while, and
    # what has come of the others is yet to be unpacked.
    archives = [source.size for source in sources if _is_archive(source)]
    needed += max(archives, default=0)
    place = next(p for p in (out, *out.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{option('out', str(out))} has {_gigabytes(free)} free, but {_gigabytes(needed)} "
            "are needed: free "
            f"some space, choose another place, or take a part with {option('files', '')}"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def _read_done(out: Path) -> dict[str, _Entry]:
    path = out / _DONE
    if not path.exists():
        return {}
    with refuse_damaged(path):
        done = {
            name: _Entry(
                md5=str(entry["md5"]), files={k: int(v) for k, v in entry["files"].items()}
            )
            for name, entry in json.loads(path.read_text(encoding="utf-8")).items()
        }
    for name in (name for entry in done.values() for name in entry["files"]):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{path} names {name}, a file outside of {out}: delete {path}")
    return done


def _write_done(out: Path, done: dict[str, _Entry]) -> None:
    write_file(out / _DONE, (json.dumps(done, indent=2) + "\n").encode())
