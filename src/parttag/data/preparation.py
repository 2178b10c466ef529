"""From any readable files to a JetStore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parttag import __version__
from parttag.data.cuts import CutOptions, drop_outside
from parttag.data.files import refuse_unwritable
from parttag.data.intake import Intake, JetCounts, describe_sources
from parttag.data.readers import find_files
from parttag.data.readers.column_layout import layout_of
from parttag.data.readers.columns import ColumnsOptions
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
from parttag.options import Options
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
    columns: ColumnsOptions | None = None,
    cuts: CutOptions | None = None,
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
    columns
        What the branches of the files mean, if not what they do in the public sets.
    cuts
        Ranges outside of which jets are left out.

    Raises
    ------
    InputError
        If a file cannot be read; if there is anything else at ``out``; if the disk is full or
        writing not permitted. Then nothing is left at ``out``.
    """
    out = Path(out)
    cuts = cuts or CutOptions()
    intake = Intake(find_files(files), strict=strict, layout=layout_of(columns))
    choices = {"columns": _given(columns), "cuts": _given(cuts)}
    sources = describe_sources(intake.entries, progress)
    if is_store(out):
        store = _same_store(out, sources, choices)
        if strict:
            refuse_dropped(store)
        return _report(store, existed=True)
    with refuse_unwritable(out), new_store(out):
        chunks = drop_outside(intake.chunks(progress), cuts, intake.counts)
        shards = write_shards(out, chunks)
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
            **choices,
        )
        write_manifest(out, manifest)
    return _report(JetStore(out), existed=False)


def _given(options: Options | None) -> dict[str, Any]:
    """Return the options that were given, without the defaults."""
    return {} if options is None else options.model_dump(mode="json", exclude_defaults=True)


def _same_store(
    out: Path, sources: Sequence[Source], choices: Mapping[str, dict[str, Any]]
) -> JetStore:
    """Return the store at ``out`` if it is of sources of the same content, wherever they lay."""
    store = JetStore(out)
    if [s.sha256 for s in store.manifest.sources] != [s.sha256 for s in sources]:
        raise InputError(
            f"{out} holds a store made from other files; choose another place, or delete it first"
        )
    for name, choice in choices.items():
        if getattr(store.manifest, name) != choice:
            raise InputError(
                f"{out} holds a store made from these files with other {name}; choose another "
                "place, or delete it first"
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
