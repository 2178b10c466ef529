"""From any readable files to a JetStore."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path

from parttag import __version__
from parttag.data.jet_files import JetFiles
from parttag.data.preparation.shuffle import (
    Plan,
    Sizes,
    make_pieces,
    make_shard,
    num_shards,
    read_records,
    read_reports,
    shards_for,
)
from parttag.data.readers import CHUNK_JETS, read_chunks
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.data.selection.cuts import CutOptions
from parttag.data.selection.good_jets import JetCounts
from parttag.data.store.shard import Columns
from parttag.data.store.store import (
    MANIFEST,
    SCHEMA_VERSION,
    WORK,
    JetStore,
    Manifest,
    Source,
    is_store,
    own_files,
    refuse_dropped,
)
from parttag.data.store.writer import write_manifest
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays
from parttag.jets.kinds import KIND_COLUMN
from parttag.options import local_name
from parttag.progress import Progress, no_progress
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_damaged, refuse_unwritable
from parttag.system.processes import UnfinishedError, map_tasks
from parttag.system.remote_files import is_url

# By so many jets of the first file it is known how much memory a jet takes.
_HEAD_JETS = 1000


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
    shuffle: bool = True,
    seed: int = 0,
    strict: bool = False,
    columns: ColumnsOptions | None = None,
    cuts: CutOptions | None = None,
    column_names: Sequence[str] | None = None,
    processes: int = 1,
    scheduler: str | None = None,
    shard_bytes: int = Sizes.shard_bytes,
    piece_bytes: int = Sizes.piece_bytes,
    chunk_jets: int = CHUNK_JETS,
    progress: Progress = no_progress,
) -> PrepareReport:
    """Write the good jets of the files to a store, and return what was done.

    A store at ``out`` that was made in the same way from files of the same content is left as it
    is. If the making of one was interrupted, it is continued. How many processes or machines made a
    store, and with how many interruptions, changes no byte of it; the sizes do.

    Parameters
    ----------
    files
        Files, globs, directories and stores.
    out
        Directory to make. While the store is made it takes twice its space.
    shuffle
        Put the jets of all files into a random order, in which they can be streamed; their
        ``index`` says where they were. Otherwise they keep their order.
    seed
        Of that order.
    strict
        Refuse a bad jet instead of dropping it.
    columns
        What the branches of the files mean, if not what they do in the public sets.
    cuts
        Ranges outside of which jets are left out.
    column_names
        The columns to keep besides those that parttag knows: of those that ``columns`` names; any
        other is a branch of the files. By default all that ``columns`` names.
    processes
        How many work at the same time, each on a file or a shard of its own.
    scheduler
        Address of a Dask scheduler whose workers do it instead; they must find the files and
        ``out`` at the same paths.
    shard_bytes
        Particles of a shard, about; three times as much is held in memory to write it.
    piece_bytes
        Particles that are collected before they are written; thrice as much is held.
    chunk_jets
        Jets read at a time.

    Raises
    ------
    InputError
        If a file cannot be read; if there is anything else at ``out``; if the disk is full or
        writing not permitted. Then nothing is left at ``out``.
    """
    out = Path(local_name(out))
    wanted = None
    if column_names is not None:
        wanted = WantedColumns(either=tuple(column_names), asked_by=option("columns", ""))
    jet_files = JetFiles(tuple(files), columns, cuts, strict, wanted=wanted)
    if scheduler is not None:  # Dask's workers have other working directories
        out = out.absolute()
        paths = [path if is_url(path) else path.absolute() for path in jet_files.paths]
        jet_files = jet_files.at(paths)
    plan, total = _plan(
        Plan(
            out=out,
            files=jet_files,
            stamps=tuple(_stamp(path) for path in jet_files.paths),
            seed=seed if shuffle else None,
            sizes=Sizes(shard_bytes, piece_bytes, chunk_jets),
        )
    )
    if is_store(out):
        store = _same_store(plan, jet_files.describe(progress))
        shutil.rmtree(plan.work, ignore_errors=True)  # left by a kill after the manifest
        if strict:
            refuse_dropped(store)
        return _report(store, existed=True)
    run = partial(
        _run,
        processes=min(processes, ceil(total / chunk_jets)),
        scheduler=scheduler,
        progress=progress,
    )
    with refuse_unwritable(out), _unfinished(plan):
        run(make_pieces, plan, plan.report_paths, description="Reading files")
        manifest = _manifest(plan)
        records = plan.record_paths(num_shards(plan))
        run(make_shard, plan, records, description="Writing shards")
        write_manifest(out, manifest.model_copy(update={"shards": read_records(records)}))
    shutil.rmtree(plan.work)
    return _report(JetStore(out), existed=False)


def _plan(plan: Plan) -> tuple[Plan, int]:
    """Complete a plan by what the files hold; return it and the number of jets."""
    files = plan.files
    files.good_jets().refuse_other_schemas()
    total = files.count()
    head = next(read_chunks(files.paths[0], chunk_jets=_HEAD_JETS, layout=files.layout))
    jet_bytes = (head.p4.nbytes + head.extra.nbytes + head.columns.nbytes) / max(len(head), 1)
    shards = shards_for(total * jet_bytes, plan.sizes.shard_bytes)
    return replace(plan, names=_chosen(head, files), num_shards=shards), total


def _chosen(head: JetArrays, files: JetFiles) -> Columns:
    """Return the columns of a store of jets like these."""
    names = Columns.of(head)
    if files.wanted is None:
        return names
    files.wanted.require(head, str(files.paths[0]))
    kept = {*files.wanted.names, *([KIND_COLUMN] if names.kinds else [])}
    types = {
        kind: tuple(own for own in getattr(names, kind) if own[0] in kept)
        for kind in ("column_types", "jet_column_types")
    }
    return names.model_copy(update=types)


def _stamp(entry: Path) -> tuple[int, int]:
    """Return size and time of a file, or of the manifest of a store."""
    path = entry / MANIFEST if entry.is_dir() else entry
    with refuse_damaged(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns or 0  # there is none of a remote file


@contextmanager
def _unfinished(plan: Plan) -> Iterator[None]:
    """Make the directory of a store that is written inside the block, or go on with it.

    If the block fails, nothing is left; if it is interrupted, what it needs to continue.
    """
    out, note = plan.out, plan.work / "plan.json"
    if out.exists():
        leftovers = own_files(out)
        if not out.is_dir() or len(leftovers) < len(list(out.iterdir())):
            raise InputError(f"{out} exists already: choose another place for the store")
        if not note.is_file() or note.read_text(encoding="utf-8") != plan.description:
            _remove(leftovers)
    plan.work.mkdir(parents=True, exist_ok=True)
    try:
        if not note.exists():
            write_file(note, plan.description.encode())
        yield
    except UnfinishedError:
        raise
    except Exception:
        with suppress(OSError):  # what went wrong comes first
            _remove(own_files(out))
            out.rmdir()
        raise


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.name == WORK:
            shutil.rmtree(path)
        else:
            path.unlink()


def _run(
    task: Callable[[Plan, int], None],
    plan: Plan,
    proofs: Sequence[Path],
    *,
    processes: int,
    scheduler: str | None,
    progress: Progress,
    description: str,
) -> None:
    """Do a task once for each proof, a file that it writes at its end, that is not there."""
    missing = [number for number, proof in enumerate(proofs) if not proof.exists()]
    done = map_tasks(partial(task, plan), missing, processes=processes, scheduler=scheduler)
    with closing(done):
        for _ in progress(done, total=len(missing), description=description):
            pass


def _manifest(plan: Plan) -> Manifest:
    """Return what there is to say once all files are read; shards are still to come."""
    reports = read_reports(plan)
    dropped: dict[str, int] = {}
    for report in reports:
        for reason, number in report.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
    counts = JetCounts(sum(report.num_read for report in reports), dropped)
    if not counts.kept:
        raise InputError(f"{plan.out} would hold no jets: {counts}")
    return Manifest(
        schema_version=SCHEMA_VERSION,
        parttag_version=__version__,
        num_jets=counts.kept,
        num_particles=sum(piece.num_particles for report in reports for piece in report.pieces),
        **plan.names.own(),
        shuffle_seed=plan.seed,
        dropped=dropped,
        sources=tuple(source for report in reports for source in report.sources),
        shards=(),
        **plan.choices,
    )


def _same_store(plan: Plan, sources: Sequence[Source]) -> JetStore:
    """Return the store that is there if it is of sources of the same content, wherever they lay."""
    store = JetStore(plan.out)
    if [s.sha256 for s in store.manifest.sources] != [s.sha256 for s in sources]:
        raise InputError(
            f"{plan.out} holds a store made from other files; choose another place, or delete it "
            "first"
        )
    for name, choice in plan.choices.items():
        if getattr(store.manifest, name) != choice:
            raise InputError(
                f"{plan.out} holds a store made from these files with other {name}; choose another "
                "place, or delete it first"
            )
    if store.manifest.own() != plan.names.own():
        raise InputError(
            f"{plan.out} holds a store of these jets with other columns; choose another place, or "
            "delete it first"
        )
    if store.manifest.shuffle_seed != plan.seed:
        raise InputError(
            f"{plan.out} holds a store of the same jets in another order; choose another place, or "
            "delete it first"
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
