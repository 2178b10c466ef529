"""The command line as a user has it: every example of the help runs, errors are sentences."""

import contextlib
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from helpers.files import write_jetclass_root, write_toptagging_h5
from helpers.weaver_files import write_weaver_file
from parttag import cli
from parttag.testing import toy_jets

REPOSITORY = Path(__file__).parents[2]
COMMANDS = typer.main.get_command(cli.app).commands
# These need weights of weaver-core, minutes of Pythia, a server or a run of another kind, and are
# run where those are tested.
ELSEWHERE = {"download", "generate", "import", "simulate"}
# What makes the example of a real training short; the network stays the paper's.
SHORT = {"train": ["training.epochs=1", "training.batch_size=16", "training.precision=fp32"]}


def example_of(name: str) -> list[str]:
    """Return the words of the example in a command's help."""
    match = re.search(r"Example: parttag (.+?)(?:\n\n|\Z)", COMMANDS[name].help, re.DOTALL)
    assert match, f"parttag {name} has no example"
    return shlex.split(match[1].split(" > ")[0])


def run(directory: Path, words: list[str]) -> None:
    """Run ``parttag`` with these words in a directory."""
    files = [word for word in words if "*" in word]
    assert all(list(directory.glob(pattern)) for pattern in files)
    with contextlib.chdir(directory):
        cli.app(words, standalone_mode=False)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """Return a directory with the files that the examples name, and the run of train's example."""
    directory = tmp_path_factory.mktemp("workplace")
    (directory / "configs").symlink_to(REPOSITORY / "configs")
    for folder in ("data", "simulated", "reference", "other"):
        (directory / folder).mkdir()
    for number, name in enumerate(["data/train_0", "data/train_1", "simulated/a"]):
        mass = {"jet_sdmass": np.full(60, 80, dtype=np.float32)}
        write_jetclass_root(directory / f"{name}.root", toy_jets(60, seed=number), replaced=mass)
    for number, name in enumerate(["train", "val", "test", "reference/test", "other/test"]):
        write_toptagging_h5(directory / f"{name}.h5", toy_jets(60, seed=10 + number))
    write_weaver_file(directory / "data.yaml")
    run(directory, example_of("train") + SHORT["train"])
    for name in ("particle_net", "part"):  # of the example of compare
        shutil.copytree(directory / "runs" / "first", directory / "runs" / name)
    return directory


def test_training_example_leaves_a_run_with_metrics_and_pictures(workplace):
    directory = workplace / "runs" / "first"
    for name in ("config.yaml", "provenance.json", "metrics.jsonl", "train.log"):
        assert (directory / name).is_file()
    for name in ("metrics.json", "scores.h5", "roc.png", "scores.png", "training.png"):
        assert (directory / "evaluation" / name).is_file()


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - ELSEWHERE - {"train"}))
def test_examples_run(workplace, name, capsys):
    run(workplace, example_of(name))
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(ELSEWHERE & set(COMMANDS)))
def test_other_examples_are_there(name):
    assert example_of(name)[0] == name


def test_every_option_is_explained():
    silent = [
        f"{name} {parameter.name}"
        for name, command in COMMANDS.items()
        for parameter in command.params
        if not getattr(parameter, "help", None) and parameter.name != "help"
    ]
    assert not silent


def test_help_answers_in_half_a_second():
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "parttag.cli", "--help"]
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Processor time, and the best of several: what else the machine does is not the command's.
    assert min(seconds() for _ in range(5)) < 0.5


def test_a_mistake_of_the_user_is_one_sentence_and_exit_code_2():
    result = subprocess.run(
        [sys.executable, "-m", "parttag.cli", "train", "no_such.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "no_such.yaml" in result.stderr
    assert "Traceback" not in result.stderr
