"""Two trainings in one directory: the second is refused, whatever became of the first."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from helpers.runs import toy_config
from parttag.errors import InputError
from parttag.runs.lock import only_training
from parttag.runs.train import train_run

HOLD = """
import os, sys, time
from pathlib import Path
from parttag.runs.lock import only_training
with only_training(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that trains in ``tmp_path / "run"``."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_second_training_is_refused_with_host_and_process_of_the_first(other, tmp_path):
    with (
        pytest.raises(InputError) as refusal,
        only_training(tmp_path / "run"),
    ):
        pass
    assert f"process {other.pid} on {os.uname().nodename}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_was_killed_is_no_obstacle(other, how, tmp_path):
    other.send_signal(how)
    other.wait()
    with only_training(tmp_path / "run"):
        pass


def test_one_run_after_another_is_trained(tmp_path):
    for _ in range(2):
        with only_training(tmp_path / "run"):
            pass
    assert list((tmp_path / "run").iterdir()) == []


def test_a_directory_that_was_not_there_is_removed_if_nothing_came_of_it(tmp_path):
    with pytest.raises(ValueError, match="wrong"), only_training(tmp_path / "new" / "run"):
        raise ValueError("wrong")
    assert not (tmp_path / "new").exists()


def test_what_a_lock_says_is_printed_as_it_is_and_short(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").write_bytes(b"\x1b]0;x\x07" * 100_000)
    with only_training(run):
        assert json.loads((run / ".lock").read_text())["process"] == os.getpid()


def test_a_link_that_waits_as_the_lock_is_not_written_to(tmp_path):
    (tmp_path / "victim").write_text("of somebody")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match=r"\.lock is a link"), only_training(tmp_path / "run"):
        pass
    assert (tmp_path / "victim").read_text() == "of somebody"


def test_a_child_of_the_first_process_does_not_keep_the_lock(other, tmp_path):
    # A rank that outlives its parent, a worker that hangs: the file is closed in what is started.
    with only_training(tmp_path / "another"):
        child = subprocess.Popen(["sleep", "20"])
    try:
        began = time.monotonic()
        with only_training(tmp_path / "another"):
            assert time.monotonic() - began < 5
    finally:
        child.kill()
        child.wait()


def test_the_second_training_of_a_run_is_refused_and_the_first_one_ends(tmp_path, other):
    config = toy_config(tmp_path)
    with pytest.raises(InputError, match=f"being trained by process {other.pid}"):
        train_run(config, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == [".lock"]
    other.kill()
    other.wait()
    train_run(config, tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()
    assert (tmp_path / "run" / "checkpoints" / "best.pt").is_file()
