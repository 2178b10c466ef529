"""From files to shards in two passes that hold a bounded number of jets in memory.

The first pass takes each file on its own: every jet draws the shard that it will belong to, and the
file's jets are written to *pieces* in the order of shards. The second pass collects each shard's
jets from all pieces and shuffles them. As every jet draws its shard independently, and every order
within a shard is equally likely, so is every order of all jets.

Without shuffling a piece holds jets in their order, and a shard is one or several pieces.

Whatever is done once is not done again: a file's pieces count when its report is there, a shard
when its record is. All random numbers depend on the seed and on what is made with them, so that the
shards do not depend on who makes them, in which order, or how often the work was interrupted.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from parttag import __version__
from parttag.data.jet_files import JetFiles
from parttag.data.readers import CHUNK_JETS
from parttag.data.selection.cuts import CutOptions, drop_outside
from parttag.data.selection.good_jets import describe_sources
from parttag.data.store.shard import Columns, Record, Shard, ShardFile, read_spans
from parttag.data.store.store import SCHEMA_VERSION, WORK, Source
from parttag.data.store.writer import write_shard
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.packing import offsets_of
from parttag.options import Options
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_damaged

# Which of the random draws a generator is for.
_DRAW_SHARDS, _SHUFFLE_SHARD = 0, 1


_NO_NAMES = Columns(extra_names=(), label_names=())


@dataclass(frozen=True)
class Sizes:
    """How much is in memory at a time; stores of other sizes are cut elsewhere."""

    shard_bytes: int = 1 << 27
    """Particles of a shard, about: three times as much is held in memory to write it."""
    piece_bytes: int = 1 << 26
    """A piece is closed once its particles take more: so much, thrice, is held to write it."""
    chunk_jets: int = CHUNK_JETS
    """Jets read at a time."""


@dataclass(frozen=True)
class Plan:
    """What decides which shards come out, and where they go."""

    out: Path
    files: JetFiles
    stamps: tuple[tuple[int, int], ...]
    """Size and time of each file: when they are others, so may be the jets."""
    seed: int | None
    """Null for the order of the files."""
    sizes: Sizes
    names: Columns = _NO_NAMES
    num_shards: int = 0
    """Of a shuffled store; without shuffling it follows from the pieces."""

    @property
    def description(self) -> str:
        """What must be the same for the work to be continued."""
        return json.dumps(
            {
                "parttag": __version__,
                "schema": SCHEMA_VERSION,
                "entries": [str(path) for path in self.files.paths],
                "stamps": self.stamps,
                "strict": self.files.strict,
                "seed": self.seed,
                "sizes": asdict(self.sizes),
                "names": self.names.model_dump(),
                "num_shards": self.num_shards,
                **self.choices,
            }
        )

    @property
    def choices(self) -> dict[str, dict[str, Any]]:
        """What was said of the files and of the jets to leave out, without the defaults."""
        return {"columns": _given(self.files.columns), "cuts": _given(self.files.cuts)}

    @property
    def work(self) -> Path:
        """Directory of pieces, reports and records."""
        return self.out / WORK

    @property
    def report_paths(self) -> list[Path]:
        """Where the report of each entry is written, once its pieces are there."""
        return [self.work / f"file-{number:05d}.json" for number in range(len(self.files.paths))]

    def record_paths(self, count: int) -> list[Path]:
        """Return where the record of each shard is written, once the shard is in its place."""
        return [self.work / f"shard-{number:05d}.json" for number in range(count)]


class FileReport(Record):
    """What was made of one file or store."""

    num_read: int
    dropped: dict[str, int]
    sources: tuple[Source, ...]
    pieces: tuple[Shard, ...]


def make_pieces(plan: Plan, number: int) -> None:
    """Write the good jets of an entry to pieces, and then its report.

    Raises
    ------
    InputError
        If the entry cannot be read, has other columns than the first, or holds a bad jet and the
        plan is strict.
    """
    intake = plan.files.good_jets(chunk_jets=plan.sizes.chunk_jets)
    intake.names = plan.names
    chunks = drop_outside(intake.read(number), plan.files.cuts or CutOptions(), intake.counts)
    pieces = [
        _write_piece(plan, number, piece_number, jets)
        for piece_number, jets in enumerate(_joined(chunks, plan.sizes.piece_bytes))
    ]
    report = FileReport(
        num_read=intake.counts.read,
        dropped=intake.counts.dropped,
        sources=describe_sources([plan.files.paths[number]]),
        pieces=tuple(pieces),
    )
    write_file(plan.report_paths[number], report.model_dump_json().encode())


def _joined(chunks: Iterator[JetArrays], piece_bytes: int) -> Iterator[JetArrays]:
    """Join chunks until they are enough for a piece."""
    parts: list[JetArrays] = []
    for jets in chunks:
        parts.append(jets)
        sizes = (part.p4.nbytes + part.extra.nbytes + part.columns.nbytes for part in parts)
        if sum(sizes) >= piece_bytes:
            yield concatenate(parts)
            parts = []
    if sum(map(len, parts)):
        yield concatenate(parts)


def _write_piece(plan: Plan, number: int, piece_number: int, jets: JetArrays) -> Shard:
    path = plan.work / f"piece-{number:05d}-{piece_number:03d}.h5"
    if plan.seed is None:
        return write_shard(path, jets, lasting=False)
    rng = np.random.default_rng([plan.seed, _DRAW_SHARDS, number, 1 + piece_number])
    shard_of_jet = rng.integers(plan.num_shards, size=len(jets))
    counts = np.bincount(shard_of_jet, minlength=plan.num_shards)
    bounds = offsets_of(counts)
    ordered = jets.take(np.argsort(shard_of_jet, kind="stable"))
    return write_shard(path, ordered, {"shard_bounds": bounds}, lasting=False)


def make_shard(plan: Plan, number: int) -> None:
    """Collect a shard's jets from the pieces, write it, and then its record."""
    pieces = _Pieces.of(plan)
    spans = pieces.spans(plan, number)
    jets = read_spans(spans, plan.names, pieces.sources)
    if plan.seed is not None:
        rng = np.random.default_rng([plan.seed, _SHUFFLE_SHARD, 1 + number])
        jets = jets.take(rng.permutation(len(jets)))
    shard = write_shard(plan.out / f"shard-{number:05d}.h5", jets)
    write_file(plan.record_paths(number + 1)[number], shard.model_dump_json().encode())


def shards_for(num_bytes: float, shard_bytes: int) -> int:
    """Return how many shards jets whose particles take so many bytes are shuffled into."""
    return max(1, math.ceil(num_bytes / shard_bytes))


def _given(options: Options | None) -> dict[str, Any]:
    return {} if options is None else options.model_dump(mode="json", exclude_defaults=True)


def num_shards(plan: Plan) -> int:
    """Return how many shards there are to make, when all pieces are there."""
    return plan.num_shards if plan.seed is not None else len(_Pieces.of(plan).groups)


def read_reports(plan: Plan) -> list[FileReport]:
    """Return the reports of all files, when they are there."""
    return [_read_record(path, FileReport) for path in plan.report_paths]


def read_records(paths: Sequence[Path]) -> tuple[Shard, ...]:
    """Return the records of all shards, when they are there."""
    return tuple(_read_record(path, Shard) for path in paths)


_AnyRecord = TypeVar("_AnyRecord", bound=Record)


def _read_record(path: Path, kind: type[_AnyRecord]) -> _AnyRecord:
    """Return what an interrupted work left, by whomever that was begun."""
    with refuse_damaged(path):
        content = path.read_bytes()
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _not_ours(path) from error


def _not_ours(path: Path) -> InputError:
    return InputError(
        f"{path} is not what parttag prepare wrote there: delete {path.parent} and prepare again"
    )


@dataclass(frozen=True)
class _Pieces:
    """All pieces, opened once in each process."""

    files: tuple[ShardFile, ...]
    sources: tuple[str, ...]
    groups: tuple[tuple[ShardFile, ...], ...] = field(default=())
    """Without shuffling, the pieces of each shard."""

    @staticmethod
    @lru_cache(maxsize=1)
    def of(plan: Plan) -> "_Pieces":
        """Open the pieces that the reports name."""
        reports = read_reports(plan)
        others = {} if plan.seed is None else {"shard_bounds": 8 * (plan.num_shards + 1)}
        files = [
            ShardFile(plan.work / piece.name, piece, plan.names, others)
            for report in reports
            for piece in report.pieces
        ]
        sources = tuple(source.path for report in reports for source in report.sources)
        return _Pieces(tuple(files), sources, tuple(_groups(files, plan.sizes.shard_bytes)))

    def spans(self, plan: Plan, number: int) -> list[tuple[ShardFile, int, int]]:
        """Return which jets of which pieces make a shard."""
        if plan.seed is None:
            return [(file, 0, len(file)) for file in self.groups[number]]
        spans = []
        for file in self.files:
            bounds = np.empty(2, dtype=np.int64)
            file.read_into("shard_bounds", number, bounds)
            if not 0 <= bounds[0] <= bounds[1] <= len(file):
                raise _not_ours(file.path)
            if bounds[0] < bounds[1]:
                spans.append((file, int(bounds[0]), int(bounds[1])))
        return spans


def _groups(files: list[ShardFile], shard_bytes: int) -> Iterator[tuple[ShardFile, ...]]:
    """Put pieces together until they are enough for a shard."""
    group: list[ShardFile] = []
    for file in files:
        if group and sum(f.shard.bytes for f in group) + file.shard.bytes > shard_bytes:
            yield tuple(group)
            group = []
        group.append(file)
    if group:
        yield tuple(group)
