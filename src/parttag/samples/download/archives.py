"""Archives of jets unpacked: plain files only, nothing outside of the folder, all or nothing."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from parttag.errors import InputError
from parttag.progress import Progress, no_progress
from parttag.system.atomic_files import sync
from parttag.system.files import refuse_damaged, refuse_unwritable

# More than any of the public sets has: JetClass's largest archive has a thousand files in a folder.
_MOST_FILES = 100_000
_MOST_DEEP = 20


def unpack(archive: Path, directory: Path, *, progress: Progress = no_progress) -> list[Path]:
    """Unpack a tar archive into a directory and return the files.

    Members come to ``directory`` when all of them have been unpacked; files of the same name there
    are replaced.

    Raises
    ------
    InputError
        If a member is not a plain file or folder or would lie outside of ``directory``, the archive
        is damaged, or its files cannot be written; then none of them is in ``directory``. Also if
        this Python cannot tell where a member would lie, as before 3.11.4.
    """
    if not hasattr(tarfile, "data_filter"):
        raise InputError(
            f"{archive}: to unpack it safely, Python 3.11.4 or newer is needed; it is kept, unpack "
            f"it by hand into {directory}, or run this again with a newer Python"
        )
    staging = directory / f"{archive.name}.unpacking"
    with refuse_unwritable(staging):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    try:
        members = _extracted(archive, staging)
        for _ in progress(members, total=None, description=f"{archive.name}, files"):
            pass
        with refuse_unwritable(directory):
            return _move(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extracted(archive: Path, staging: Path) -> Iterator[None]:
    with ExitStack() as stack:
        with refuse_damaged(archive):
            tar = stack.enter_context(tarfile.open(archive, "r:"))
        number, unread = 0, archive.stat().st_size
        while True:
            with refuse_damaged(archive):
                member = tar.next()
            if member is None:
                return
            if member.issparse():
                raise _refused(archive, member.name, "is sparse: larger than what is stored of it")
            number, unread = number + 1, unread - member.size
            if number > _MOST_FILES or unread < 0:
                raise InputError(
                    f"{archive} has more than {_MOST_FILES:,} members, or more in them than it has "
                    "bytes: nothing was unpacked; do not use this archive"
                )
            if member.name.count("/") > _MOST_DEEP:
                raise _refused(archive, member.name, f"is more than {_MOST_DEEP} levels deep")
            # JetClass's archives have neither links nor devices, through which a member could
            # reach out of the folder in ways that the filter below has overlooked in the past.
            if not (member.isreg() or member.isdir()):
                raise _refused(archive, member.name, "is neither a file nor a folder")
            try:
                tar.extract(member, staging, filter="data")
            except tarfile.FilterError as error:
                raise _refused(archive, member.name, "would lie outside of the folder") from error
            except tarfile.TarError as error:
                raise _refused(archive, member.name, f"is damaged ({error})") from error
            except OSError as error:
                with refuse_unwritable(staging):
                    raise error
            yield


def _refused(archive: Path, member: str, reason: str) -> InputError:
    return InputError(
        f"{archive}: its member {member!r:.300} {reason}: nothing was unpacked; do not use this "
        "archive"
    )


def _move(staging: Path, directory: Path) -> list[Path]:
    moved = []
    files = sorted(path for path in staging.rglob("*") if path.is_file())
    for file in files:
        for folder in file.relative_to(staging).parents:
            if (directory / folder).is_symlink() and folder.parts:
                raise InputError(
                    f"{directory / folder} is a link to another folder: nothing was unpacked; "
                    "remove it, or choose another place"
                )
    for file in files:
        target = directory / file.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        sync(file)
        file.replace(target)
        moved.append(target)
    for folder in {path.parent for path in moved}:
        sync(folder)
    return moved
