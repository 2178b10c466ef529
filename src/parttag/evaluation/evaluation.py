"""A report with all that it was made from: the scores of the jets, ROCs, files and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool
from matplotlib.figure import Figure

from parttag import plotting as plots
from parttag.errors import InputError
from parttag.evaluation.scores import Scores
from parttag.metrics import EvaluationOptions, Report, Roc, discriminants, passing_jets
from parttag.plotting import PictureFormat
from parttag.runs.run import Run
from parttag.system.atomic_files import made_directory, new_files, refuse_existing
from parttag.system.files import refuse_damaged, refuse_unwritable
from parttag.system.row_files import score_rows

METRICS = "metrics.json"
SCORES = "scores.h5"

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
            Of the pictures, of ``parttag.plotting.FORMATS``.
        overwrite
            Whether an evaluation that is there already is replaced.

        Raises
        ------
        InputError
            If a file exists and is not to be replaced, or cannot be written; nothing is left then.
        """
        directory = Path(directory)
        pictures = _picture_names(self.scores.classes, self.options, self.epochs)
        names = _file_names(pictures, formats)
        with (
            made_directory(directory),
            new_files([directory / name for name in names], overwrite=overwrite) as opened,
        ):
            files = dict(zip(names, opened, strict=True))
            for picture, figure in _draw(self).items():
                for form in formats:
                    plots.save_figure(figure, files[f"{picture}.{form}"], cast(PictureFormat, form))
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
        if form not in plots.FORMATS:
            known = ", ".join(plots.FORMATS)
            raise InputError(f"formats: {form!r} is none of {known}; choose of these")
    return [SCORES, *(f"{name}.{form}" for name in pictures for form in formats), METRICS]


def _draw(found: Evaluation) -> dict[str, Figure]:
    """Return the pictures of an evaluation by name."""
    jets = found.scores.take(np.flatnonzero(found.used))
    labels, weights, classes = jets.labels, jets.jet_weights, jets.classes
    rocs, options = found.rocs, found.options
    wanted = _picture_names(classes, options, found.epochs)
    by_signal = plots.signal_scores(jets.logits, labels, weights, classes, rocs, options)
    pictures = {"scores": plots.scores_figure(by_signal)}
    if "roc" in wanted:
        curves = rocs if len(rocs) > 1 else {found.name: next(iter(rocs.values()))}
        is_top_tagging = set(rocs) == {"top"} and found.background == ("QCD",)
        pictures["roc"] = plots.roc_figure(
            curves,
            background=" + ".join(found.background),
            published=options.published and is_top_tagging,
        )
    if "rejection_pt" in wanted and found.rejection_by_pt is not None:
        pictures["rejection_pt"] = plots.rejection_by_pt_figure(found.rejection_by_pt)
    if "mass_sculpting" in wanted:
        passing = passing_jets(jets.logits, classes, rocs, options)
        masses = plots.signal_masses(
            jets.jet_mass, labels, weights, classes, passing, found.mass_sculpting, options
        )
        pictures["mass_sculpting"] = plots.mass_sculpting_figure(masses)
    if "training" in wanted:
        pictures["training"] = plots.training_figure(found.epochs)
    return pictures
