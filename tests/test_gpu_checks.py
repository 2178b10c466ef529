"""What scripts/gpu_checks.sh runs on a GPU, begun on a CPU: a GPU's time is too dear for a typo."""

import json
import os
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from helpers.files import write_toptagging_h5
from parttag.testing import toy_jets

SCRIPTS = Path(__file__).parents[1] / "scripts"
# Stands for Python: writes down what it is asked to run.
RECORDER = """#!/usr/bin/env bash
printf '%q ' "$@" >> {log}
echo >> {log}
"""
# After the script's own arguments, of which the last count: a moment's work.
SMALL = {
    "bench_model.py": "--batch 4 --jets 8 --rounds 1 --steps 1 --precisions fp32",
    "compare_paths.py": "--batch 4 --steps 2",
    "bench_scaling.py": "--means 4 8 --batch 4 --jets 8 --rounds 1 --steps 1 --precisions fp32",
    "bench_training.py": "--batch 4 --rounds 1 --steps 2 --precision fp32",
}


def gpu_checks(*arguments, python):
    command = ["bash", SCRIPTS / "gpu_checks.sh", *arguments]
    environment = {**os.environ, "PYTHON": str(python)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def jets(tmp_path):
    folder = tmp_path / "jets"
    folder.mkdir()
    for seed, name in enumerate(("train", "val", "test")):
        write_toptagging_h5(folder / f"{name}.h5", toy_jets(20, seed))
    return folder


@pytest.fixture
def commands(jets, tmp_path):
    """What the script asks Python to run."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(RECORDER.format(log=log))
    python.chmod(0o755)
    metrics = tmp_path / "out" / "particle_transformer" / "evaluation" / "metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}")
    first = gpu_checks(jets, tmp_path / "out", python=python)
    assert first.returncode == 0, first.stderr
    listed = [shlex.split(line) for line in log.read_text().splitlines()]
    assert gpu_checks(jets, tmp_path / "out", python=python).returncode == 0
    again = log.read_text().splitlines()[len(listed) :]
    assert len(again) == 1  # whether there is a GPU; the rest is done
    return listed


@pytest.mark.slow
def test_every_script_takes_its_arguments_and_ends(commands, monkeypatch, tmp_path):
    scripts = {Path(c[0]).name: c for c in reversed(commands) if c[0].startswith("scripts/")}
    assert set(scripts) == set(SMALL)
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr("speed.contestants.WARM_UP_STEPS", 1)
    monkeypatch.setattr("speed.parts._matrix_rate", lambda *_: 1e12)
    for name, (_, *arguments) in scripts.items():
        small = f"{SMALL[name]} --device cpu --threads {torch.get_num_threads()}"
        monkeypatch.setattr("sys.argv", [name, *arguments, *small.split()])
        try:
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        except SystemExit as end:
            assert not end.code, name
    written = {
        path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")
    }
    assert len(written) == len(SMALL)
    assert all("ratios" in content for content in written.values())


def test_the_rest_are_pytest_and_a_training(commands):
    rest = [command[:2] for command in commands if not command[0].startswith("scripts/")]
    assert rest[0][0] == "-c"
    assert rest[1:] == [["-m", "pytest"], ["-m", "pytest"], ["-m", "parttag.cli"]]


def test_missing_jets_are_said_at_once(jets, tmp_path):
    (jets / "test.h5").unlink()
    result = gpu_checks(jets, tmp_path / "out", python="false")
    assert result.returncode == 2
    assert "holds nothing whose name begins with test" in result.stderr
    assert not (tmp_path / "out").exists()
