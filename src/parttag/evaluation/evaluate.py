"""The worth of a run on jets that it has not seen: measured here, written by ``Evaluation``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from parttag.data.jet_files import JetFiles, Patterns, steps
from parttag.data.selection.classes import ClassCheck
from parttag.data.selection.cuts import passing
from parttag.errors import InputError, option
from parttag.evaluation.evaluation import Evaluation, read_epochs
from parttag.evaluation.scores import Precision, Scorer, Scores, join
from parttag.jets.arrays import JetArrays
from parttag.metrics import EvaluationOptions, check_options, class_rocs, measure
from parttag.metrics.calibration import measure_reliability
from parttag.metrics.fraction_scan import scan_fractions
from parttag.metrics.working_points import measure_working_points
from parttag.progress import Progress, no_progress
from parttag.runs.run import Run
from parttag.training.distributed import DeviceName

logger = logging.getLogger(__name__)

Data = Patterns | JetArrays
"""Files, globs, directories or stores, or jets in memory."""


def evaluate_run(
    run: Run,
    data: Data | None = None,
    *,
    options: EvaluationOptions | None = None,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> Evaluation:
    """Score jets with a trained tagger, and measure what its scores are worth.

    Files are read by the run's ``data.columns``, and its ``data.cuts`` hold, or ``data.test_cuts``
    if it has some: jets outside of them have scores, but do not count in the metrics.
    Nothing is written before ``Evaluation.save``.

    Parameters
    ----------
    data
        Files, globs, directories, stores or jets; by default the run's ``data.test``.
    options
        What is measured, against which background; by default the run's section ``evaluation``.
    strict
        Whether a bad jet is refused; else it is left out of the metrics, and counted.
    precision, device
        How and where the scores are computed; ``auto`` is a GPU if there is one.

    Raises
    ------
    InputError
        If there is nothing to evaluate, the options do not fit the classes, or the jets do not fit
        the network.
    """
    options = options if options is not None else run.config.evaluation
    check_options(run.classes, options)
    files = None if isinstance(data, JetArrays) else files_to_evaluate(run, data)
    scorer = Scorer.of_run(
        run, labels_required=True, strict=strict, precision=precision, device=device
    )
    epochs = read_epochs(run.directory)
    scored, left_out = _scored(scorer, run, data, files, progress)
    used = ~np.any(list(left_out.values()), axis=0)
    jets = scored.take(np.flatnonzero(used))
    logits, labels, weights = jets.logits, jets.labels, jets.jet_weights
    rocs = class_rocs(logits, labels, jets.classes, weights, options)
    report = measure(
        logits,
        labels,
        jets.classes,
        weights,
        options,
        jet_pt=jets.jet_pt,
        jet_mass=jets.jet_mass,
        rocs=rocs,
    )
    made = run.calibration
    name = None if made is None else made.name
    points = measure_working_points(
        logits,
        labels,
        jets.classes,
        weights,
        options,
        jet_pt=jets.jet_pt,
        jet_eta=jets.jet_eta,
        calibration=name,
    )
    if options.reliability:
        reliability = measure_reliability(
            logits,
            labels,
            jets.classes,
            weights,
            priors=None if made is None else made.target,
            calibration=name,
        )
        report = replace(report, reliability=reliability)
    return Evaluation.of_report(
        report,
        num_left_out={reason: int(jets.sum()) for reason, jets in left_out.items()},
        data=() if files is None else tuple(map(str, files.paths)),
        scores=scored,
        used=used,
        rocs=rocs,
        working_points=points,
        fraction_scans=scan_fractions(logits, labels, jets.classes, weights, options),
        options=options,
        name=run.directory.name,
        epochs=epochs,
        # Whatever the run was trained on: it is the jets of this evaluation that are drawn.
        beside_published=files is not None and not files.is_simulated,
    )


def labelled_scores(
    run: Run,
    data: Data,
    *,
    strict: bool = False,
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> Scores:
    """Return the scores of the good jets of a class inside the run's ``data.cuts``.

    Raises
    ------
    InputError
        If there is none, or the jets do not fit the network.
    """
    files = None if isinstance(data, JetArrays) else files_to_evaluate(run, data)
    scorer = Scorer.of_run(run, labels_required=True, strict=strict, device=device)
    scored, left_out = _scored(scorer, run, data, files, progress)
    return scored.take(np.flatnonzero(~np.any(list(left_out.values()), axis=0)))


def files_to_evaluate(run: Run, data: Patterns | None) -> JetFiles:
    """Return the files that ``data`` name, or else those of the run's ``data.test``.

    Raises
    ------
    InputError
        If there are none.
    """
    patterns = data if data is not None else run.config.data.test
    if not patterns:
        raise InputError(
            f"{run.directory}: the run has no data.test; name the files to evaluate on with "
            f"{option('data', '')}"
        )
    own, wanted = run.config.data, run.config.wanted_columns
    return JetFiles(patterns, own.columns, own.cuts_of_test, wanted=wanted)


def _chunks(data: Data | None, files: JetFiles | None, progress: Progress) -> Iterator[JetArrays]:
    if isinstance(data, JetArrays):
        yield from steps(data, progress, "evaluating")
    elif files is not None:
        yield from (jets for _, jets in files.all_jets(progress, "evaluating"))


def _scored(
    scorer: Scorer, run: Run, data: Data | None, files: JetFiles | None, progress: Progress
) -> tuple[Scores, dict[str, Bool[np.ndarray, " jets"]]]:
    """Return the scores of all jets, and which the metrics leave out; there are others."""
    scored, passed = _score(scorer, _chunks(data, files, progress), run)
    left_out = _left_out(scored, passed if run.config.data.cuts_of_test.given else None)
    if np.any(list(left_out.values()), axis=0).all():
        place = "" if files is None else f"{files.paths[0]}: "
        raise InputError(
            f"{place}there is no good jet of a class in data.classes and inside data.cuts; give "
            "other files"
        )
    return scored, left_out


def _score(
    scorer: Scorer, chunks: Iterator[JetArrays], run: Run
) -> tuple[Scores, Bool[np.ndarray, " jets"]]:
    """Return the scores of all jets and which pass the cuts; warn of labels that do not fit."""
    parts, passed, check = [], [], ClassCheck(scorer.classes)
    for jets in chunks:
        parts.append(scorer.score(jets))
        passed.append(passing(jets, run.config.data.cuts_of_test))
        check.add(jets, parts[-1].labels)
    for warning in check.warnings("the jets to evaluate on"):
        logger.warning("%s", warning)
    return join(parts), np.concatenate(passed)


def _left_out(
    scored: Scores, passed: Bool[np.ndarray, " jets"] | None
) -> dict[str, Bool[np.ndarray, " jets"]]:
    """Return which jets the metrics leave out, by the first reason that fits."""
    known = scored.labels >= 0
    reasons = {"bad": ~scored.valid, "no_class": scored.valid & ~known}
    if passed is not None:
        reasons["outside_cuts"] = scored.valid & known & ~passed
    return reasons
