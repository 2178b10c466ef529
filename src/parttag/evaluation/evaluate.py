"""The worth of a run on jets that it has not seen: measured here, written by ``Evaluation``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import awkward as ak
import numpy as np
import torch
from jaxtyping import Bool

from parttag.data.jet_files import JetFiles, Patterns, steps
from parttag.data.selection.classes import ClassCheck
from parttag.data.selection.cuts import passing
from parttag.data.selection.jet_weights import NegativeWeights, with_weights
from parttag.errors import InputError, option
from parttag.evaluation.applications import applications
from parttag.evaluation.batches import Precision
from parttag.evaluation.evaluation import Epochs, Evaluation, read_epochs
from parttag.evaluation.scorer import Scorer
from parttag.evaluation.scores import Scores, join
from parttag.evaluation.task_reports import task_reports
from parttag.jets.arrays import JetArrays
from parttag.metrics import EvaluationOptions, Reweighted, check_options, class_rocs, measure
from parttag.progress import Progress, no_progress
from parttag.runs.reweighting import read_reweighting
from parttag.runs.run import Run
from parttag.training.distributed import DeviceName, Ranks
from parttag.training.objectives.task_options import CLASSIFY

logger = logging.getLogger(__name__)

Data = Patterns | JetArrays
"""Files, globs, directories or stores, or jets in memory."""


@dataclass(frozen=True)
class ScoredRun:
    """The scores of a run on jets, of which the metrics are still to be made."""

    run: Run
    scores: Scores
    """Of all jets, those too that the metrics leave out."""
    left_out: Mapping[str, Bool[np.ndarray, " jets"]]
    """Which jets these are, by reason; there are others."""
    options: EvaluationOptions
    files: JetFiles | None
    epochs: Epochs
    reweighting: Mapping[str, Reweighted]

    def measured(self) -> Evaluation:
        """Return what the scores are worth."""
        used = ~np.any(list(self.left_out.values()), axis=0)
        files, run = self.files, self.run
        jets = self.scores.take(np.flatnonzero(used))
        more: dict[str, Any] = {
            "num_left_out": {reason: int(jets.sum()) for reason, jets in self.left_out.items()},
            "data": () if files is None else tuple(map(str, files.paths)),
            "reweighting": self.reweighting,
            "tasks": task_reports(run.config, jets),
            "scores": self.scores,
            "used": used,
            "options": self.options,
            "name": run.directory.name,
            "epochs": self.epochs,
            # Whatever the run was trained on: it is the jets of this evaluation that are drawn.
            "beside_published": files is not None and not files.is_simulated,
        }
        if not run.config.is_classifier or run.config.is_multi_label:
            numbers = {name: int((jets.labels == n).sum()) for n, name in enumerate(jets.classes)}
            if run.config.is_multi_label:
                report = more["tasks"][CLASSIFY]
                return Evaluation(num_jets=report.num_jets, loss=report.loss, **more)
            return Evaluation(num_jets=numbers or {"jets": len(jets)}, **more)
        options = self.options
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
        return Evaluation.of_report(report, rocs=rocs, **applications(run, jets, options), **more)


def evaluate_run(
    run: Run,
    data: Data | None = None,
    *,
    options: EvaluationOptions | None = None,
    negative_weights: NegativeWeights | None = None,
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
        Files, globs, directories, stores or jets; by default the run's ``data.test``, or of
        ``data.folds`` without one its ``data.train``.
    options
        What is measured, against which background; by default the run's section ``evaluation``.
    negative_weights
        What jets of negative weight count for; by default what the run's ``data.negative_weights``
        says.
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
    return score_run(
        run,
        data,
        options=options,
        negative_weights=negative_weights,
        strict=strict,
        precision=precision,
        device=device,
        progress=progress,
    ).measured()


def score_run(
    run: Run,
    data: Data | None = None,
    *,
    options: EvaluationOptions | None = None,
    negative_weights: NegativeWeights | None = None,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    ranks: Ranks | None = None,
    progress: Progress = no_progress,
) -> ScoredRun:
    """Return the scores that ``evaluate_run`` measures.

    Parameters
    ----------
    ranks
        Processes that share the network's work; all of them call it, and all have all scores. The
        rest is as of ``evaluate_run``.

    Raises
    ------
    InputError
        As ``evaluate_run``.
    """
    options = options if options is not None else run.config.evaluation
    if run.config.is_classifier:
        check_options(run.classes, options)
    files = None if isinstance(data, JetArrays) else files_to_evaluate(run, data)
    scorer = Scorer.of_run(
        run, labels_required=True, strict=strict, precision=precision, device=device, ranks=ranks
    )
    epochs, reweighting = read_epochs(run.directory), read_reweighting(run.directory)
    negative = negative_weights or run.config.data.negative_weights
    scored, left_out = _scored(scorer, run, _chunks(data, files, progress), files, negative)
    return ScoredRun(run, scored, left_out, options, files, epochs, reweighting)


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
    negative = run.config.data.negative_weights
    scored, left_out = _scored(scorer, run, _chunks(data, files, progress), files, negative)
    return scored.take(np.flatnonzero(~np.any(list(left_out.values()), axis=0)))


def files_to_evaluate(run: Run, data: Patterns | None) -> JetFiles:
    """Return the files that ``data`` name, or else those of the run's ``data.test``.

    Of ``data.folds`` without ``data.test``, each jet of ``data.train`` is new to one network.

    Raises
    ------
    InputError
        If there are none.
    """
    own = run.config.data
    patterns = data if data is not None else own.test
    if not patterns and run.fold_models:
        patterns = own.train
    if not patterns:
        raise InputError(
            f"{run.directory}: the run has no data.test; name the files to evaluate on with "
            f"{option('data', '')}"
        )
    return JetFiles(patterns, own.columns, own.cuts_of_test, wanted=run.config.truth_columns)


def _chunks(data: Data | None, files: JetFiles | None, progress: Progress) -> Iterator[JetArrays]:
    if isinstance(data, JetArrays):
        yield from steps(data, progress, "evaluating")
    elif files is not None:
        yield from (jets for _, jets in files.all_jets(progress, "evaluating"))


def _scored(
    scorer: Scorer,
    run: Run,
    chunks: Iterator[JetArrays],
    files: JetFiles | None,
    negative_weights: NegativeWeights,
) -> tuple[Scores, dict[str, Bool[np.ndarray, " jets"]]]:
    """Return the scores of all jets, and which the metrics leave out; there are others."""
    scored, passed = _score(scorer, chunks, run, negative_weights)
    cuts = run.config.data.cuts_of_test.given
    left_out = _left_out(scored, passed if cuts else None, all_known=run.config.is_multi_label)
    if np.any(list(left_out.values()), axis=0).all():
        place = "" if files is None else f"{files.paths[0]}: "
        raise InputError(
            f"{place}there is no good jet of a class in data.classes and inside data.cuts; give "
            "other files"
        )
    return scored, left_out


def _score(
    scorer: Scorer, chunks: Iterator[JetArrays], run: Run, negative_weights: NegativeWeights
) -> tuple[Scores, Bool[np.ndarray, " jets"]]:
    """Return the scores of all jets and which pass the cuts; warn of labels that do not fit."""
    parts, passed, check = [], [], ClassCheck(scorer.classes)
    weighted = (with_weights(jets, negative_weights, of_evaluation=True) for jets in chunks)
    for jets, scores in scorer.score_all(weighted):
        parts.append(scores)
        passed.append(passing(jets, run.config.data.cuts_of_test))
        if not scorer.multi_label:
            check.add(jets, parts[-1].labels)
    for warning in () if scorer.multi_label else check.warnings("the jets to evaluate on"):
        logger.warning("%s", warning)
    return _gathered(join(parts), scorer.ranks), np.concatenate(passed)


def _gathered(scores: Scores, ranks: Ranks) -> Scores:
    """Return the scores with the logits that the other ranks have computed."""
    if ranks.size == 1:
        return scores

    # What another rank has computed is NaN here, and 0 in the sum; of particles it is −1.
    def whole(values: np.ndarray) -> np.ndarray:
        summed = ranks.sum(torch.from_numpy(np.nan_to_num(values))).numpy()
        summed[~scores.valid] = np.nan
        return summed

    def of_particles(values: ak.Array) -> ak.Array:
        flat = torch.from_numpy(ak.flatten(values).to_numpy().copy()) + 1
        return ak.unflatten(ranks.sum(flat).numpy() - 1, ak.num(values))

    predictions = {
        name: (
            values
            if not name.startswith("pred_")
            else whole(values)
            if isinstance(values, np.ndarray)
            else of_particles(values)
        )
        for name, values in scores.predictions.items()
    }
    return replace(scores, logits=whole(scores.logits), predictions=predictions)


def _left_out(
    scored: Scores, passed: Bool[np.ndarray, " jets"] | None, *, all_known: bool
) -> dict[str, Bool[np.ndarray, " jets"]]:
    """Return which jets the metrics leave out, by the first reason that fits."""
    known = (scored.labels >= 0) | all_known
    reasons = {"bad": ~scored.valid, "no_class": scored.valid & ~known}
    if passed is not None:
        reasons["outside_cuts"] = scored.valid & known & ~passed
    return reasons
