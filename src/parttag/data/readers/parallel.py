"""Several files read at once, their chunks handed out in the order of the files."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Full, Queue
from threading import Event
from typing import Generic, TypeVar

Chunk = TypeVar("Chunk")

NUM_THREADS = max(1, min(4, os.cpu_count() or 1))
"""Files read at a time, each with one chunk waiting: what is held grows with it."""


def read_ahead(
    readers: Sequence[Callable[[], Iterator[Chunk]]], num_threads: int = NUM_THREADS
) -> Iterator[tuple[int, Chunk]]:
    """Yield the number of each reader and its chunks, all of the first reader's, then the second's.

    Threads read the next ``num_threads`` files meanwhile, each no further than one chunk ahead:
    most of reading is decompression and NumPy, which other threads need not wait for. The order,
    and which of several errors is raised, do not depend on their number.
    """
    if num_threads < 2 or len(readers) < 2:
        for number, reader in enumerate(readers):
            for chunk in reader():
                yield number, chunk
        return
    stop = Event()
    files = [_File(reader, stop) for reader in readers]
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="read_ahead")
    try:
        for file in files[:num_threads]:
            pool.submit(file.read)
        for number, file in enumerate(files):
            for chunk in file.chunks():
                yield number, chunk
            if number + num_threads < len(files):
                pool.submit(files[number + num_threads].read)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


class _Stopped(Exception):  # noqa: N818 (no error: nobody waits for the chunks any more)
    pass


class _File(Generic[Chunk]):
    """What one thread reads and another takes."""

    def __init__(self, reader: Callable[[], Iterator[Chunk]], stop: Event) -> None:
        self.reader = reader
        self.stop = stop
        # A chunk, or None at the end, or what went wrong.
        self.queue: Queue[Chunk | BaseException | None] = Queue(maxsize=1)

    def read(self) -> None:
        end: BaseException | None = None
        try:
            chunks = self.reader()
            with closing(chunks):  # type: ignore[type-var]
                for chunk in chunks:
                    self._put(chunk)
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 (raised where the chunks are taken)
            end = error
        try:
            self._put(end)
        except _Stopped:
            return

    def chunks(self) -> Iterator[Chunk]:
        while True:
            item = self.queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _put(self, item: Chunk | BaseException | None) -> None:
        while not self.stop.is_set():
            try:
                self.queue.put(item, timeout=0.1)
            except Full:
                continue
            return
        raise _Stopped
