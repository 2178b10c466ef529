"""The jobs of a table one after the other, or several at a time in processes of their own.

Processes are spawned, not forked, because torch has threads; each does job after job. One that dies
fails its job alone, and another takes its place. If the parent dies, so do they: a job that was
killed continues from its last checkpoint.
"""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from parttag.benchmarks.jobs import Failure, attempt, is_done
from parttag.benchmarks.plan import Job
from parttag.progress import Progress, no_progress
from parttag.system.processes import end_with
from parttag.training.monitor import PreemptionError, Termination

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5

Failures = dict[Path, Failure]
"""Failures by the directory of the job."""


def run_jobs(jobs: Sequence[Job], num_processes: int, progress: Progress = no_progress) -> Failures:
    """Do all jobs, each after those that it needs; return why some failed.

    Parameters
    ----------
    jobs
        Jobs that others need come first.
    num_processes
        How many at a time; with 1 all is done in this process.

    Raises
    ------
    PreemptionError
        At SIGTERM, after checkpoints.
    """
    queue = _Queue([job for job in jobs if not is_done(job)])
    if num_processes > 1 and len(queue.waiting) > 1:
        _run_in_processes(queue, min(num_processes, len(queue.waiting)))
        return queue.failures
    while (job := queue.take()) is not None:
        queue.finish(job, attempt(job, progress))
    return queue.failures


@dataclass
class _Queue:
    """Jobs that wait, and what became of the others."""

    waiting: list[Job]
    unfinished: set[Path] = field(init=False)
    failures: Failures = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unfinished = {job.directory for job in self.waiting}

    def take(self) -> Job | None:
        """Return a job that can be done now, ``None`` if there is none (yet)."""
        for job in list(self.waiting):
            if not self.unfinished.isdisjoint(job.needs):
                continue
            self.waiting.remove(job)
            failed = next((path for path in job.needs if path in self.failures), None)
            if failed is not None:
                why = self.failures[failed]
                needed = f"it needs {failed}, which failed: {why.reason}"
                self.finish(job, Failure(needed, why.is_users))
                continue
            return job
        return None

    def finish(self, job: Job, failure: Failure | None) -> None:
        """Remember how a job ended."""
        self.unfinished.discard(job.directory)
        if failure is not None:
            self.failures[job.directory] = failure


# -------------------------------------------------------------------------------------- processes


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Job | None = None


def _run_in_processes(queue: _Queue, number: int) -> None:
    threads = max(1, torch.get_num_threads() // number)
    workers = [_start(index, threads) for index in range(number)]
    termination = Termination()
    try:
        with termination:
            while not termination.asked:
                for worker in workers:
                    if worker.job is None and (job := queue.take()) is not None:
                        worker.connection.send(job)
                        worker.job = job
                busy = {w.connection: i for i, w in enumerate(workers) if w.job is not None}
                if not busy:
                    return
                for connection in wait(list(busy), timeout=_POLL_SECONDS):
                    index = busy[connection]  # type: ignore[index]
                    if not _collect(workers[index], queue):
                        workers[index] = _start(index, threads)
        raise PreemptionError("stopped by SIGTERM; the same command continues")
    finally:
        _end(workers)


def _collect(worker: _Worker, queue: _Queue) -> bool:
    """Take what a worker says of its job; return whether it still lives."""
    assert worker.job is not None
    try:
        failure, lives = worker.connection.recv(), True
    except (EOFError, ConnectionError):
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        failure, lives = Failure(f"its process ended {how}: was there enough memory?", True), False
        logger.warning("%s failed: %s", worker.job.name, failure.reason)
    queue.finish(worker.job, failure)
    worker.job = None
    return lives


def _start(index: int, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads, index))
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return _Worker(process, ours)


def _end(workers: Sequence[_Worker]) -> None:
    """End all workers: the idle ones at once, the others after a checkpoint."""
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()
    for worker in workers:
        worker.process.join()
        worker.connection.close()


def _work(connection: Connection, threads: int, index: int) -> None:
    """Do the jobs that come through the connection, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and sends SIGTERM
    parent = multiprocessing.parent_process()
    assert parent is not None
    end_with(parent.sentinel)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    os.environ.update(_own_gpu(index, os.environ, torch.cuda.device_count()))
    torch.set_num_threads(threads)
    while True:
        job: Job = connection.recv()
        try:
            connection.send(attempt(job))
        except PreemptionError:
            return


def _own_gpu(index: int, environment: Mapping[str, str], num_gpus: int) -> dict[str, str]:
    """Return the variable that gives the worker of this number one GPU, in turn."""
    if num_gpus < 2:
        return {}
    named = environment.get("CUDA_VISIBLE_DEVICES", "")
    gpus = named.split(",") if named else [str(number) for number in range(num_gpus)]
    return {"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]}
