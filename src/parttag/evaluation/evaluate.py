"""What a run is worth on jets that it has not seen: metrics, scores and pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool

from parttag import plotting as plots
from parttag.data.jet_files import JetFiles
from parttag.data.selection.classes import ClassCheck
from parttag.data.selection.cuts import CutOptions, passing
from parttag.errors import InputError
from parttag.evaluation.scores import Precision, ScoredJets, Scorer, join
from parttag.metrics import (
    SCULPTING_EPS_S,
    Metrics,
    RejectionByPt,
    Roc,
    Sculpting,
    background_class,
    class_rocs,
    measure,
    measure_by_pt,
    measure_sculpting,
    passing_jets,
    sculpting_to_json,
)
from parttag.progress import Progress, no_progress
from parttag.runs.run import Run
from parttag.system.atomic_files import OutputFile, made_directory, new_files
from parttag.system.files import refuse_damaged
from parttag.system.row_files import score_rows
from parttag.training.distributed import DeviceName

logger = logging.getLogger(__name__)

METRICS = "metrics.json"
_AGAINST_BACKGROUND = ("roc.png", "rejection_pt.png", "mass_sculpting.png")


def evaluate_run(
    run: Run,
    data: Sequence[str | Path] | None = None,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    about: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Score jets, and write metrics, scores and pictures of a trained tagger.

    The files are read by the run's ``data.columns``, and its ``data.cuts`` hold: jets outside of
    them have scores, but do not count in the metrics.

    Parameters
    ----------
    data
        Files, globs, directories or stores; by default the run's ``data.test``.
    out
        Directory to write to; by default ``evaluation`` in the run's.
    overwrite
        Whether an evaluation that is there already is replaced.
    strict
        Whether a bad jet is refused; else it is left out of the metrics, and counted.
    precision, device
        How and where the scores are computed; ``auto`` is a GPU if there is one.
    about
        What ``metrics.json`` is to say besides.

    Returns
    -------
    dict
        The content of ``metrics.json``: the metrics, how many jets they leave out, and the files.

    Raises
    ------
    InputError
        If there is nothing to evaluate, the jets do not fit the network, or the results cannot be
        written; nothing is left then.
    """
    directory = out if out is not None else run.directory / "evaluation"
    sources = files_to_evaluate(run, data)
    cuts = run.config.data.cuts
    scorer = Scorer.of_run(
        run, labels_required=True, strict=strict, precision=precision, device=device
    )
    epochs = _read_epochs(run.directory / "metrics.jsonl")
    names = _file_names(run.classes, epochs)
    with (
        made_directory(directory),
        new_files([directory / n for n in names], overwrite=overwrite) as opened,
    ):
        files = dict(zip(names, opened, strict=True))
        scored, passed = _score(scorer, sources, cuts, progress)
        left_out = _left_out(scored, passed if cuts.given else None)
        used = ~np.any(list(left_out.values()), axis=0)
        found = _find(scored.take(np.flatnonzero(used)), sources.paths)
        result = {
            **about,
            **found.to_json(),
            "num_left_out": {reason: int(jets.sum()) for reason, jets in left_out.items()},
            "data": [str(path) for path in sources.paths],
        }
        _draw(files, found, run, epochs)
        with score_rows(files["scores.h5"], directory / "scores.h5") as append:
            append(scored.columns())
        files[METRICS].write(json.dumps(result, indent=2, allow_nan=False).encode() + b"\n")
    return result


def files_to_evaluate(run: Run, data: Sequence[str | Path] | None) -> JetFiles:
    """Return the files that ``data`` name, or else those of the run's ``data.test``.

    Raises
    ------
    InputError
        If there are none.
    """
    patterns = data if data is not None else run.config.data.test
    if not patterns:
        raise InputError(
            f"{run.directory}: the run has no data.test; name the files to evaluate on with --data"
        )
    return JetFiles(patterns, run.config.data.columns, run.config.data.cuts)


def _file_names(classes: Sequence[str], epochs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return what an evaluation writes; where ``metrics.json`` is, the others are."""
    return [
        "scores.h5",
        "scores.png",
        *(_AGAINST_BACKGROUND if background_class(classes) else []),
        *(["training.png"] if epochs else []),
        METRICS,
    ]


def _score(
    scorer: Scorer,
    sources: JetFiles,
    cuts: CutOptions,
    progress: Progress,
) -> tuple[ScoredJets, Bool[np.ndarray, " jets"]]:
    """Return the scores of all jets and which pass the cuts; warn of labels that do not fit."""
    parts, passed, check = [], [], ClassCheck(scorer.classes)
    for _, jets in sources.all_jets(progress, "evaluating"):
        parts.append(scorer.score(jets))
        passed.append(passing(jets, cuts))
        check.add(jets, parts[-1].labels)
    for warning in check.warnings("the jets to evaluate on"):
        logger.warning("%s", warning)
    return join(parts), np.concatenate(passed)


@dataclass(frozen=True, eq=False)
class _Findings:
    """What is measured, and the jets that it is measured on: good ones of a class."""

    jets: ScoredJets
    rocs: Mapping[str, Roc]
    passing: Mapping[str, Bool[np.ndarray, " jets"]]
    """Which jets pass the cut at ``SCULPTING_EPS_S`` of each signal class."""
    metrics: Metrics
    by_pt: RejectionByPt | None
    sculpting: Mapping[str, Sculpting]

    def to_json(self) -> dict[str, Any]:
        """Return the measured part of ``metrics.json``."""
        return {
            **self.metrics.to_json(),
            "rejection_by_pt": self.by_pt.to_json() if self.by_pt else {},
            "mass_sculpting": sculpting_to_json(self.sculpting, len(self.jets.classes)),
        }


def _find(used: ScoredJets, sources: Sequence[Path]) -> _Findings:
    if len(used) == 0:
        raise InputError(
            f"{sources[0]}: there is no good jet of a class in data.classes and inside data.cuts; "
            "give other files"
        )
    logits, labels, classes, weights = used.logits, used.labels, used.classes, used.jet_weights
    rocs = class_rocs(logits, labels, classes, weights)
    selected = passing_jets(logits, classes, rocs, SCULPTING_EPS_S)
    return _Findings(
        jets=used,
        rocs=rocs,
        passing=selected,
        metrics=measure(logits, labels, classes, weights),
        by_pt=measure_by_pt(logits, labels, classes, used.jet_pt, weights),
        sculpting=measure_sculpting(used.jet_mass, labels, classes, selected, weights),
    )


def _left_out(
    scored: ScoredJets, passed: Bool[np.ndarray, " jets"] | None
) -> dict[str, Bool[np.ndarray, " jets"]]:
    """Return which jets the metrics leave out, by the first reason that fits."""
    known = scored.labels >= 0
    reasons = {"bad": ~scored.valid, "no_class": scored.valid & ~known}
    if passed is not None:
        reasons["outside_cuts"] = scored.valid & known & ~passed
    return reasons


def _draw(
    files: Mapping[str, OutputFile],
    found: _Findings,
    run: Run,
    epochs: Sequence[Mapping[str, float]],
) -> None:
    jets, classes = found.jets, found.jets.classes
    labels, weights = jets.labels, jets.jet_weights
    by_signal = plots.signal_scores(jets.logits, labels, weights, classes, found.rocs)
    pictures = {"scores.png": plots.scores_figure(by_signal)}
    if found.by_pt is not None:
        curves = found.rocs
        if len(curves) == 1:
            curves = {run.directory.name: next(iter(curves.values()))}
        masses = plots.signal_masses(
            jets.jet_mass, labels, weights, classes, found.passing, found.sculpting
        )
        pictures["roc.png"] = plots.roc_figure(
            curves,
            background=str(background_class(classes)),
            published=run.config.data.published and set(classes) == {"top", "QCD"},
        )
        pictures["rejection_pt.png"] = plots.rejection_by_pt_figure(found.by_pt)
        pictures["mass_sculpting.png"] = plots.mass_sculpting_figure(masses)
    if "training.png" in files:
        pictures["training.png"] = plots.training_figure(epochs)
    for name, figure in pictures.items():
        plots.save_figure(figure, files[name], "png")


def _read_epochs(path: Path) -> list[dict[str, float]]:
    """Return the lines of a ``metrics.jsonl``; none for a run that was not trained here."""
    if not path.exists():
        return []
    with refuse_damaged(path):
        epochs = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: float(value) for name, value in epoch.items()} for epoch in epochs]
