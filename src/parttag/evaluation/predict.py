"""Scores of jets, in files or in memory: ``parttag predict``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import awkward as ak

from parttag.data.jet_files import STEP_JETS, JetFiles, Patterns, jet_files, steps
from parttag.data.readers import read_branches
from parttag.errors import InputError, option
from parttag.evaluation.batches import Precision
from parttag.evaluation.scorer import Scorer
from parttag.evaluation.scores import Scores, join, refuse_hidden_columns
from parttag.evaluation.working_points import passes
from parttag.jets.arrays import JetArrays
from parttag.metrics.working_points import WorkingPoints
from parttag.progress import Progress, no_progress
from parttag.runs.run import Run
from parttag.system.row_files import check_format, new_score_file
from parttag.training.distributed import DeviceName


@dataclass(frozen=True)
class PredictReport:
    """How many jets were scored, and how many of them could not be."""

    num_jets: int
    num_bad: int
    num_unlabelled: int


def score_jets(
    run: Run,
    jets: JetArrays,
    *,
    working_points: WorkingPoints | None = None,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    step_jets: int = STEP_JETS,
    progress: Progress = no_progress,
) -> Scores:
    """Return the scores of jets in memory, in their order.

    Parameters
    ----------
    working_points
        The scores say which of them each jet passes.
    strict
        Whether a bad jet is refused; else its scores are NaN.
    precision, device
        How and where the scores are computed; ``auto`` is a GPU if there is one.
    step_jets
        Jets taken at a time, as jets of files are.

    Raises
    ------
    InputError
        If the run has no classes, or the jets do not fit the network.
    """
    scorer = Scorer.of_run(
        run, labels_required=False, strict=strict, precision=precision, device=device
    )
    parts = steps(jets, progress, "scoring", step_jets=step_jets)
    found = (scores for _, scores in scorer.score_all(parts))
    return join([_with_passes(scores, working_points) for scores in found])


def score_files(
    run: Run,
    files: JetFiles | Patterns,
    keep: Sequence[str] = (),
    *,
    working_points: WorkingPoints | None = None,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    step_jets: int = STEP_JETS,
    progress: Progress = no_progress,
) -> Scores:
    """Return the scores of every jet of the files, in their order.

    Parameters
    ----------
    files
        Files, globs, directories or stores, read by the run's ``data.columns``, or as ``JetFiles``
        says.
    keep
        Branches of the files that ride along. ``jet_pt``, ``jet_eta``, ``jet_mass`` and
        ``num_particles`` among them replace the columns of that name.
    working_points, strict, precision, device
        As of ``score_jets``.
    step_jets
        Jets read at a time.

    Raises
    ------
    InputError
        If a file cannot be read or lacks a branch to keep, or the jets do not fit the network.
    """
    scorer = Scorer.of_run(
        run, labels_required=False, strict=strict, precision=precision, device=device
    )
    refuse_hidden_columns(keep, run.classes, scorer.prediction_names)
    if not isinstance(files, JetFiles):
        files = JetFiles(
            files,
            run.config.data.columns,
            truth_optional=True,
            wanted=run.config.wanted_columns,
        )
    parts = _score_files(scorer, files, keep, step_jets, progress)
    scores = join([_with_passes(part, working_points) for part in parts])
    return replace(scores, files=files)


def predict(
    scorer: Scorer,
    files: JetFiles | Patterns,
    out: Path,
    *,
    keep: Sequence[str] = (),
    working_points: WorkingPoints | None = None,
    overwrite: bool = False,
    step_jets: int = STEP_JETS,
    progress: Progress = no_progress,
) -> PredictReport:
    """Write the scores of every jet of the files to ``out``, whose name gives the format.

    They are never in memory all at once, as those of ``score_files`` are.

    Parameters
    ----------
    files
        Files, globs, directories and stores, as the public sets or as ``JetFiles`` says; cuts do
        not matter.
    keep, working_points
        As of ``score_files``.
    step_jets
        Jets read at a time.

    Raises
    ------
    InputError
        If a file cannot be read or lacks a branch to keep, the jets do not fit the network, or
        ``out`` exists or cannot be written; nothing is left then.
    """
    check_format(out)
    refuse_hidden_columns(keep, list(scorer.classes), scorer.prediction_names)
    num_jets = num_bad = num_unlabelled = 0
    with new_score_file(out, overwrite=overwrite) as append:
        for scored in _score_files(scorer, jet_files(files), keep, step_jets, progress):
            append(_with_passes(scored, working_points).columns())
            num_jets += len(scored)
            num_bad += int((~scored.valid).sum())
            num_unlabelled += int((scored.labels < 0).sum())
    return PredictReport(num_jets, num_bad, num_unlabelled)


def _with_passes(scores: Scores, points: WorkingPoints | None) -> Scores:
    """Return the scores with which working points each jet passes."""
    if points is None:
        return scores
    found = passes(points, scores)
    taken = found.keys() & scores.kept.keys()
    if taken:
        raise InputError(
            f"{option('keep', min(taken))}: a working point has a column of this name; leave it out"
        )
    return replace(scores, passes=found)


def _score_files(
    scorer: Scorer,
    files: JetFiles,
    keep: Sequence[str],
    step_jets: int,
    progress: Progress,
) -> Iterator[Scores]:
    kept: deque[dict[str, ak.Array]] = deque()

    def parts() -> Iterator[JetArrays]:
        current, row, branches = None, 0, dict[str, ak.Array]()
        for path, jets in files.all_jets(progress, "scoring", step_jets=step_jets):
            if path != current:
                earlier = branches
                branches = read_branches(path, keep, files.layout) if keep else {}
                _refuse_other_types(path, branches, earlier)
                current, row = path, 0
            rows = slice(row, row + len(jets))
            kept.append({name: branch[rows] for name, branch in branches.items()})
            yield jets
            row += len(jets)

    for _, scores in scorer.score_all(parts()):
        yield replace(scores, kept=kept.popleft())


def _refuse_other_types(
    path: Path, branches: Mapping[str, ak.Array], earlier: Mapping[str, ak.Array]
) -> None:
    for name, before in earlier.items():
        ours, theirs = branches[name].type.content, before.type.content
        if str(ours) != str(theirs):
            raise InputError(
                f"{path}: branch {name} is of type {ours}, in the files before it is {theirs}; "
                f"leave it out of {option('keep', '')}, or predict these files on their own"
            )
