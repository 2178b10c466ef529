"""A whole simulation: its shards made in several processes, interrupted and continued at will."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from parttag.data.writers.jetclass import read_provenance
from parttag.errors import InputError, option
from parttag.progress import Progress, no_progress
from parttag.samples.simulation.packages import require_packages
from parttag.samples.simulation.sample import Sample
from parttag.samples.simulation.shards import Shard, describe, make_shard, plan_shards
from parttag.system.atomic_files import is_partial, remove_partial_files, write_file
from parttag.system.processes import run_all

_PROVENANCE = "provenance.json"


def simulate(
    sample: Sample, out: Path, *, processes: int = 1, progress: Progress = no_progress
) -> dict[str, Any]:
    """Simulate a sample into ``out/{train,val,test}/*.root``, and return the provenance.

    The jets depend on ``sample`` only, not on the number of processes or on interruptions: files
    that are there already are kept, and a file is there only when it is whole. The provenance is
    what ``out/provenance.json`` then holds: all that decides which jets come out, and for each file
    its jets, events, seeds and a hash of its jets.

    Raises
    ------
    InputError
        If the optional packages are missing, ``out`` holds something else, a file cannot be
        written, or a process dies.
    """
    require_packages()
    settings = describe(sample)
    shards = plan_shards(sample)
    _claim(out, settings)
    for directory in {out, *((out / shard.path).parent for shard in shards)}:
        remove_partial_files(directory)
    missing = [shard for shard in shards if not (out / shard.path).exists()]
    if missing:
        _make_all(sample, missing, out, processes, progress)
    files = [read_provenance(out / shard.path)["shard"] for shard in shards]
    provenance = {**settings, "files": files}
    _write(out, provenance)
    return provenance


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Make sure that ``out`` holds nothing but this simulation, and say in it that it does."""
    written = out / _PROVENANCE
    if not written.exists():
        if out.exists() and any(not is_partial(path) for path in out.iterdir()):
            raise InputError(
                f"{option('out', str(out))} is not empty and holds no simulation: choose another"
            )
        _write(out, settings)
        return
    try:
        found = {"format": 1, **json.loads(written.read_text(encoding="utf-8"))}
        differing = [name for name in settings if found[name] != settings[name]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{written} is no provenance of a simulation: choose another {option('out', '')}"
        ) from error
    if differing:
        changes = ", ".join(_changes(found[name], settings[name], name) for name in differing)
        raise InputError(
            f"{option('out', str(out))} holds another simulation ({changes}): choose another "
            "directory, or "
            "delete that one"
        )


def _changes(found: Any, wanted: Any, name: str) -> str:
    """Name what differs, down to the single values of a mapping."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return ", ".join(
            _changes(found.get(key), value, key)
            for key, value in wanted.items()
            if found.get(key) != value
        )
    return f"{name} {found}, not {wanted}"


def _make_all(
    sample: Sample,
    shards: Sequence[Shard],
    out: Path,
    processes: int,
    progress: Progress,
) -> None:
    try:
        with closing(run_all(partial(make_shard, sample, out), shards, processes)) as done:
            for _ in progress(done, total=len(shards), description="files of simulated jets"):
                pass
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that simulated jets for {out} was killed (for lack of memory? each takes "
            "about 200 MB): give the same command again, and it continues"
        ) from error


def _write(out: Path, provenance: dict[str, Any]) -> None:
    write_file(out / _PROVENANCE, json.dumps(provenance, indent=2).encode() + b"\n")
