"""A report with all that it was made from: the scores of the jets, ROCs, files and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, cast

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parttag import plotting as plots
from parttag.errors import InputError
from parttag.evaluation.scores import Scores
from parttag.evaluation.working_points import CORRECTIONS, TABLES, write_tables
from parttag.metrics import (
    EvaluationOptions,
    RejectionByPt,
    Report,
    Roc,
    discriminants,
    passing_jets,
)
from parttag.metrics.calibration import Reliability
from parttag.metrics.fraction_scan import FractionScan
from parttag.metrics.working_points import WorkingPoints
from parttag.plotting import PictureFormat
from parttag.runs.run import Run
from parttag.system.atomic_files import made_directory, new_files, refuse_existing
from parttag.system.files import refuse_damaged, refuse_unwritable
from parttag.system.row_files import score_rows
from parttag.training.objectives.task_options import CLASSIFY, ORIGIN, VERTEX, TasksOptions

Panel = TypeVar("Panel")

METRICS = "metrics.json"
SCORES = "scores.h5"

Epochs = Sequence[Mapping[str, float]]
"""The lines of a ``metrics.jsonl``; none for a run that was not trained here."""


class Look(TypedDict, total=False):
    """How a panel looks."""

    style: plots.Style | None
    label: str | None


class _RocContent(TypedDict):
    curves: Mapping[str, Roc]
    background: str
    published: bool


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluation(Report):
    """What a run is worth on some jets, with the jets' scores: numbers, files and pictures."""

    scores: Scores
    """Of all jets, those too that the metrics leave out."""
    used: Bool[np.ndarray, " jets"]
    """Which of them are measured: good ones of a class, inside the cuts."""
    rocs: Mapping[str, Roc] = field(default_factory=dict)
    """Of each signal class."""
    working_points: WorkingPoints | None = None
    """The cuts of its working points; ``None`` if classes are not told apart."""
    fraction_scans: Mapping[str, FractionScan] = field(default_factory=dict)
    """By signal class."""
    options: EvaluationOptions
    name: str
    """Of the run, for pictures."""
    epochs: Epochs = ()
    """How the training went."""
    beside_published: bool = False
    """Whether these jets are such that published numbers may stand beside theirs."""

    @classmethod
    def of_report(cls, report: Report, **more: Any) -> Evaluation:
        """Return a report with what it was made from; ``more`` are the other fields."""
        numbers = {one.name: getattr(report, one.name) for one in fields(Report)}
        return cls(**(numbers | more))

    @property
    def told_apart(self) -> tuple[str, ...]:
        """The classes that the network tells apart, each jet being of one."""
        is_asked = self.scores.logits.shape[1] and not self.scores.multi_label
        return self.scores.classes if is_asked else ()

    @property
    def plot(self) -> Pictures:
        """Its panels: ``plot.roc(ax=ax)`` and others."""
        return Pictures(self)

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
        formats = [formats] if isinstance(formats, str) else formats
        pictures = _picture_names(self.told_apart, self.options, self.epochs, tuple(self.tasks))
        names = _file_names(pictures, formats, self.told_apart, self.options)
        with (
            made_directory(directory),
            new_files([directory / name for name in names], overwrite=overwrite) as opened,
        ):
            files = dict(zip(names, opened, strict=True))
            for picture, figure in self.plot.figures().items():
                for form in formats:
                    plots.save_figure(figure, files[f"{picture}.{form}"], cast(PictureFormat, form))
            with score_rows(files[SCORES], directory / SCORES) as append:
                append({**self.scores.columns(), "used": self.used.astype(np.uint8)})
            if TABLES in files and self.working_points is not None:
                write_tables(files, self.working_points, self.fraction_scans, self.data)
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
    excludes = run.config.is_classifier and not run.config.is_multi_label
    classes = run.classes if excludes else ()
    objective = run.config.objective
    tasks = tuple(objective.tasks) if isinstance(objective, TasksOptions) else ()
    names = _picture_names(classes, options, read_epochs(run.directory), tasks)
    paths = [directory / name for name in _file_names(names, formats, classes, options)]
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
        epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{name: float(value) for name, value in epoch.items()} for epoch in epochs]


def _picture_names(
    classes: Sequence[str], options: EvaluationOptions, epochs: Epochs, tasks: Sequence[str]
) -> list[str]:
    """Return the pictures that an evaluation has; of no classes, those of the other tasks."""
    found = discriminants(classes, options) if classes else {}
    quotes = any(score.working_points for score in found.values())
    wanted = {
        "scores": bool(classes),
        "roc": bool(found),
        "rejection_pt": quotes and "rejection_by_pt" in options.metrics,
        "mass_sculpting": bool(found) and "mass_sculpting" in options.metrics,
        "reliability": bool(classes) and options.reliability,
        "fraction_scan": bool(classes) and bool(options.fraction_scan),
        **{_picture_of(name): True for name in tasks if name != CLASSIFY},
        "training": bool(epochs),
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _picture_of(task: str) -> str:
    """Return the name of the picture of a task: no target's is that of another picture."""
    return task if task in (ORIGIN, VERTEX) else f"regression_{task}"


def _file_names(
    pictures: Sequence[str],
    formats: Sequence[str],
    classes: Sequence[str],
    options: EvaluationOptions,
) -> list[str]:
    """Return what an evaluation writes; where ``metrics.json`` is, the others are."""
    for form in formats:
        if form not in plots.FORMATS:
            known = ", ".join(plots.FORMATS)
            raise InputError(f"formats: {form!r} is none of {known}; choose of these")
    has_tables = bool(classes and (discriminants(classes, options) or options.fraction_scan))
    tables = [TABLES, CORRECTIONS] if has_tables else []
    drawn = [f"{name}.{form}" for name in pictures for form in formats]
    return [SCORES, *drawn, *tables, METRICS]


class Pictures:
    """What an evaluation shows: one panel a method, on axes of one's own or new ones.

    All take ``ax``, ``style`` (``"parttag"``, ``"CMS"`` or ``"ATLAS"``) and ``label``, the text
    beside the experiment's name. With several signal classes, ``signal`` names one.

    Examples
    --------
    >>> report.plot.roc(ax=ax)  # doctest: +SKIP
    >>> report.plot.scores(signal="Hbb", style="CMS", label="Simulation")  # doctest: +SKIP
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._of = evaluation

    def roc(self, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
        """Draw the rejection of the background against the signal efficiency."""
        return plots.roc(**self._roc(), ax=ax, **look)

    def scores(
        self, ax: Axes | None = None, *, signal: str | None = None, **look: Unpack[Look]
    ) -> Axes:
        """Draw the distribution of the score of a signal class, for it and for the others."""
        return plots.scores(_one(self._signal_scores(), signal), ax=ax, **look)

    def rejection_by_pt(
        self, ax: Axes | None = None, *, signal: str | None = None, **look: Unpack[Look]
    ) -> Axes:
        """Draw the rejection in bins of jet pT."""
        return plots.rejection_by_pt(self._by_pt(), signal, ax=ax, **look)

    def efficiency_by_pt(
        self, ax: Axes | None = None, *, signal: str | None = None, **look: Unpack[Look]
    ) -> Axes:
        """Draw the signal efficiency of one cut in bins of jet pT."""
        return plots.efficiency_by_pt(self._by_pt(), signal, ax=ax, **look)

    def mass_sculpting(
        self, ax: Axes | None = None, *, signal: str | None = None, **look: Unpack[Look]
    ) -> Axes:
        """Draw the background's mass before and after the cut on a signal class."""
        return plots.mass_sculpting(_one(self._signal_masses(), signal), ax=ax, **look)

    def reliability(self, ax: Axes | None = None, **look: Unpack[Look]) -> Axes:
        """Draw the share of jets of each class against their score of it."""
        return plots.reliability(self._reliability(), ax=ax, **look)

    def fraction_scan(
        self, ax: Axes | None = None, *, signal: str | None = None, **look: Unpack[Look]
    ) -> Axes:
        """Draw the rejections of two classes at every fraction of the discriminant."""
        scans = self._of.fraction_scans
        name = next(iter(scans)) if signal is None and len(scans) == 1 else signal
        return plots.fraction_scan(name or "", _one(scans, signal), ax=ax, **look)

    def training(
        self,
        ax: Axes | None = None,
        *,
        quantity: plots.Quantity = "loss",
        **look: Unpack[Look],
    ) -> Axes:
        """Draw the loss, accuracy or learning rate of the training by epoch."""
        return plots.training(self._of.epochs, quantity, ax=ax, **look)

    def figures(self) -> dict[str, Figure]:
        """Return the pictures that ``Evaluation.save`` writes, by name."""
        of = self._of
        drawn: dict[str, Callable[[], Figure]] = {
            "scores": lambda: plots.scores_figure(self._signal_scores()),
            "roc": lambda: plots.roc_figure(**self._roc()),
            "rejection_pt": lambda: plots.rejection_by_pt_figure(self._by_pt()),
            "mass_sculpting": lambda: plots.mass_sculpting_figure(self._signal_masses()),
            "reliability": lambda: plots.reliability_figure(self._reliability()),
            "fraction_scan": lambda: plots.fraction_scan_figure(of.fraction_scans),
            "training": lambda: plots.training_figure(of.epochs),
        }
        for name, report in of.tasks.items():
            # Classes that stand on their own have no picture.
            drawn[_picture_of(name)] = partial(plots.task_figure, name, report)
        wanted = _picture_names(of.told_apart, of.options, of.epochs, tuple(of.tasks))
        return {name: drawn[name]() for name in wanted}

    def _reliability(self) -> Reliability:
        if self._of.reliability is None:
            raise InputError("evaluation.reliability is false: nothing to draw")
        return self._of.reliability

    def _jets(self) -> Scores:
        return self._of.scores.take(np.flatnonzero(self._of.used))

    def _roc(self) -> _RocContent:
        of = self._of
        if not of.rocs:
            raise InputError("there is no class to reject: say which is the background")
        is_top_tagging = set(of.rocs) == {"top"} and of.background == ("QCD",)
        return {
            "curves": of.rocs if len(of.rocs) > 1 else {of.name: next(iter(of.rocs.values()))},
            "background": " + ".join(of.background),
            "published": of.options.published and of.beside_published and is_top_tagging,
        }

    def _signal_scores(self) -> dict[str, plots.SignalScores]:
        of, jets = self._of, self._jets()
        return plots.signal_scores(
            jets.logits, jets.labels, jets.jet_weights, jets.classes, of.rocs, of.options
        )

    def _by_pt(self) -> RejectionByPt:
        if self._of.rejection_by_pt is None:
            raise InputError("evaluation.metrics is without rejection_by_pt: nothing to draw")
        return self._of.rejection_by_pt

    def _signal_masses(self) -> dict[str, plots.SignalMasses]:
        of, jets = self._of, self._jets()
        passing = passing_jets(jets.logits, jets.classes, of.rocs, of.options)
        return plots.signal_masses(
            jets.jet_mass,
            jets.labels,
            jets.jet_weights,
            jets.classes,
            passing,
            of.mass_sculpting,
            of.options,
        )


def _one(panels: Mapping[str, Panel], signal: str | None) -> Panel:
    """Return the panel of a signal class, which may be left out where there is one."""
    if signal is None and len(panels) == 1:
        return next(iter(panels.values()))
    if signal is not None and signal in panels:
        return panels[signal]
    raise InputError(f"signal={signal!r} is none of {', '.join(panels)}; name one of these")
