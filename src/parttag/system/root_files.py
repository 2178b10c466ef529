"""ROOT files through uproot, which never takes the name of a local file for a URL or a chain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uproot

from parttag.system.remote_files import RemotePath


def open_root(path: Path) -> Any:
    """Open a ROOT file for reading; what uproot raises is passed on."""
    # The cache would keep 100 MB of branches that are read only once.
    if isinstance(path, RemotePath):
        return uproot.open(path, array_cache=None)
    # By default uproot gives every name to fsspec, which opens `zip::a.root` as something else.
    return uproot.open(path, array_cache=None, handler=uproot.MultithreadedFileSource)


@contextmanager
def new_root(path: Path) -> Iterator[Any]:
    """Open a new ROOT file of this machine for writing; what is raised is passed on."""
    with path.open("w+b") as stream, uproot.recreate(stream) as file:
        yield file
