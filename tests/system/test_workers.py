import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pytest

from parttag.system.processes import run_all


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
    calls = run_all(write_pid_and_wait, [tmp_path / "a", tmp_path / "b"], 1)
    with interrupted_when(tmp_path / "a"), pytest.raises(TimeoutError):
        next(calls)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "a").read_text()), 0)


@contextmanager
def interrupted_when(written):
    """Raise TimeoutError once there is something in a file."""

    def look(signum, frame):
        if written.exists() and written.read_text():
            raise TimeoutError
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    previous = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
