"""Networks in Python and for the command line: train, load, predict, evaluate and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import awkward as ak

from parttag.api.jets import FileNames
from parttag.errors import InputError, option
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.progress import Progress, no_progress
from parttag.runs import run as runs
from parttag.runs.config import RunConfig, build_config
from parttag.runs.recipes import find_recipe
from parttag.runs.train import train_run
from parttag.runs.yaml_files import read_content, set_value


def batch(jets: JetArrays | ak.Array, max_particles: int | None = None) -> JetBatch:
    """Return jets as a batch in torch, the only thing that is passed to a network.

    Parameters
    ----------
    jets
        Jets, or awkward records as ``from_awkward`` takes them.
    max_particles
        Keep only so many particles of the highest pT.

    Examples
    --------
    >>> logits = run.model(pt.batch(jets))  # doctest: +SKIP
    """
    return make_batch(_arrays(jets), max_particles=max_particles)


def load(directory: str | Path, checkpoint: Literal["best", "last"] = "best") -> Run:
    """Return the run in a directory, with the weights of its best epoch or its last.

    Raises
    ------
    InputError
        If the directory is no run, or its checkpoint is missing, damaged or of another network.

    Examples
    --------
    >>> run = load("runs/first")  # doctest: +SKIP
    """
    return Run.of(runs.load_run(directory, checkpoint))


def train(
    config: str | Path | Mapping[str, Any] | RunConfig,
    *,
    train: FileNames | None = None,
    val: FileNames | None = None,
    test: FileNames | None = None,
    out: str | Path | None = None,
    epochs: int | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Run:
    """Train what a configuration describes, or continue where a run of it stopped.

    Parameters
    ----------
    config
        A shipped recipe such as ``"toptagging/pfn"``, a YAML file, nested mappings, or a
        configuration.
    train, val, test
        Files of jets, in place of ``data.train``, ``data.val`` and ``data.test``. Nothing is
        evaluated here: ``run.evaluate()`` is.
    out
        Directory of the run; ``runs/NAME`` for a recipe or a file of this name.
    epochs
        In place of ``training.epochs``.
    options
        Values for any other keys: ``{"training.batch_size": 256}``.

    Returns
    -------
    Run
        With the weights of its best epoch.

    Raises
    ------
    InputError
        If a key is unknown, the data cannot be used, a loss is not finite, or ``out`` holds
        something else.
    PreemptionError
        At SIGTERM, after a checkpoint.

    Examples
    --------
    >>> run = train(
    ...     "toptagging/particle_transformer_small", train="train.h5", val="val.h5", epochs=7
    ... )  # doctest: +SKIP
    """
    given = {
        "data.train": None if train is None else _texts(train),
        "data.val": None if val is None else _texts(val),
        "data.test": None if test is None else _texts(test),
        "training.epochs": epochs,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    settings = configure(config, {**changes, **(options or {})})
    if out is None and not isinstance(config, str | Path):
        raise InputError(f"a run needs a directory: give {option('out', '')}")
    directory = Path("runs") / Path(str(config)).stem if out is None else Path(out)
    return load(train_run(settings, directory, progress=progress))


def configure(
    config: str | Path | Mapping[str, Any] | RunConfig, changes: Mapping[str, Any]
) -> RunConfig:
    """Return a configuration with the values of some keys, such as ``data.train``, replaced.

    Raises
    ------
    InputError
        If a key is unknown, or a value is of the wrong type or out of range.
    """
    if isinstance(config, RunConfig):
        content = config.model_dump(mode="json")
    elif isinstance(config, Mapping):
        content = dict(config)
    else:
        content = read_content(find_recipe(config))
    for key, value in changes.items():
        set_value(key, value, content)
    return build_config(content)


@dataclass(frozen=True, repr=False)
class Run(runs.Run):
    """A trained network with its configuration: what training leaves, and what uses it.

    ``model`` is a ``torch.nn.Module``; ``config`` what it was trained with; ``classes`` are in the
    order of the logits.

    Examples
    --------
    >>> run = pt.load("runs/first")  # doctest: +SKIP
    >>> run.predict("data_*.root").write("scores.root")  # doctest: +SKIP
    >>> run.evaluate("test.h5").rejection["top"][0.5]  # doctest: +SKIP
    """

    @classmethod
    def of(cls, run: runs.Run) -> Run:
        """Return a run of ``parttag.runs`` with the methods of this class."""
        return cls(run.directory, run.config, run.model, run.classes)

    def __repr__(self) -> str:
        return f"Run {self.directory}: {' | '.join(self._facts())}"

    def _repr_html_(self) -> str:
        facts = "".join(f"<td>{escape(fact)}</td>" for fact in self._facts())
        return f"<table><tr><th>Run {escape(str(self.directory))}</th>{facts}</tr></table>"

    def _facts(self) -> list[str]:
        return [
            f"{self.config.model.name} ({_short(self.num_parameters)})",
            ", ".join(self.classes) or f"objective {self.config.objective.name}",
            *self._progress(),
        ]

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(parameter.numel() for parameter in self.model.parameters())
