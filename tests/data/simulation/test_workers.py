import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from parttag.data.simulation.workers import run_all


def touch(path):
    path.touch()


def die(path):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(path):
    raise ValueError(f"{path.name} is wrong")


def write_pid_and_wait(path):
    path.write_text(str(os.getpid()))
    time.sleep(60)


def test_every_item_is_done_once(tmp_path):
    paths = [tmp_path / str(i) for i in range(3)]
    assert list(run_all(touch, paths, 2)) == [None] * 3
    assert all(path.exists() for path in paths)


def test_a_process_that_dies_is_noticed(tmp_path):
    with pytest.raises(BrokenProcessPool):
        list(run_all(die, [tmp_path / "a", tmp_path / "b"], 1))


def test_an_error_is_passed_on(tmp_path):
    with pytest.raises(ValueError, match="a is wrong"):
        list(run_all(fail, [tmp_path / "a"], 1))


def test_processes_end_when_the_caller_stops(tmp_path):
    running = run_all(write_pid_and_wait, [tmp_path / "a", tmp_path / "b"], 1)
    calls = iter(running)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        _next_or_timeout(calls, tmp_path / "a")
    running.close()
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "a").read_text()), 0)


def _next_or_timeout(calls, started: Path):
    """Interrupt the wait for the next call once ``started`` is written."""

    def stop(signum, frame):
        if started.exists() and started.read_text():
            raise TimeoutError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        next(calls)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
