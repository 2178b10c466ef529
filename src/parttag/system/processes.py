"""Processes that share out work: here, spawned, or on many machines by Dask.

Spawned ones never outlive the process that started them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import TypeVar

from parttag.errors import InputError, option

Item = TypeVar("Item")


class UnfinishedError(InputError):
    """The work stopped without a fault of its own, and can be continued."""


def map_tasks(
    function: Callable[[int], None],
    numbers: Sequence[int],
    *,
    processes: int = 1,
    scheduler: str | None = None,
    connect_seconds: float = 20.0,
) -> Generator[None]:
    """Call ``function`` with each number, and yield as each call is done.

    Parameters
    ----------
    function
        Must be importable and picklable, if it is not called here.
    processes
        How many call it at the same time; if it is one, this process does.
    scheduler
        Address of a Dask scheduler, whose workers are to call it instead.
    connect_seconds
        How long the scheduler may take to answer.

    Raises
    ------
    InputError
        If a process is killed, or Dask is not installed or does not answer.
    """
    if scheduler is not None:
        yield from _on_dask(function, numbers, scheduler, connect_seconds)
    elif processes == 1 or len(numbers) < 2:
        for number in numbers:
            function(number)
            yield
    else:
        try:
            with closing(run_all(function, numbers, processes)) as done:
                yield from done
        except BrokenProcessPool as error:
            raise UnfinishedError(
                f"a process was killed (for lack of memory? try fewer {option('processes', '')}): "
                "give the same command again, and it continues"
            ) from error


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
        with children_deaf_to_interrupts():
            futures = [executor.submit(function, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    finally:
        lifeline.close()
        executor.shutdown(cancel_futures=True)
        listening.close()


@contextmanager
def children_deaf_to_interrupts() -> Iterator[None]:
    """Start processes inside that never get SIGINT: they inherit which signals are blocked.

    Ctrl-C reaches every process of a terminal, but only the first one is to decide. It waits until
    all have started, for one that is half told what to do would end with a traceback. (To block
    the signal here is not enough: any other thread, of a library, may take it.)
    """
    caught: list[tuple[int, FrameType | None]] = []
    handler = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread() and handler is not None
    if here:
        signal.signal(signal.SIGINT, lambda *signalled: caught.append(signalled))
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        if here:
            signal.signal(signal.SIGINT, handler)
    if caught and callable(handler):
        handler(*caught[0])


def _start(listening: Connection) -> None:
    # Pythia and FastJet print from C++.
    with Path(os.devnull).open("w") as silence:
        os.dup2(silence.fileno(), 1)
    end_with(listening)


def end_with(lifeline: int | Connection, first: Callable[[], None] | None = None) -> None:
    """Let this process end, in whatever it is doing, as soon as another one does.

    Parameters
    ----------
    lifeline
        What can be read from once the other process has ended: a pipe that it holds the other end
        of and never writes to, or its sentinel.
    first
        What to do before this process ends.
    """
    threading.Thread(target=_wait_and_end, args=(lifeline, first), daemon=True).start()


def _wait_and_end(lifeline: int | Connection, first: Callable[[], None] | None) -> None:
    wait([lifeline])
    try:
        if first is not None:
            first()
    finally:
        os._exit(1)


def _on_dask(
    function: Callable[[int], None],
    numbers: Sequence[int],
    address: str,
    connect_seconds: float,
) -> Generator[None]:
    named = option("scheduler", address)
    try:
        from dask.distributed import Client
        from dask.distributed import as_completed as as_dask_completes
    except ImportError as error:
        raise InputError(
            f"{named} needs Dask: install the extra, pip install 'parttag[dask]'"
        ) from error
    try:
        client = Client(address, timeout=connect_seconds)
    except (OSError, ValueError) as error:
        raise UnfinishedError(
            f"{named}: no Dask scheduler answers there; correct the address or start one with "
            "`dask scheduler`"
        ) from error
    with client:
        # Not pure: what counts is the files that a call writes.
        futures = client.map(function, list(numbers), pure=False)
        for future in as_dask_completes(futures):
            yield future.result()
