"""Spawned processes that share out work and never outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


def run_all(
    function: Callable[[Item], None], items: Sequence[Item], num_processes: int
) -> Generator[None]:
    """Call ``function`` with each item in spawned processes, and yield as each call is done.

    If a call raises, a process dies, or the caller stops (Ctrl-C, kill −9), all processes end at
    once and unfinished calls are lost.

    Parameters
    ----------
    function
        Must be importable, as the items must be picklable.
    items
        What to call it with; calls start in this order.
    num_processes
        How many at most.

    Raises
    ------
    BrokenProcessPool
        If a process died.
    """
    context = multiprocessing.get_context("spawn")
    # Nothing is ever sent: the pipe closes when this process ends it or dies in any way.
    listening, lifeline = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(
        min(num_processes, len(items)), context, initializer=_start, initargs=(listening,)
    )
    try:
        with _children_deaf_to_interrupts():
            futures = [executor.submit(function, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    finally:
        lifeline.close()
        executor.shutdown(cancel_futures=True)
        listening.close()


@contextmanager
def _children_deaf_to_interrupts() -> Iterator[None]:
    """Start processes inside that never get SIGINT: they inherit which signals are blocked.

    Ctrl-C reaches every process of a terminal, but only the first one is to decide.
    """
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _start(listening: Connection) -> None:
    # Pythia and FastJet print from C++.
    with Path(os.devnull).open("w") as silence:
        os.dup2(silence.fileno(), 1)
    threading.Thread(target=_end_with, args=(listening,), daemon=True).start()


def _end_with(listening: Connection) -> None:
    listening.poll(None)
    os._exit(1)
