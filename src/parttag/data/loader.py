"""Jets to batches, in an order that depends on seed and epoch only."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Int64

from parttag.data.dataset import JetDataset
from parttag.jets import JetBatch, make_batch

_BATCHES_AHEAD = 2


class JetLoader:
    """Cuts a data set into batches, epoch by epoch, and prepares the next ones in the background.

    The order of the jets follows from ``seed`` and the epoch's number alone, so that a position is
    two integers: epoch and batch. Every jet comes once an epoch, whatever the number of ranks.

    Parameters
    ----------
    batch_size
        Jets in a batch of all ranks together.
    shuffle
        Draw a new order each epoch; otherwise jets come as they are in the data set.
    max_particles
        Keep so many particles a jet, those of the highest pT.
    drop_last
        Leave out the last batch of an epoch if it is smaller.
    rank, world_size
        This rank takes every ``world_size``-th jet of a batch, from its ``rank``-th on. Of a small
        last batch that may be none.
    """

    def __init__(
        self,
        dataset: JetDataset,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        max_particles: int | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.max_particles = max_particles
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        if self.drop_last:
            return len(self.dataset) // self.batch_size
        return math.ceil(len(self.dataset) / self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[JetBatch]:
        """Yield this rank's part of each batch of an epoch, from batch ``start`` on.

        A thread works ahead by two batches; it ends when the iterator does or is closed. What goes
        wrong in it is raised here.
        """
        order = self._order(epoch)
        ahead: deque[Future[JetBatch]] = deque()
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="JetLoader")
        try:
            for number in range(start, len(self)):
                ahead.append(pool.submit(self._batch, order, number))
                if len(ahead) > _BATCHES_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _order(self, epoch: int) -> Int64[np.ndarray, " jets"]:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))

    def _batch(self, order: Int64[np.ndarray, " jets"], number: int) -> JetBatch:
        batch = order[number * self.batch_size : (number + 1) * self.batch_size]
        rows = batch[self.rank :: self.world_size]
        return make_batch(self.dataset.take(rows), self.dataset.classes[rows], self.max_particles)
