"""Several ranks that train together, as torchrun starts them, each through the command line.

Ranks are forked from a process that has imported everything already: starting one costs nothing.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

_fork = multiprocessing.get_context("forkserver")
# torch._dynamo is what every optimizer imports at its first step.
_fork.set_forkserver_preload(["parttag.runs.train", "parttag.cli", "torch._dynamo"])


class Result(NamedTuple):
    """How a rank ended."""

    code: int
    errors: list[str]
    """What it wrote to stderr, but for the log of its epochs."""


class RankGroup:
    """Ranks at work; ``hurt`` is RANK:STEP:HOW with HOW one of kill, raise and terminate.

    With ``join_first`` the first rank is left to the caller, who does its part within ``joined``.
    """

    def __init__(
        self,
        num_ranks: int,
        runs: Sequence[tuple[Path, Path]],
        *,
        hurt: str = "",
        join_first: bool = False,
    ) -> None:
        self._num_ranks = num_ranks
        self._ports = [_free_port() for _ in runs]
        ranks = range(int(join_first), num_ranks)
        self._logs = [runs[0][1].with_name(f"rank{n}of{num_ranks}.log") for n in ranks]
        self._processes = [
            _fork.Process(target=_train, args=(rank, num_ranks, runs, self._ports, hurt, log))
            for rank, log in zip(ranks, self._logs, strict=True)
        ]
        for process in self._processes:
            process.start()

    @contextmanager
    def joined(self, run: int = 0) -> Iterator[None]:
        """Be the first rank in the run of this number."""
        before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
        _join(0, self._num_ranks, self._ports[run])
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            signal.signal(signal.SIGTERM, handler)
            if dist.is_initialized():  # after an error
                dist.destroy_process_group()

    def wait(self, timeout: float = 120) -> list[Result]:
        """Return how the ranks ended; those that do not end in time are killed."""
        for process in self._processes:
            process.join(timeout)
            process.kill()
            process.join()
        results = []
        for process, log in zip(self._processes, self._logs, strict=True):
            lines = log.read_text().splitlines()
            errors = [line for line in lines if "epoch " not in line]
            results.append(Result(process.exitcode, errors))
        return results


def run_forked(function: Callable[..., None], num_ranks: int, *args: object) -> None:
    """Call ``function(rank, *args)`` in a process for each rank, and wait.

    Raises
    ------
    ProcessRaisedException
        If one of them fails.
    """
    start_processes = torch.multiprocessing.start_processes
    start_processes(function, args=args, nprocs=num_ranks, start_method="forkserver")


def run_under_torchrun(num_ranks: int, config: Path, run: Path, *, hurt: str = "") -> None:
    """Do what ``torchrun`` does; rank N writes its stderr to torchrun/N, beside ``run``.

    Raises
    ------
    ChildFailedError
        If a rank fails.
    """
    log_dir = run.with_name("torchrun")
    log_dir.mkdir()
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_ranks,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="forkserver",
    )
    elastic_launch(launch, _train_under_torchrun)(config, run, hurt, log_dir)


def _train_under_torchrun(config: Path, run: Path, hurt: str, log_dir: Path) -> None:
    _redirect(log_dir / os.environ["RANK"])
    _run_command(config, run, hurt)


def _join(rank: int, num_ranks: int, port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


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
    _redirect(log)
    for (config, run), port in zip(runs, ports, strict=True):
        _join(rank, num_ranks, port)
        _run_command(config, run, hurt)


def _redirect(log: Path) -> None:
    """Write stderr to a file and stdout nowhere."""
    torch.set_num_threads(1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
