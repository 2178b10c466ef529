"""The record of epochs: ``metrics.jsonl`` and, if asked for, TensorBoard's files."""

import json
from collections.abc import Sequence
from pathlib import Path

from parttag.errors import InputError
from parttag.system.atomic_files import write_file


class Record:
    """Writes the history of a training into the directory of its run.

    Raises
    ------
    InputError
        If TensorBoard is asked for and not installed.
    """

    def __init__(self, directory: Path, *, tensorboard: bool) -> None:
        self._path = directory / "metrics.jsonl"
        self._writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise InputError(
                    "training.tensorboard needs a package that is not installed: "
                    "pip install 'parttag[track]'"
                ) from error
            self._writer = SummaryWriter(directory / "tensorboard")

    def write(self, history: Sequence[dict[str, int | float]]) -> None:
        """Write all epochs, one line each, the last of which is new."""
        lines = "".join(json.dumps(line) + "\n" for line in history)
        write_file(self._path, lines.encode())
        if self._writer is not None:
            for name, value in history[-1].items():
                self._writer.add_scalar(name, value, int(history[-1]["epoch"]))
            self._writer.flush()
