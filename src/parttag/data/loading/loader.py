"""Jets to batches, in an order that depends on seed and epoch only."""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64

from parttag.data.loading.dataset import JetDataset
from parttag.data.loading.order import (
    WINDOW_BYTES,
    WINDOW_JETS,
    BlockShuffle,
    FullShuffle,
    Order,
    Sequential,
    Window,
    rows_of,
)
from parttag.data.loading.resident import BatchPlan, ResidentJets
from parttag.jets.batch import JetBatch, join_batches, make_batch
from parttag.jets.kinds import MaxParticles

_TRIM = 7_214_301
Trim = Callable[
    [Int64[np.ndarray, " jets"], int, np.random.Generator], Bool[np.ndarray, " particles"] | None
]
"""From the lengths of a batch's jets, the number of its step and random numbers, to which particles
are kept; ``None`` if all are."""


class _Piece(NamedTuple):
    """Jets of one window that belong to one batch; ``ends_batch`` if no later window has more."""

    batch: int
    jets: JetBatch
    ends_batch: bool
    is_ready: bool
    """Whether it is a whole batch, on which nothing is left to do."""


class JetLoader:
    """Cuts a data set into batches, epoch by epoch, and prepares the next ones in the background.

    The order of the jets follows from ``seed`` and the epoch's number alone, so that a position is
    two integers: epoch and batch. Every jet comes once an epoch, whatever the number of ranks.

    Jets of shuffled stores are streamed: threads read windows of ``window_bytes`` ahead, and no
    more than ``num_workers`` + 1 of them are in memory. See ``order.BlockShuffle`` for what
    shuffling means then; jets in memory, and those of stores that are not shuffled, are drawn from
    all of them.

    Parameters
    ----------
    batch_size
        Jets in a batch of all ranks together.
    shuffle
        Draw a new order each epoch; otherwise jets come as they are in the data set.
    max_particles
        Keep so many particles a jet, those of the highest pT; of all together, or of each kind.
    drop_last
        Leave out the last batch of an epoch if it is smaller.
    rank, world_size
        This rank takes every ``world_size``-th jet of a batch, from its ``rank``-th on. Of a small
        last batch that may be none.
    extras
        Whether batches have the particle columns besides the four-momentum.
    num_workers
        Threads that work ahead; they change nothing but the speed.
    pin_memory
        Whether batches are in page-locked memory, from which copies to a GPU are asynchronous.
    resident
        Keep the whole set on this device and make the batches there, without threads.
    window_bytes
        Of the particles of jets that are streamed: so much is read, and mixed, at a time.
    window_jets
        Jets that are gathered at a time, of those that are at hand.
    trim
        Drops particles of each batch, in the threads. What it draws follows from ``seed``, rank and
        the number of the batch, counted from the first epoch on.
    """

    def __init__(
        self,
        dataset: JetDataset,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        max_particles: MaxParticles = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        extras: bool = True,
        num_workers: int = 1,
        pin_memory: bool = False,
        resident: torch.device | str | None = None,
        window_bytes: int = WINDOW_BYTES,
        window_jets: int = WINDOW_JETS,
        trim: Trim | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.max_particles = max_particles
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.window_bytes = window_bytes
        self.window_jets = window_jets
        self.trim = trim
        self._jets = dataset if extras else dataset.without_extras()
        self._resident = None
        if resident is not None:
            self._resident = ResidentJets(self._jets, torch.device(resident), max_particles)
        self._position = (0, 0)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        if self.drop_last:
            return len(self.dataset) // self.batch_size
        return math.ceil(len(self.dataset) / self.batch_size)

    def __repr__(self) -> str:
        batches = "batch" if len(self) == 1 else "batches"
        order = f"shuffled, seed {self.seed}" if self.shuffle else "in order"
        rank = f", rank {self.rank} of {self.world_size}" if self.world_size > 1 else ""
        return (
            f"JetLoader: {len(self):,} {batches} of {self.batch_size:,} of "
            f"{len(self.dataset):,} jets, {order}{rank}"
        )

    # ---------------------------------------------------------------------- the running position

    def __iter__(self) -> Iterator[JetBatch]:
        """Yield what is left of the running epoch, and go on to the next one."""
        epoch, start = self._position
        for number, batch in enumerate(self.epoch(epoch, start), start):
            self._position = (epoch, number + 1)
            yield batch
        self._position = (epoch + 1, 0)

    def state_dict(self) -> dict[str, int]:
        """Return the position: the epoch, and how many of its batches have been given out."""
        epoch, batch = self._position
        return {"epoch": epoch, "batch": batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a position, as if there had been no interruption."""
        self._position = (state["epoch"], state["batch"])

    # ------------------------------------------------------------------------------- one epoch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[JetBatch]:
        """Yield this rank's part of each batch of an epoch, from batch ``start`` on.

        The threads end when the iterator does or is closed. What goes wrong in them is raised here.

        Raises
        ------
        InputError
            If a block of a store is not what was written.
        """
        if start >= len(self):
            return
        order = self._order(epoch)
        if self._resident is not None:
            yield from self._resident_batches(self._resident, order, epoch, start)
            return
        windows = self._ahead(order, epoch, start * self.batch_size // order.window_jets)
        parts: list[JetBatch] = []
        try:
            for piece in chain.from_iterable(windows):
                parts.append(piece.jets)
                if piece.ends_batch:
                    if start <= piece.batch < len(self):
                        whole = parts[0] if piece.is_ready else join_batches(parts)
                        yield whole if piece.is_ready else self._ready(whole, epoch, piece.batch)
                    parts = []
        finally:
            windows.close()

    def _order(self, epoch: int) -> Order:
        if not self.shuffle:
            return Sequential(len(self.dataset), self.window_jets)
        if not self.dataset.is_streamed:
            return FullShuffle(len(self.dataset), self.seed, epoch, self.window_jets)
        share = self.window_bytes / max(self.dataset.num_bytes, 1)
        window_jets = max(1, int(share * len(self.dataset)))
        return BlockShuffle(self.dataset.part_sizes, window_jets, self.seed, epoch)

    def _ahead(self, order: Order, epoch: int, first: int) -> Generator[list[_Piece]]:
        """Yield the pieces of one window after the other, while threads work on the next ones."""
        ahead: deque[Future[list[_Piece]]] = deque()
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="JetLoader")
        try:
            for number in range(first, math.ceil(order.num_jets / order.window_jets)):
                ahead.append(pool.submit(self._cut, order, epoch, number))
                if len(ahead) > self.num_workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _cut(self, order: Order, epoch: int, number: int) -> list[_Piece]:
        """Return what this rank has of a window, cut where batches end."""
        begin = number * order.window_jets
        end = min(begin + order.window_jets, order.num_jets)
        own = np.flatnonzero(np.arange(begin, end) % self.batch_size % self.world_size == self.rank)
        jets = self._load(order.window(number), own)
        pieces = []
        for batch in range(begin // self.batch_size, math.ceil(end / self.batch_size)):
            last = (batch + 1) * self.batch_size
            start, stop = np.searchsorted(own, [batch * self.batch_size - begin, last - begin])
            ends_batch = last <= end or end == order.num_jets
            is_whole = ends_batch and batch * self.batch_size >= begin
            piece = jets.span(int(start), int(stop))
            if is_whole:
                piece = self._ready(piece, epoch, batch)
            pieces.append(_Piece(batch, piece, ends_batch, is_whole))
        return pieces

    def _load(self, window: Window, own: Int64[np.ndarray, " jets"]) -> JetBatch:
        rows = window.rows[own]
        if window.ranges:
            jets = self._jets.read(window.ranges).take(rows, self.max_particles)
        else:
            jets = self._jets.take(rows, self.max_particles)
        classes = self.dataset.classes[window.rows_of_all()[own]].astype(np.int64)
        return make_batch(jets, classes, copy=False)

    def _resident_batches(
        self, resident: ResidentJets, order: Order, epoch: int, start: int
    ) -> Iterator[JetBatch]:
        """Yield the batches that are gathered on the device, while a thread plans the next one."""

        def plan(number: int) -> BatchPlan:
            first = number * self.batch_size
            rows = rows_of(order, first + self.rank, first + self.batch_size)[:: self.world_size]
            trim = partial(self._kept, epoch=epoch, batch=number)
            return resident.plan(rows, None if self.trim is None else trim)

        with ThreadPoolExecutor(1, thread_name_prefix="JetLoader") as pool:
            ahead = pool.submit(plan, start)
            for number in range(start, len(self)):
                ready = ahead.result()
                if number + 1 < len(self):
                    ahead = pool.submit(plan, number + 1)
                yield resident.batch(ready)

    def _kept(
        self, lengths: Int64[np.ndarray, " jets"], *, epoch: int, batch: int
    ) -> Bool[np.ndarray, " particles"] | None:
        assert self.trim is not None
        step = epoch * len(self) + batch
        # Not the generators of orders, of which the first number is the seed.
        return self.trim(lengths, step, np.random.default_rng([_TRIM, self.seed, self.rank, step]))

    def _ready(self, batch: JetBatch, epoch: int, number: int) -> JetBatch:
        """Return a batch without the particles that are dropped, pinned if wanted."""
        if self.trim is not None:
            kept = self._kept(batch.lengths, epoch=epoch, batch=number)
            batch = batch if kept is None else batch.keep_particles(kept)
        return batch.pin_memory() if self.pin_memory else batch
