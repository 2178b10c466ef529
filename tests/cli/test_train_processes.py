"""``parttag train --processes``: the ranks of one machine, started by the command itself."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.runs import toy_config
from parttag.runs.config import dump_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run

NEEDS_CORES = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="two processes need two cores"
)


def start(*arguments, meeting=None):
    """Start a training whose ranks meet in the directory ``meeting``, if it is given."""
    return subprocess.Popen(
        [sys.executable, "-m", "parttag.cli", "train", *map(str, arguments)],
        env={**os.environ, **({"TMPDIR": str(meeting)} if meeting else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children(pid):
    result = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in result.stdout.split()]


def descendants(pid):
    return [pid, *(found for child in children(pid) for found in descendants(child))]


def listeners(pids):
    """Return the addresses, as the kernel writes them, on which processes wait for connections."""
    sockets = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(str(entry.readlink()))
            except OSError:
                continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                addresses.add(words[1].partition(":")[0])
    return addresses


def is_loopback(address):
    """Return whether an address of /proc/net/tcp or tcp6 is 127.0.0.0/8 or ::1."""
    return address.endswith("7F") if len(address) == 8 else address == "0" * 24 + "01000000"


@NEEDS_CORES
def test_two_processes_train_what_one_does_and_say_so_once(tmp_path):
    config = toy_config(tmp_path)
    (tmp_path / "run.yaml").write_text(dump_config(config))
    process = start(tmp_path / "run.yaml", "--out", tmp_path / "two", "--processes", "2")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out == f"trained: {tmp_path / 'two'}\n"
    train_run(config, tmp_path / "one")
    one, two = (load_run(tmp_path / name, "last").model.state_dict() for name in ("one", "two"))
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-4, atol=1e-6)


@NEEDS_CORES
def test_sigterm_stops_all_after_a_checkpoint_which_is_said_once(tmp_path):
    """Meanwhile no stranger can join: no rank listens to other machines, or meets in the open."""
    config = toy_config(tmp_path, "training.epochs=100000")
    (tmp_path / "run.yaml").write_text(dump_config(config))
    (meeting := tmp_path / "meeting").mkdir()
    arguments = tmp_path / "run.yaml", "--out", tmp_path / "run", "--processes", "2"
    process = start(*arguments, meeting=meeting)
    addresses, modes = set(), set()
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        addresses |= listeners(descendants(process.pid))
        modes |= {stat.S_IMODE(path.stat().st_mode) for path in meeting.glob("parttag-*")}
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 143
    assert err.count("stopped by SIGTERM") == 1
    assert addresses  # of gloo
    assert all(map(is_loopback, addresses)), addresses
    assert modes == {0o700}
    assert not list(meeting.glob("parttag-*"))


@NEEDS_CORES
def test_no_rank_outlives_the_command(tmp_path):
    toy_config(tmp_path, "training.epochs=100000")
    (meeting := tmp_path / "meeting").mkdir()
    arguments = tmp_path / "config.yaml", "--out", tmp_path / "run", "--processes", "2"
    process = start(*arguments, meeting=meeting)
    while len(ranks := children(process.pid)) < 2:
        time.sleep(0.05)
    assert list(meeting.glob("parttag-*"))
    process.kill()
    process.communicate(timeout=600)
    deadline = time.monotonic() + 300
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list(meeting.glob("parttag-*"))
