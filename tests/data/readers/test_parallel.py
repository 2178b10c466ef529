"""Several files at once: the order, the errors and the end do not depend on the threads."""

import threading
import time
from collections.abc import Iterator

import pytest

from parttag.data.readers.parallel import read_ahead


def reader(number: int, chunks: int, wait: float = 0.0, fail: bool = False):
    def read() -> Iterator[tuple[int, int]]:
        for chunk in range(chunks):
            time.sleep(wait)
            yield number, chunk
        if fail:
            raise ValueError(f"file {number} is damaged")

    return read


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_chunks_come_in_the_order_of_the_files_whichever_is_ready_first(num_threads):
    readers = [reader(n, chunks=n % 4, wait=0.004 * (4 - n % 5)) for n in range(9)]
    found = list(read_ahead(readers, num_threads))
    assert found == [(n, (n, chunk)) for n in range(9) for chunk in range(n % 4)]


@pytest.mark.parametrize("num_threads", [1, 3])
def test_the_first_error_in_the_order_of_the_files_is_raised_after_what_came_before(num_threads):
    readers = [reader(0, 3, wait=0.01), reader(1, 2, wait=0.01, fail=True), reader(2, 0, fail=True)]
    found = []
    with pytest.raises(ValueError, match="file 1 is damaged"):
        found.extend(read_ahead(readers, num_threads))
    assert len(found) == 5


def test_no_more_than_the_chunks_of_a_few_files_wait():
    made, taken, most = [], 0, 0
    lock = threading.Lock()

    def endless(number: int):
        def read() -> Iterator[int]:
            for chunk in range(40):
                with lock:
                    made.append((number, chunk))
                yield chunk

        return read

    for _ in read_ahead([endless(n) for n in range(6)], 3):
        time.sleep(0.001)
        taken += 1
        most = max(most, len(made) - taken)
    assert taken == 240
    # A chunk that waits and one that is being put in its place, of three files and the next.
    assert most <= 2 * 4


def test_threads_end_when_the_chunks_are_not_wanted_any_more():
    before = threading.active_count()
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    chunks = read_ahead([endless] * 4, 3)
    assert next(chunks) == (0, 1)
    assert threading.active_count() > before
    chunks.close()
    assert threading.active_count() == before
    assert closed == [True] * 3


def test_one_file_needs_no_thread():
    before = threading.active_count()
    for _ in read_ahead([reader(0, 2)], 4):
        assert threading.active_count() == before
