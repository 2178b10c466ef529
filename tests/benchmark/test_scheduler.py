import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from helpers.benchmarks import run_all, toy_benchmark, toy_plan
from parttag.benchmarks import scheduler
from parttag.benchmarks.jobs import Failure
from parttag.benchmarks.plan import Job
from parttag.benchmarks.planning import make_plan
from parttag.benchmarks.scheduler import run_jobs
from parttag.samples.toys import make_toys
from parttag.training.monitor import PreemptionError

LONG = {"epochs": 12, "batch_size": 8, "device": "cpu"}


def job(name, needs=None):
    return Job(name, Path(name), None, needs=() if needs is None else (Path(needs),))


@pytest.fixture
def done(monkeypatch):
    """The names of the jobs that were done, in order; those called bad fail."""
    names = []

    def attempt(one, progress=None):
        names.append(one.name)
        return Failure("it is bad", is_users=True) if one.name.startswith("bad") else None

    monkeypatch.setattr(scheduler, "attempt", attempt)
    monkeypatch.setattr(scheduler, "is_done", lambda one: one.name.startswith("done"))
    return names


def test_jobs_are_done_in_order_each_after_what_it_needs(done):
    jobs = [job("a", needs="late"), job("b"), job("late"), job("done"), job("c", needs="done")]
    assert not run_jobs(jobs, 1)
    assert done == ["b", "late", "a", "c"]


def test_what_needs_a_failed_job_fails_and_the_rest_goes_on(done):
    jobs = [job("bad"), job("a", needs="bad"), job("b", needs="a"), job("c")]
    failures = run_jobs(jobs, 1)
    assert done == ["bad", "c"]
    assert failures[Path("a")].reason == "it needs bad, which failed: it is bad"
    assert set(failures) == {Path("bad"), Path("a"), Path("b")}


def test_workers_share_the_gpus():
    assert scheduler._own_gpu(3, {}, 0) == {}
    assert scheduler._own_gpu(3, {}, 1) == {}
    assert scheduler._own_gpu(3, {}, 2) == {"CUDA_VISIBLE_DEVICES": "1"}
    named = {"CUDA_VISIBLE_DEVICES": "4,6,7"}
    assert scheduler._own_gpu(4, named, 3) == {"CUDA_VISIBLE_DEVICES": "6"}


@pytest.mark.slow
def test_killed_half_way_and_run_again_a_benchmark_gives_the_same_table(tmp_path):
    plan = toy_plan(tmp_path, overrides={"training": LONG})
    run_all(plan)
    path, killed = tmp_path / "table.yaml", tmp_path / "killed"
    path.write_text(yaml.safe_dump(toy_benchmark(overrides={"training": LONG}), sort_keys=False))
    command = [sys.executable, "-m", "parttag.cli", "benchmark", path, "--jobs", "2"]
    process = subprocess.Popen([*command, "--out", killed], stderr=subprocess.DEVNULL)
    try:
        _wait_until(lambda: process.poll() is None and list(killed.rglob("metrics.jsonl")))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    finally:
        process.kill()
        process.wait()
    assert len(children) >= 2
    _wait_until(lambda: not any(map(_lives, children)))
    assert not (killed / "table.json").exists()
    run_all(make_plan(plan.options, tmp_path, killed))
    assert _results(killed) == _results(plan.directory)


def test_at_sigterm_a_process_writes_its_checkpoint(tmp_path):
    plan = toy_plan(tmp_path, overrides={"training": {**LONG, "epochs": 1000}})
    make_toys(plan.directory, 40)
    (job,) = plan.jobs(["PFN"])

    def terminate():
        try:
            _wait_until((job.directory / "metrics.jsonl").exists)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    try:
        with pytest.raises(PreemptionError, match="stopped by SIGTERM; the same command continues"):
            scheduler._run_in_processes(scheduler._Queue([job]), 1)
    finally:
        thread.join()
    assert (job.directory / "checkpoints" / "last.pt").exists()
    assert "epoch 1000" not in (job.directory / "train.log").read_text()


def _wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _results(directory):
    times = ("training_time", "cpu_time", "jets_per_second")
    rows = json.loads((directory / "table.json").read_text())
    assert [row["seeds"] for row in rows] == [[0], [0]]
    return [{k: v for k, v in row.items() if k not in times} for row in rows]


def test_a_process_that_dies_fails_its_job_alone():
    # It dies before it has imported anything, which takes seconds.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=os._exit, args=(3,))
    process.start()
    theirs.close()
    queue = scheduler._Queue([])
    assert not scheduler._collect(scheduler._Worker(process, ours, job("a")), queue)
    expected = "its process ended with exit code 3: was there enough memory?"
    assert queue.failures[Path("a")].reason == expected


def _lives(process):
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
