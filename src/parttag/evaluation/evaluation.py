"""A report with all that it was made from: the scores of the jets, ROCs, files and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from parttag import plotting as plots
from parttag.errors import InputError
from parttag.evaluation.scores import Scores
from parttag.metrics import EvaluationOptions, Report, Roc, discriminants, passing_jets
from parttag.runs.run import Run
from parttag.system.atomic_files import made_directory, new_files, refuse_existing
from parttag.system.files import refuse_damaged, refuse_unwritable
from parttag.system.row_files import score_rows

METRICS = "metrics.json"
SCORES = "scores.h5"
FORMATS = ("png", "pdf", "svg", "eps")
"""Of pictures."""

Epochs = Sequence[Mapping[str, float]]
"""The lines of a ``metrics.jsonl``; none for a run that was not trained here."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluation(Report):
    """What a run is worth on some jets, with the jets' scores: numbers, files and pictures."""

    scores: Scores
    """Of all jets, those too that the metrics leave out."""
    used: Bool[np.ndarray, " jets"]
    """Which of them are measured: good ones of a class, inside the cuts."""
    rocs: Mapping[str, Roc]
    """Of each signal class."""
    options: EvaluationOptions
    name: str
    """Of the run, for pictures."""
    epochs: Epochs = ()
    """How the training went."""

    @classmethod
    def of_report(cls, report: Report, **more: Any) -> Evaluation:
        """Return a report with what it was made from; ``more`` are the other fields."""
        numbers = {field.name: getattr(report, field.name) for field in fields(Report)}
        return cls(**(numbers | more))

    @property
    def title(self) -> str:
        """The first line of its table."""
        return f"{self.name}: {super().title}"

    def save(
        self,
        directory: str | Path,
        formats: Sequence[str] = ("png",),
        *,
        overwrite: bool = False,
    ) -> None:
        """Write ``metrics.json``, ``scores.h5`` and the pictures, all of them or none.

        Parameters
        ----------
        directory
            Where to; it is made if it is missing.
        formats
            Of the pictures: png, pdf, svg, eps.
        overwrite
            Whether an evaluation that is there already is replaced.

        Raises
        ------
        InputError
            If a file exists and is not to be replaced, or cannot be written; nothing is left then.
        """
        directory = Path(directory)
        pictures = _pictures(self)
        names = _file_names(list(pictures), formats)
        with (
            made_directory(directory),
            new_files([directory / name for name in names], overwrite=overwrite) as opened,
        ):
            files = dict(zip(names, opened, strict=True))
            for picture, draw in pictures.items():
                for form in formats:
                    draw(files[f"{picture}.{form}"])
            with score_rows(files[SCORES], directory / SCORES) as append:
                append(self.scores.columns())
            text = json.dumps(self.to_json(), indent=2, allow_nan=False)
            files[METRICS].write(text.encode() + b"\n")


def check_target(
    run: Run,
    directory: str | Path,
    formats: Sequence[str] = ("png",),
    *,
    options: EvaluationOptions | None = None,
    overwrite: bool = False,
) -> None:
    """Refuse what ``Evaluation.save`` would refuse, before jets are scored for minutes.

    Raises
    ------
    InputError
        If an evaluation of the run is there already and is not to be replaced, or none can be
        written there.
    """
    directory = Path(directory)
    options = options if options is not None else run.config.evaluation
    names = _picture_names(run.classes, options, read_epochs(run.directory))
    paths = [directory / name for name in _file_names(names, formats)]
    if not overwrite:
        refuse_existing(paths)
    there = next(place for place in (directory, *directory.parents) if place.exists())
    with refuse_unwritable(directory):
        if not there.is_dir():
            raise NotADirectoryError(20, os.strerror(20))
        if not os.access(there, os.W_OK):
            raise PermissionError(13, os.strerror(13))


def read_epochs(run: Path) -> list[dict[str, float]]:
    """Return the lines of the ``metrics.jsonl`` in the directory of a run.

    Raises
    ------
    InputError
        If it is damaged.
    """
    path = run / "metrics.jsonl"
    if not path.exists():
        return []
    with refuse_damaged(path):
        epochs = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: float(value) for name, value in epoch.items()} for epoch in epochs]


def _picture_names(classes: Sequence[str], options: EvaluationOptions, epochs: Epochs) -> list[str]:
    """Return the pictures that an evaluation has."""
    found = discriminants(classes, options)
    quotes = any(score.working_points for score in found.values())
    wanted = {
        "scores": True,
        "roc": bool(found),
        "rejection_pt": quotes and "rejection_by_pt" in options.metrics,
        "mass_sculpting": bool(found) and "mass_sculpting" in options.metrics,
        "training": bool(epochs),
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _file_names(pictures: Sequence[str], formats: Sequence[str]) -> list[str]:
    """Return what an evaluation writes; where ``metrics.json`` is, the others are."""
    for form in formats:
        if form not in FORMATS:
            raise InputError(f"formats: {form!r} is none of {', '.join(FORMATS)}; choose of these")
    return [SCORES, *(f"{name}.{form}" for name in pictures for form in formats), METRICS]


def _pictures(found: Evaluation) -> dict[str, Callable[[plots.Target], None]]:
    """Return what draws each picture into a file."""
    jets = found.scores.take(np.flatnonzero(found.used))
    classes, options, rocs = jets.classes, found.options, found.rocs

    def scores(target: plots.Target) -> None:
        plots.plot_scores(
            target, jets.logits, jets.labels, jets.jet_weights, classes, rocs, options
        )

    def roc(target: plots.Target) -> None:
        plots.plot_roc(
            target, rocs, classes, found.name, published=options.published, options=options
        )

    def rejection_pt(target: plots.Target) -> None:
        assert found.rejection_by_pt is not None
        plots.plot_rejection_by_pt(target, found.rejection_by_pt, classes, options)

    def mass_sculpting(target: plots.Target) -> None:
        passing = passing_jets(jets.logits, classes, rocs, options)
        plots.plot_mass_sculpting(
            target,
            jets.jet_mass,
            jets.labels,
            jets.jet_weights,
            classes,
            passing,
            found.mass_sculpting,
            options,
        )

    def training(target: plots.Target) -> None:
        plots.plot_training(target, found.epochs)

    drawn = (scores, roc, rejection_pt, mass_sculpting, training)
    wanted = _picture_names(classes, options, found.epochs)
    return {draw.__name__: draw for draw in drawn if draw.__name__ in wanted}
