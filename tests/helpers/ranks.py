"""Several ranks that train together, as torchrun starts them, each through the command line.

Ranks are forked from a process that has imported everything already: starting one costs nothing.
As a program, ``python ranks.py CONFIG RUN RANK:STEP:HOW`` is one rank that torchrun started.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[2] / "src"

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(["parttag.runs", "parttag.cli"])


class Result(NamedTuple):
    """How a rank ended."""

    code: int
    errors: list[str]
    """What it wrote to stderr, but for the log of its epochs."""


class RankGroup:
    """Ranks at work; ``hurt`` is RANK:STEP:HOW with HOW one of kill, raise and terminate."""

    def __init__(self, num_ranks: int, runs: Sequence[tuple[Path, Path]], hurt: str = "") -> None:
        self._logs = [runs[0][1].with_name(f"rank{n}of{num_ranks}.log") for n in range(num_ranks)]
        ports = [_free_port() for _ in runs]
        self._processes = [
            _fork.Process(target=_train, args=(rank, num_ranks, runs, ports, hurt, log))
            for rank, log in enumerate(self._logs)
        ]
        for process in self._processes:
            process.start()

    def wait(self, timeout: float = 120) -> list[Result]:
        """Return how the ranks ended; those that do not end in time are killed."""
        for process in self._processes:
            process.join(timeout)
            process.kill()
            process.join()
        results = []
        for process, log in zip(self._processes, self._logs, strict=True):
            lines = log.read_text().splitlines()
            results.append(
                Result(process.exitcode, [line for line in lines if "epoch " not in line])
            )
        return results


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _train(
    rank: int,
    num_ranks: int,
    runs: Sequence[tuple[Path, Path]],
    ports: Sequence[int],
    hurt: str,
    log: Path,
) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks)}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for (config, run), port in zip(runs, ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)
        _run_command(config, run, hurt)


def _run_command(config: Path, run: Path, hurt: str) -> None:
    from parttag import cli

    if hurt:
        _prepare_to_hurt(*hurt.split(":"))
    sys.argv = ["parttag", "train", str(config), "--out", str(run)]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise


def _prepare_to_hurt(rank: str, step: str, how: str) -> None:
    from parttag.errors import InputError
    from parttag.training.loop import Trainer

    if rank != os.environ["RANK"]:
        return
    train_step = Trainer._step

    def hurt_step(trainer, batch):
        train_step(trainer, batch)
        if trainer.state.step == int(step):
            if how == "raise":
                raise InputError("this rank cannot read its file")
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGTERM)

    Trainer._step = hurt_step


if __name__ == "__main__":
    _run_command(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
