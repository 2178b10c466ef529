"""A shard of a store: where its datasets lie, and reading that checks each block's checksum.

The manifest says where in the HDF5 file each dataset begins, so that reading is one system call a
dataset and never depends on what a damaged file says of itself. The manifest itself may come from
anyone: what it claims is compared with the bytes that are there before memory is asked for, and an
offset with the particles that are there before anything is found by it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any

import numpy as np
import xxhash
from jaxtyping import Int, Int64, Shaped
from pydantic import BaseModel, ConfigDict, Field

from parttag.errors import InputError
from parttag.jets.arrays import ARRAYS, JetArrays, split_index
from parttag.jets.columns import TYPES, numpy_column
from parttag.jets.kinds import KIND_COLUMN, KindLabel
from parttag.system.files import refuse_damaged

BLOCK_BYTES = 1 << 20
"""A checksum covers so much of a shard."""

_DIGEST_DIGITS = 16
# HDF5 takes some 12 kB of a shard for itself, and 70 bytes for the name of each column.
_HDF5_BYTES, _HDF5_BYTES_A_NAME = 1 << 15, 256

Count = Annotated[int, Field(ge=0, strict=True)]
_TYPE = "|".join(map(re.escape, TYPES))
Types = tuple[
    tuple[Annotated[str, Field(min_length=1)], Annotated[str, Field(pattern=f"^({_TYPE})$")]], ...
]


class Record(BaseModel):
    """A part of what a store says of itself in JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(Record):
    """The columns of a store's jets: of ``extra`` and ``labels`` by name, others with their type.

    ``column_types`` are those of the particles, ``jet_column_types`` those of the jets. ``kinds``
    are the kinds of particles, by the numbers in the column that says of which each is, and whether
    they have four-momenta; none where all are of one kind.
    """

    extra_names: tuple[str, ...]
    label_names: tuple[str, ...]
    column_types: Types = ()
    jet_column_types: Types = ()
    kinds: tuple[tuple[KindLabel, Annotated[bool, Field(strict=True)]], ...] = ()

    @classmethod
    def of(cls, jets: JetArrays) -> Columns:
        """Return the columns that some jets have."""
        return cls(**{name: getattr(jets, name) for name in Columns.model_fields})

    def own(self) -> dict[str, Any]:
        """Return these alone, by name."""
        return {name: getattr(self, name) for name in Columns.model_fields}


class Shard(Record):
    """A file of a store, and what it must be."""

    name: Annotated[str, Field(pattern=r"^(shard-[0-9]{5,}|piece-[0-9]{5,}-[0-9]{3,})\.h5$")]
    num_jets: Count
    num_particles: Count
    bytes: Count
    starts: dict[str, Count]
    """The byte of the file at which each dataset begins."""
    blocks: Annotated[str, Field(pattern=rf"^([0-9a-f]{{{_DIGEST_DIGITS}}})+$")]
    """XXH3 (64 bits) of each ``BLOCK_BYTES`` of the file in hexadecimal, one after the other."""


def row_types(columns: Columns) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of a row of each dataset."""
    return {
        name: (rows.dtype, rows.shape(columns))
        for name, rows in ARRAYS.items()
        if not rows.is_absent(columns)
    }


def block_digests(path: Path) -> str:
    """Return the checksums of a file's blocks, as ``Shard.blocks`` has them."""
    with path.open("rb", buffering=0) as file:
        blocks = iter(lambda: file.read(BLOCK_BYTES), b"")
        return "".join(xxhash.xxh3_64_hexdigest(block) for block in blocks)


class ShardFile:
    """Reads a shard; a block of it is checked when it is first read, and offsets whenever they are.

    Parameters
    ----------
    columns
        The columns of its jets, which say with the counts how many bytes each dataset has.
    others
        Bytes of the datasets that it has besides those of the jets, by name.

    Raises
    ------
    InputError
        On opening if the file is missing or of another size, or has no room for what it is said to
        hold; on reading if a block is not what was written, or the offsets are those of no jets.
    """

    def __init__(
        self, path: Path, shard: Shard, columns: Columns, others: Mapping[str, int] | None = None
    ) -> None:
        self.path, self.shard = path, shard
        with refuse_damaged(path):
            status = path.stat()
        if not S_ISREG(status.st_mode) or status.st_size != shard.bytes:
            raise _changed(path)
        num_blocks = -(-shard.bytes // BLOCK_BYTES)
        if len(shard.blocks) != num_blocks * _DIGEST_DIGITS:
            raise _changed(path)
        self._checked = np.zeros(num_blocks, dtype=bool)
        self._refuse_other_layout(columns, others or {})

    def __len__(self) -> int:
        return self.shard.num_jets

    def read_into(self, name: str, start: int, out: Shaped[np.ndarray, "rows ..."]) -> None:
        """Fill ``out``, a contiguous array, with the rows of a dataset from ``start`` on."""
        if out.nbytes == 0:
            return
        begin = self.shard.starts[name] + start * (out.nbytes // len(out))
        target = out.reshape(-1).view(np.uint8).data
        with refuse_damaged(self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                self._check(descriptor, begin, begin + out.nbytes)
                done = 0
                while done < out.nbytes:
                    count = os.preadv(descriptor, [target[done:]], begin + done)
                    if count == 0:
                        raise _changed(self.path)
                    done += count
            finally:
                os.close(descriptor)

    def read_offsets(self, start: int, stop: int) -> Int64[np.ndarray, " jets_and_one"]:
        """Return where the particles of jets ``start`` to ``stop`` begin, and the last ones end."""
        offsets = np.empty(stop - start + 1, dtype=np.int64)
        self.read_into("offsets", start, offsets)
        self._refuse_impossible(offsets, start, stop)
        return offsets

    def mapped(self, columns: Columns, sources: tuple[str, ...]) -> JetArrays:
        """Return all jets as views of the file mapped into memory, after a check of all of it."""
        with refuse_damaged(self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                self._check(descriptor, 0, self.shard.bytes)
            finally:
                os.close(descriptor)
            content = np.memmap(self.path, mode="r", dtype=np.uint8, shape=(self.shard.bytes,))
        arrays: dict[str, Any] = {}
        for name, (dtype, shape) in row_types(columns).items():
            begin, rows = self.shard.starts[name], self._num_rows(name)
            stop = begin + rows * _row_bytes(dtype, shape)
            view = content[begin:stop].view(np.ndarray).view(dtype)
            arrays[name] = view.reshape(rows, *shape)
        # A copy: what was checked must not change with the file.
        arrays["offsets"] = arrays["offsets"].copy()
        self._refuse_impossible(arrays["offsets"], 0, len(self))
        _refuse_unknown_sources(self.path, arrays["index"], sources)
        _refuse_unknown_kinds(self.path, arrays, columns)
        return JetArrays(**arrays, **columns.own(), sources=sources)

    def _num_rows(self, name: str) -> int:
        numbers = {
            "particle": self.shard.num_particles,
            "jet": self.shard.num_jets,
            "boundary": self.shard.num_jets + 1,
        }
        return numbers[ARRAYS[name].per]

    def _refuse_other_layout(self, columns: Columns, others: Mapping[str, int]) -> None:
        """Refuse a file whose bytes are not those of the datasets that it is said to hold."""
        sizes = dict(others)
        for name, (dtype, shape) in row_types(columns).items():
            sizes[name] = self._num_rows(name) * _row_bytes(dtype, shape)
        starts = self.shard.starts
        if starts.keys() != sizes.keys():
            raise _misdescribed(self.path, "its datasets are not those of a store")
        end = 0
        for begin, size in sorted((starts[name], size) for name, size in sizes.items() if size):
            if begin < end:
                raise _misdescribed(self.path, "two of its datasets lie in one place")
            end = begin + size
        names = [*columns.extra_names, *columns.label_names]
        names += [name for name, _ in (*columns.column_types, *columns.jet_column_types)]
        own = _HDF5_BYTES + sum(_HDF5_BYTES_A_NAME + 4 * len(name) for name in names)
        fits = end <= self.shard.bytes <= sum(sizes.values()) + own
        if not fits or (self.shard.num_particles and not len(self)):
            raise _misdescribed(self.path, "its size is not that of so many jets and particles")

    def _refuse_impossible(
        self, offsets: Int64[np.ndarray, " jets_and_one"], start: int, stop: int
    ) -> None:
        """Refuse offsets of jets ``start`` to ``stop`` that are not those of whole jets in here."""
        first, last, most = int(offsets[0]), int(offsets[-1]), self.shard.num_particles
        # Not by differences, which overflow.
        fine = first >= 0 and last <= most and bool((offsets[:-1] <= offsets[1:]).all())
        fine = fine and (start > 0 or first == 0) and (stop < len(self) or last == most)
        if not fine:
            raise _misdescribed(self.path, "its jets begin or end where none can")

    def _check(self, descriptor: int, begin: int, end: int) -> None:
        if end > self.shard.bytes:
            raise _changed(self.path)
        first = begin // BLOCK_BYTES
        unchecked = ~self._checked[first : -(-end // BLOCK_BYTES)]
        for block in (np.flatnonzero(unchecked) + first).tolist():
            content = os.pread(descriptor, BLOCK_BYTES, block * BLOCK_BYTES)
            if xxhash.xxh3_64_hexdigest(content) != self._digests[block]:
                raise _changed(self.path)
            self._checked[block] = True

    @cached_property
    def _digests(self) -> list[str]:
        text = self.shard.blocks
        return [text[i : i + _DIGEST_DIGITS] for i in range(0, len(text), _DIGEST_DIGITS)]


def read_spans(
    spans: Sequence[tuple[ShardFile, int, int]],
    columns: Columns,
    sources: tuple[str, ...],
    *,
    extras: bool = True,
    particles: bool = True,
) -> JetArrays:
    """Return jets ``start`` to ``stop`` of each file, one after the other, in memory of their own.

    Parameters
    ----------
    spans
        Files, and the first of their jets to read and the one after the last.
    extras, particles
        Leave out, if false, the extra columns, or the particles with them: jets without any.
    """
    counts = [stop - start for _, start, stop in spans]
    offsets, firsts = _read_offsets(spans) if particles else (np.zeros(sum(counts) + 1, int), None)
    if not extras:
        none: dict[str, Any] = {"extra_names": (), "column_types": (), "kinds": ()}
        columns = Columns(**{**columns.own(), **none})
    arrays: dict[str, Any] = {"offsets": offsets}
    for name, (dtype, shape) in row_types(columns).items():
        if name == "offsets":
            continue
        per_jet = ARRAYS[name].per == "jet"
        arrays[name] = np.empty((len(offsets) - 1 if per_jet else offsets[-1], *shape), dtype)
        row = 0
        for number, (file, start, _) in enumerate(spans):
            if per_jet:
                first, count = start, counts[number]
            elif firsts is None:
                break
            else:
                first, count = firsts[number]
            rows = arrays[name][row : row + count]
            file.read_into(name, first, rows)
            if name == "index":
                _refuse_unknown_sources(file.path, rows, sources)
            row += count
    if spans and len(arrays.get("p4", ())):
        _refuse_unknown_kinds(spans[0][0].path, arrays, columns)
    return JetArrays(**arrays, **columns.own(), sources=sources)


def _read_offsets(
    spans: Sequence[tuple[ShardFile, int, int]],
) -> tuple[Int[np.ndarray, " jets_and_one"], list[tuple[int, int]]]:
    """Return the joined offsets, and first particle and number of particles of each span."""
    joined = np.zeros(1 + sum(stop - start for _, start, stop in spans), dtype=np.int64)
    firsts, row = [], 1
    for file, start, stop in spans:
        own = file.read_offsets(start, stop)
        firsts.append((int(own[0]), int(own[-1] - own[0])))
        joined[row : row + stop - start] = own[1:] - own[0] + joined[row - 1]
        row += stop - start
    return joined, firsts


def _row_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _refuse_unknown_sources(
    path: Path, index: Int64[np.ndarray, " jets"], sources: tuple[str, ...]
) -> None:
    """Refuse jets that are said to be from a file that the store does not name."""
    if len(index):
        numbers, _ = split_index(np.array([index.min(), index.max()]))
        if numbers[0] < 0 or numbers[1] >= len(sources):
            raise _misdescribed(path, "its jets are from files that the store does not name")


def _refuse_unknown_kinds(path: Path, arrays: Mapping[str, Any], columns: Columns) -> None:
    """Refuse particles of a kind that the store does not name."""
    if columns.kinds:
        kind = numpy_column(arrays["columns"], columns.column_types, KIND_COLUMN)
        if kind.max(initial=0) >= len(columns.kinds):
            raise _misdescribed(path, "its particles are of kinds that the store does not name")


def _changed(path: Path) -> InputError:
    return InputError(
        f"{path} is not what was written (cut short or changed): prepare it again, with parttag "
        "prepare"
    )


def _misdescribed(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is not as its store describes it ({why}): make the store again with parttag "
        "prepare"
    )


def starts_of(datasets: Mapping[str, Any]) -> dict[str, int]:
    """Return the byte at which each contiguous HDF5 dataset begins; 0 for one that holds nothing.

    HDF5 gives a dataset its place when it is first written to.
    """
    return {name: dataset.id.get_offset() or 0 for name, dataset in datasets.items()}
