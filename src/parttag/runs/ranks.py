"""The same command in several processes of this machine that train together, as ranks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from parttag.errors import STOPPED_BY_SIGTERM, InputError, option
from parttag.system.processes import end_with
from parttag.training.rendezvous import RENDEZVOUS

# Ranks that have lost another one notice it at once; one that does not is stopped.
_SECONDS_TO_NOTICE = 20.0
_POLL_SECONDS = 0.05


def threads_of_rank(number: int) -> dict[str, str]:
    """Return the variable that says to each of so many ranks how many threads it has.

    They share the cores; none has more threads than the user's ``OMP_NUM_THREADS``.
    """
    cores = len(os.sched_getaffinity(0))
    # Of nested teams, the number of the outermost comes first.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    allowed = int(first) if first.isdecimal() and int(first) > 0 else cores
    return {"OMP_NUM_THREADS": str(min(cores // number, allowed))}


def is_rank() -> bool:
    """Return whether this process is one of several, started here or by torchrun."""
    return "RANK" in os.environ


def end_with_parent() -> None:
    """In a rank that ``run_ranks`` started, watch the process that did, and end as it ends."""
    if RENDEZVOUS in os.environ:
        # Nothing is ever written: the pipe closes when the first process ends, in whatever way.
        end_with(sys.stdin.fileno(), _remove_meeting)


def _remove_meeting() -> None:
    meeting = Path(os.environ[RENDEZVOUS])
    with suppress(OSError):  # another rank was first, or the first process did it
        meeting.unlink(missing_ok=True)
        meeting.parent.rmdir()


def run_ranks(number: int) -> int:
    """Run this process's own command in ``number`` ranks; return the exit code of them all.

    The cores are shared out among them; none has more threads than ``OMP_NUM_THREADS``. SIGTERM is
    passed on to each; if one fails, or this process ends in whatever way, none goes on.

    Raises
    ------
    InputError
        If there are more ranks than cores.
    """
    cores = len(os.sched_getaffinity(0))
    if number > cores:
        raise InputError(
            f"{option('processes', str(number))}: this machine has {cores} cores; ask for fewer"
        )
    # A directory of mode 0700, as always.
    with TemporaryDirectory(prefix="parttag-", ignore_cleanup_errors=True) as directory:
        environment = {
            **os.environ,
            RENDEZVOUS: str(Path(directory, "ranks")),
            "WORLD_SIZE": str(number),
            "GLOO_SOCKET_IFNAME": "lo",  # else the address of this machine's name
            **threads_of_rank(number),
        }
        return _run(number, environment)


def _run(number: int, environment: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", "parttag.cli", *sys.argv[1:]]
    ranks = [
        # In a session of its own: Ctrl-C is for the first process, which then ends them.
        subprocess.Popen(
            command,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for rank in range(number)
    ]
    try:
        with _passing_on_sigterm(ranks):
            return _wait(ranks)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def _wait(ranks: Sequence[subprocess.Popen[bytes]]) -> int:
    """Return once all have ended, or some time after one has failed."""
    failed_at = None
    while (codes := [rank.poll() for rank in ranks]) and None in codes:
        if failed_at is None and any(codes):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _SECONDS_TO_NOTICE:
            break
        time.sleep(_POLL_SECONDS)
    # A rank that was killed, or lost another, has no more to say than one that stopped as asked.
    return next((code for code in (STOPPED_BY_SIGTERM, 2) if code in codes), int(any(codes)))


@contextmanager
def _passing_on_sigterm(ranks: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def pass_on(_signal: int, _frame: FrameType | None) -> None:
        for rank in ranks:
            rank.terminate()

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
