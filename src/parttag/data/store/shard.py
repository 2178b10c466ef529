"""A shard of a store: where its datasets lie, and reading that checks each block's checksum.

The manifest says where in the HDF5 file each dataset begins, so that reading is one system call a
dataset and never depends on what a damaged file says of itself.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xxhash
from jaxtyping import Int, Shaped
from pydantic import BaseModel, ConfigDict, Field

from parttag.errors import InputError
from parttag.jets.arrays import ARRAYS, JetArrays
from parttag.system.files import refuse_damaged

BLOCK_BYTES = 1 << 20
"""A checksum covers so much of a shard."""

_DIGEST_DIGITS = 16

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of what a store says of itself in JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(Record):
    """The columns of a store's jets: those of ``extra`` and of ``labels``, by name."""

    extra_names: tuple[str, ...]
    label_names: tuple[str, ...]


class Shard(Record):
    """A file of a store, and what it must be."""

    name: Annotated[str, Field(pattern=r"^(shard|piece)-\d{5,}(-\d{3,})?\.h5$")]
    num_jets: Count
    num_particles: Count
    bytes: Count
    starts: dict[str, Count]
    """The byte of the file at which each dataset begins."""
    blocks: Annotated[str, Field(pattern=rf"^([0-9a-f]{{{_DIGEST_DIGITS}}})*$")]
    """XXH3 (64 bits) of each ``BLOCK_BYTES`` of the file in hexadecimal, one after the other; empty
    in a file that only its writer reads."""


def block_digests(path: Path) -> str:
    """Return the checksums of a file's blocks, as ``Shard.blocks`` has them."""
    with path.open("rb", buffering=0) as file:
        blocks = iter(lambda: file.read(BLOCK_BYTES), b"")
        return "".join(xxhash.xxh3_64_hexdigest(block) for block in blocks)


class ShardFile:
    """Reads a shard; a block of it is checked when it is first read.

    Raises
    ------
    InputError
        On opening if the file is missing or of another size; on reading if a block is not what was
        written.
    """

    def __init__(self, path: Path, shard: Shard) -> None:
        self.path, self.shard = path, shard
        num_blocks = -(-shard.bytes // BLOCK_BYTES)
        if shard.blocks and len(shard.blocks) != num_blocks * _DIGEST_DIGITS:
            raise _changed(path)
        self._checked = np.full(num_blocks, not shard.blocks)
        with refuse_damaged(path):
            size = path.stat().st_size
        if size != shard.bytes:
            raise _changed(path)

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

    def mapped(self, columns: Columns, sources: tuple[str, ...]) -> JetArrays:
        """Return all jets as views of the file mapped into memory, after a check of all of it."""
        with refuse_damaged(self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                self._check(descriptor, 0, self.shard.bytes)
            finally:
                os.close(descriptor)
            content = np.memmap(self.path, mode="r", dtype=np.uint8).view(np.ndarray)
        arrays = {}
        num_rows = {
            "particle": self.shard.num_particles,
            "jet": self.shard.num_jets,
            "boundary": self.shard.num_jets + 1,
        }
        for name, rows in ARRAYS.items():
            empty = np.empty((num_rows[rows.per], *rows.shape(columns)), dtype=rows.dtype)
            begin = self.shard.starts[name]
            view = content[begin : begin + empty.nbytes].view(rows.dtype)
            arrays[name] = view.reshape(empty.shape)
        return JetArrays(
            **arrays,
            extra_names=columns.extra_names,
            label_names=columns.label_names,
            sources=sources,
        )

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
        columns = Columns(extra_names=(), label_names=columns.label_names)
    arrays: dict[str, Any] = {"offsets": offsets}
    for name, rows in ARRAYS.items():
        if name == "offsets":
            continue
        per_jet = rows.per == "jet"
        num_rows = len(offsets) - 1 if per_jet else offsets[-1]
        arrays[name] = np.empty((num_rows, *rows.shape(columns)), rows.dtype)
        row = 0
        for number, (file, start, _) in enumerate(spans):
            if per_jet:
                first, count = start, counts[number]
            elif firsts is None:
                break
            else:
                first, count = firsts[number]
            file.read_into(name, first, arrays[name][row : row + count])
            row += count
    return JetArrays(
        **arrays,
        extra_names=columns.extra_names,
        label_names=columns.label_names,
        sources=sources,
    )


def _read_offsets(
    spans: Sequence[tuple[ShardFile, int, int]],
) -> tuple[Int[np.ndarray, " jets_and_one"], list[tuple[int, int]]]:
    """Return the joined offsets, and first particle and number of particles of each span."""
    joined = np.zeros(1 + sum(stop - start for _, start, stop in spans), dtype=np.int64)
    firsts, row = [], 1
    for file, start, stop in spans:
        own = np.empty(stop - start + 1, dtype=np.int64)
        file.read_into("offsets", start, own)
        firsts.append((int(own[0]), int(own[-1] - own[0])))
        joined[row : row + stop - start] = own[1:] - own[0] + joined[row - 1]
        row += stop - start
    return joined, firsts


def _changed(path: Path) -> InputError:
    return InputError(f"{path} is not what was written (cut short or changed): prepare it again")


def starts_of(datasets: Mapping[str, Any]) -> dict[str, int]:
    """Return the byte at which each contiguous HDF5 dataset begins; 0 for one that holds nothing.

    HDF5 gives a dataset its place when it is first written to.
    """
    return {name: dataset.id.get_offset() or 0 for name, dataset in datasets.items()}
