"""What a report shows of a run: read from its directory, or from an evaluation in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parttag.errors import InputError
from parttag.evaluation.evaluation import METRICS, SCORES, Evaluation, read_epochs
from parttag.evaluation.report.looks import Look, look_at_jets
from parttag.evaluation.scored_jets import ScoredJets, read_scored_jets
from parttag.metrics import EvaluationOptions, Report
from parttag.runs.config import CONFIG
from parttag.runs.run import Run
from parttag.system.files import refuse_damaged


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """All that a page shows of a run."""

    name: str
    directory: str
    network: str
    num_parameters: int
    classes: tuple[str, ...]
    options: EvaluationOptions
    report: Report | None
    """``None`` for a run that was not evaluated."""
    jets: ScoredJets | None
    """What the run makes of each jet, if that is known."""
    epochs: Sequence[Mapping[str, float]]
    configuration: str
    """The text of ``config.yaml``."""
    provenance: Mapping[str, Any]
    files: Mapping[str, tuple[str, ...]]
    """Of train, val and test."""
    looks: tuple[Look, ...] = ()
    """Jets to look at."""
    why_no_looks: str = ""


@dataclass(frozen=True)
class RowTable:
    """A table that was made elsewhere, such as a benchmark's, and what is below it."""

    headers: Sequence[str]
    lines: Sequence[Sequence[str]]
    notes: Sequence[str]


def read_run(
    run: Run,
    evaluation: Evaluation | None = None,
    *,
    name: str | None = None,
    looks: bool = True,
) -> ReportedRun:
    """Return what a report shows of a run.

    Parameters
    ----------
    evaluation
        Of the run; by default what is in its directory ``evaluation``.
    name
        What the page calls it; by default the name of its directory.
    looks
        Whether jets to look at are chosen and explained, which takes some seconds.

    Raises
    ------
    InputError
        If a file of the run is damaged.
    """
    report, jets = _evaluated(run, evaluation)
    chosen: tuple[Look, ...] = ()
    why = "" if looks else "jets are shown in the report of a single run"
    if looks:
        chosen, why = look_at_jets(run, report, jets)
    data = run.config.data
    return ReportedRun(
        name=name or run.directory.resolve().name,
        directory=str(run.directory),
        network=run.config.model.name,
        num_parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        classes=run.classes,
        options=evaluation.options if evaluation is not None else run.config.evaluation,
        report=report,
        jets=jets,
        epochs=read_epochs(run.directory),
        configuration=_text(run.directory / CONFIG),
        provenance=_provenance(run.directory),
        files={
            part: tuple(map(str, names))
            for part, names in (("train", data.train), ("val", data.val), ("test", data.test))
        },
        looks=chosen,
        why_no_looks=why,
    )


def _evaluated(run: Run, evaluation: Evaluation | None) -> tuple[Report | None, ScoredJets | None]:
    # Charts of scores are of classes of which each jet is of one.
    excludes = run.config.is_classifier and not run.config.is_multi_label
    if evaluation is not None:
        return evaluation, ScoredJets.of_evaluation(evaluation) if excludes else None
    path = run.directory / "evaluation" / METRICS
    if not path.is_file():
        return None, None
    scores = path.parent / SCORES
    jets = read_scored_jets(scores, run.classes) if excludes and scores.is_file() else None
    return Report.from_json(path), jets


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    with refuse_damaged(path):
        return path.read_text(encoding="utf-8")


def _provenance(directory: Path) -> Mapping[str, Any]:
    path = directory / "provenance.json"
    text = _text(path)
    if not text:
        return {}
    with refuse_damaged(path):
        content = json.loads(text)
        if not isinstance(content, dict):
            raise InputError(f"{path} is not what a training writes: it holds no mapping")
        return content
