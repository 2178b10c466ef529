"""From any readable files to a JetStore."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parttag import __version__
from parttag.data.files import refuse_unwritable
from parttag.data.intake import Intake, JetCounts, describe_sources
from parttag.data.readers import find_files
from parttag.data.store import (
    SCHEMA_VERSION,
    JetStore,
    Manifest,
    Source,
    is_store,
    refuse_dropped,
)
from parttag.data.store_writer import new_store, write_manifest, write_shards
from parttag.errors import InputError
from parttag.progress import Progress, no_progress


@dataclass(frozen=True)
class PrepareReport:
    """What ``prepare`` did: the store, the jets read and dropped, and whether it was there before.

    ``num_bytes`` is the size of the shards.
    """

    store: Path
    counts: JetCounts
    num_shards: int
    num_bytes: int
    existed: bool


def prepare(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    strict: bool = False,
    progress: Progress = no_progress,
) -> PrepareReport:
    """Write the good jets of the files to a store, in their order, and return what was done.

    A store at ``out`` that was made from files of the same content is left as it is.

    Parameters
    ----------
    files
        Files, globs, directories and stores.
    out
        Directory to make.
    strict
        Refuse a bad jet instead of dropping it.

    Raises
    ------
    InputError
        If a file cannot be read; if there is anything else at ``out``; if the disk is full or
        writing not permitted. Then nothing is left at ``out``.
    """
    out = Path(out)
    intake = Intake(find_files(files), strict=strict)
    sources = describe_sources(intake.entries, progress)
    if is_store(out):
        store = _same_store(out, sources)
        if strict:
            refuse_dropped(store)
        return _report(store, existed=True)
    with refuse_unwritable(out), new_store(out):
        shards = write_shards(out, intake.chunks(progress))
        if not intake.counts.kept:
            raise InputError(f"{out} would hold no jets: {intake.counts}")
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            parttag_version=__version__,
            num_jets=intake.counts.kept,
            num_particles=sum(shard.num_particles for shard in shards),
            extra_names=intake.extra_names,
            label_names=intake.label_names,
            dropped=intake.counts.dropped,
            sources=sources,
            shards=shards,
        )
        write_manifest(out, manifest)
    return _report(JetStore(out), existed=False)


def _same_store(out: Path, sources: Sequence[Source]) -> JetStore:
    """Return the store at ``out`` if its sources have the same content, wherever they lay."""
    store = JetStore(out)
    if [s.sha256 for s in store.manifest.sources] != [s.sha256 for s in sources]:
        raise InputError(
            f"{out} holds a store made from other files; choose another place, or delete it first"
        )
    return store


def _report(store: JetStore, *, existed: bool) -> PrepareReport:
    manifest = store.manifest
    num_read = manifest.num_jets + sum(manifest.dropped.values())
    return PrepareReport(
        store=store.directory,
        counts=JetCounts(num_read, manifest.dropped),
        num_shards=len(manifest.shards),
        num_bytes=sum(shard.bytes for shard in manifest.shards),
        existed=existed,
    )
