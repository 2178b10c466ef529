"""Start training processes as torchrun does, without waiting for torchrun.

Run as a program by each rank: ``python ranks.py PORT:CONFIG:RUN… [--hurt RANK:STEP:HOW]`` trains
each configuration in turn through the command line; HOW is kill, raise or terminate.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def start_ranks(num_ranks: int, *arguments: str) -> list[subprocess.Popen[str]]:
    """Start so many ranks of this program; the caller waits for them."""
    return [
        subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_ranks)}
            | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCE)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_ranks)
    ]


def wait_for_ranks(
    processes: list[subprocess.Popen[str]], timeout: float = 120
) -> list[tuple[str, int]]:
    """Return what each rank wrote to stderr, and its exit code."""
    try:
        return [(p.communicate(timeout=timeout)[1], p.returncode) for p in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _hurt(rank: int, step: int, how: str) -> None:
    """Make one rank misbehave at a step."""
    from parttag.errors import InputError
    from parttag.training.loop import Trainer

    if rank != int(os.environ["RANK"]):
        return
    train_step = Trainer._step

    def hurt_step(trainer, batch):
        train_step(trainer, batch)
        if trainer.state.step == step:
            if how == "raise":
                raise InputError("this rank cannot read its file")
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGTERM)

    Trainer._step = hurt_step


if __name__ == "__main__":
    from parttag import cli

    runs = sys.argv[1:]
    if "--hurt" in runs:
        rank, step, how = runs.pop().split(":")
        runs.remove("--hurt")
        _hurt(int(rank), int(step), how)
    for run in runs:
        port, config, out = run.split(":")
        if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun has a port of its own
            os.environ["MASTER_PORT"] = port
        sys.argv = ["parttag", "train", config, "--out", out]
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise
