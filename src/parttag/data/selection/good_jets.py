"""The one way in: from files to jets that can be used, for stores and for training alike."""

import logging
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from parttag.data.readers import CHUNK_JETS, count_jets, read_chunks, read_schema
from parttag.data.readers.layout import Layout, Schema
from parttag.data.readers.parallel import read_ahead
from parttag.data.store.shard import Columns
from parttag.data.store.store import JetStore, Source, is_store, refuse_dropped
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays, make_index
from parttag.jets.columns import ColumnTypes, as_records, repacked
from parttag.jets.kinds import KIND_COLUMN, Kinds
from parttag.jets.spread import looks_like_events
from parttag.jets.validity import FAULTS, advice, jet_faults, jet_name, source_name
from parttag.progress import Progress, no_progress
from parttag.system.files import sha256

logger = logging.getLogger(__name__)


@dataclass
class JetCounts:
    """How many jets were read, and how many of them dropped for each reason."""

    read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Jets that were not dropped."""
        return self.read - sum(self.dropped.values())

    def drop(self, reason: str, number: int) -> None:
        """Count so many jets as dropped, if any."""
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def __str__(self) -> str:
        """Return one line: the numbers, and the reasons where jets were dropped."""
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in self.dropped.items())
        dropped = f"{self.read - self.kept:,} dropped" + (f" ({reasons})" if reasons else "")
        helps = advice(self.dropped, self.read)
        return f"{self.read:,} jets read, {self.kept:,} kept, {dropped}" + (helps and f"; {helps}")


class Intake:
    """Reads the jets of several files and stores, without the bad ones.

    All must have the same labels and the same extra columns, if not in the same order: the first
    file's order is given to the others. ``counts`` says what was read and dropped so far;
    ``names`` are known from the first chunk on.

    Parameters
    ----------
    entries
        The files and stores, as ``find_files`` returns them.
    strict
        Refuse a bad jet instead of dropping it.
    layout
        What the branches of the files mean, if not what they do in the public sets.
    particles_of_stores
        If false, jets of stores come without their particles: these are read later.
    chunk_jets
        Most jets in a chunk.
    keep_bad
        Yield bad jets too: where every row of a file is to have its place.
    """

    def __init__(
        self,
        entries: Sequence[Path],
        *,
        strict: bool = False,
        layout: Layout | None = None,
        particles_of_stores: bool = True,
        chunk_jets: int = CHUNK_JETS,
        keep_bad: bool = False,
    ) -> None:
        self.entries = tuple(entries)
        self.strict = strict
        self.keep_bad = keep_bad
        self.layout = layout
        self.particles_of_stores = particles_of_stores
        self.chunk_jets = chunk_jets
        self.counts = JetCounts()
        self._seen: set[int] = set()
        self._names = [source_names(entry) for entry in entries]
        self.names: Columns | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that the jets' index counts; a store counts as the files it was made from."""
        return tuple(name for names in self._names for name in names)

    def file_number(self, number: int) -> int:
        """Return the place among ``sources`` of an entry's file, or of a store's first one."""
        return sum(map(len, self._names[:number]))

    def numbered_chunks(self, progress: Progress = no_progress) -> Iterator[tuple[int, JetArrays]]:
        """Yield the good jets, in order, each chunk with the number of its entry.

        Raises
        ------
        InputError
            If a file cannot be read, has other labels or extra columns than the first, or holds a
            bad jet and the intake is strict.
        """
        # Opens every file before hours are spent on the first ones.
        self.refuse_other_schemas()
        total = sum(self._num_chunks(entry) for entry in self.entries)
        readers = [partial(self._chunks, number) for number in range(len(self.entries))]
        chunks = ((number, self._judged(jets, number)) for number, jets in read_ahead(readers))
        yield from progress(chunks, total=total, description="Reading jets")

    def chunks(self, progress: Progress = no_progress) -> Iterator[JetArrays]:
        """Yield the good jets, in order; see ``numbered_chunks``."""
        for _, jets in self.numbered_chunks(progress):
            yield jets

    def read(self, number: int) -> Generator[JetArrays]:
        """Yield the good jets of one entry, in order; see ``numbered_chunks``."""
        for jets in self._chunks(number):
            yield self._judged(jets, number)

    def refuse_other_schemas(self) -> None:
        """Refuse files that differ from the first one in what their jets have.

        Raises
        ------
        InputError
            If one does or cannot be read, or the intake is strict and a store lacks bad jets.
        """
        first: Schema | None = None
        for entry in self.entries:
            if self.strict and is_store(entry):
                refuse_dropped(JetStore(entry))
            schema = read_schema(entry, self.layout)
            first = first or schema
            for kind, own, firsts in (
                ("labels", schema.label_names, first.label_names),
                ("particle columns", schema.extra_names, first.extra_names),
                ("jet branches", schema.other, first.other),
                ("kinds of particles", schema.kinds, first.kinds),
                ("columns", schema.columns, first.columns),
                ("columns of the jets", schema.jet_columns, first.jet_columns),
            ):
                if own is None or firsts is None or set(own) == set(firsts):
                    continue
                raise InputError(
                    f"{entry} and {self.entries[0]} differ in their {kind} "
                    f"({', '.join(sorted(set(own) ^ set(firsts)))}): they cannot be read together"
                )

    def _num_chunks(self, entry: Path) -> int:
        return math.ceil(count_jets(entry, self.layout) / self.chunk_jets)

    def _chunks(self, number: int) -> Iterator[JetArrays]:
        """Yield all jets of an entry."""
        entry = self.entries[number]
        if not is_store(entry):
            yield from read_chunks(
                entry,
                file_number=self.file_number(number),
                sources=self.sources,
                chunk_jets=self.chunk_jets,
                layout=self.layout,
            )
            return
        store = JetStore(entry)
        first = make_index(self.file_number(number), np.zeros(1, dtype=np.int64))
        for start in range(0, len(store), self.chunk_jets):
            stop = min(start + self.chunk_jets, len(store))
            jets = store.read([(start, stop)], particles=self.particles_of_stores)
            yield replace(jets, index=jets.index + first, sources=self.sources)

    def _judged(self, jets: JetArrays, number: int) -> JetArrays:
        """Return the good ones among some jets of an entry, and count the others."""
        self.counts.read += len(jets)
        if number not in self._seen:
            self._seen.add(number)
            sentence = None if is_store(self.entries[number]) else looks_like_events(jets)
            if sentence is not None:
                logger.warning("%s: %s", self.entries[number], sentence)
        # The jets of a store were judged when it was made.
        all_stay = self.keep_bad or is_store(self.entries[number])
        return self._aligned(jets if all_stay else self._without_bad_jets(jets))

    def _without_bad_jets(self, jets: JetArrays) -> JetArrays:
        faults = jet_faults(jets)
        bad = np.flatnonzero(faults >= 0)
        if len(bad) == 0:
            return jets
        if self.strict:
            reason = FAULTS[faults[bad[0]]]
            raise InputError(
                f"{jet_name(jets, int(bad[0]))} is bad ({reason}): correct it, or drop such jets "
                f"by leaving out {option('strict')}"
            )
        for number, reason in enumerate(FAULTS):
            self.counts.drop(reason, int((faults == number).sum()))
        return jets.take(np.flatnonzero(faults < 0))

    def _aligned(self, jets: JetArrays) -> JetArrays:
        """Return the jets with their labels and extra columns in the first file's order."""
        if self.names is None:
            self.names = Columns.of(jets)
        return aligned(jets, self.names)


def aligned(jets: JetArrays, like: Columns | JetArrays) -> JetArrays:
    """Return the jets with their labels and columns in the order and types of others.

    They must have them all.

    Raises
    ------
    InputError
        If numbers of a column do not fit into that type.
    """
    if all(getattr(jets, name) == getattr(like, name) for name in Columns.model_fields):
        return jets
    jets = _with_kinds(jets, like.kinds)
    labels = [jets.label_names.index(name) for name in like.label_names]
    extras = [jets.extra_names.index(name) for name in like.extra_names]
    _refuse_other_types(jets, jets.column_types, like.column_types)
    _refuse_other_types(jets, jets.jet_column_types, like.jet_column_types)
    return replace(
        jets,
        labels=np.take(jets.labels, labels, axis=1),
        label_names=like.label_names,
        extra=np.take(jets.extra, extras, axis=1),
        extra_names=like.extra_names,
        columns=repacked(jets.columns, jets.column_types, like.column_types),
        column_types=like.column_types,
        jet_columns=repacked(jets.jet_columns, jets.jet_column_types, like.jet_column_types),
        jet_column_types=like.jet_column_types,
    )


def _with_kinds(jets: JetArrays, kinds: Kinds) -> JetArrays:
    """Return the jets with their kinds of particles numbered as others."""
    if jets.kinds == kinds:
        return jets
    if set(jets.kinds) != set(kinds):
        names = ", ".join(sorted({name for name, _ in set(jets.kinds) ^ set(kinds)}))
        raise InputError(
            f"{source_name(jets)} and files before it differ in their kinds of particles, or in "
            f"which have four-momenta ({names}): they cannot be read together"
        )
    number = np.array([kinds.index(kind) for kind in jets.kinds], dtype=np.uint8)
    columns = jets.columns.copy()
    records = as_records(columns, jets.column_types)
    records[KIND_COLUMN] = number[records[KIND_COLUMN]]
    return replace(jets, kinds=kinds, columns=columns)


def _refuse_other_types(jets: JetArrays, types: ColumnTypes, wanted: ColumnTypes) -> None:
    """Refuse columns whose numbers another type cannot hold; fewer digits are no harm."""
    for name, dtype in wanted:
        own = np.dtype(dict(types)[name])
        if not np.can_cast(own, dtype) and not (own.kind == np.dtype(dtype).kind == "f"):
            raise InputError(
                f"{source_name(jets)} has the column {name} in the type {own}, files before it in "
                f"{np.dtype(dtype)}: write it in one type, or name the file of the larger one first"
            )


def source_names(entry: Path) -> tuple[str, ...]:
    """Return the names of the files behind an entry: its own, or those a store was made from."""
    return JetStore(entry).sources if is_store(entry) else (str(entry),)


def describe_sources(
    entries: Sequence[Path], progress: Progress = no_progress
) -> tuple[Source, ...]:
    """Return path, size and SHA-256 of each file behind the entries, in the order of the index.

    Files are read for it; a store's manifest has the answer.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    described: list[Source] = []
    for entry in progress(entries, total=len(entries), description="Hashing files"):
        if is_store(entry):
            described += JetStore(entry).manifest.sources
        else:
            checksum = sha256(entry)
            described.append(Source(path=str(entry), bytes=entry.stat().st_size, sha256=checksum))
    return tuple(described)
