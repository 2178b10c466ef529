"""``parttag train --processes``: the ranks of one machine, started by the command itself."""

import os
import signal
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


def start(*arguments):
    command = [sys.executable, "-m", "parttag.cli", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def children(pid):
    result = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in result.stdout.split()]


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
    config = toy_config(tmp_path, "training.epochs=100000")
    (tmp_path / "run.yaml").write_text(dump_config(config))
    process = start(tmp_path / "run.yaml", "--out", tmp_path / "run", "--processes", "2")
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 143
    assert err.count("stopped by SIGTERM") == 1


@NEEDS_CORES
def test_no_rank_outlives_the_command(tmp_path):
    toy_config(tmp_path, "training.epochs=100000")
    process = start(tmp_path / "config.yaml", "--out", tmp_path / "run", "--processes", "2")
    while len(ranks := children(process.pid)) < 2:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=600)
    deadline = time.monotonic() + 300
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.05)
