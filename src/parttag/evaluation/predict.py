"""Scores of jets in files, one row a jet in the order of the input: ``parttag predict``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import awkward as ak

from parttag.data.jet_files import STEP_JETS, JetFiles, Patterns, jet_files
from parttag.data.readers import read_branches
from parttag.errors import InputError
from parttag.evaluation.scores import ScoredJets, Scorer
from parttag.progress import Progress, no_progress
from parttag.system.row_files import Columns, check_format, new_score_file


@dataclass(frozen=True)
class PredictReport:
    """How many jets were scored, and how many of them could not be."""

    num_jets: int
    num_bad: int
    num_unlabelled: int


def predict(
    scorer: Scorer,
    files: JetFiles | Patterns,
    out: Path,
    *,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    step_jets: int = STEP_JETS,
    progress: Progress = no_progress,
) -> PredictReport:
    """Write the scores of every jet of the files to ``out``, whose name gives the format.

    Parameters
    ----------
    files
        Files, globs, directories and stores, as the public sets or as ``JetFiles`` says; cuts do
        not matter.
    keep
        Branches of the files to pass through. ``jet_pt``, ``jet_eta``, ``jet_mass`` and
        ``num_particles`` among them replace the columns of that name.
    step_jets
        Jets read at a time.

    Raises
    ------
    InputError
        If a file cannot be read or lacks a branch to keep, the jets do not fit the network, or
        ``out`` exists or cannot be written; nothing is left then.
    """
    check_format(out)
    _refuse_names(keep, scorer.classes)
    num_jets = num_bad = num_unlabelled = 0
    with new_score_file(out, overwrite=overwrite) as append:
        for scored, kept in _score_files(scorer, jet_files(files), keep, step_jets, progress):
            append({**scored.columns(), **kept})
            num_jets += len(scored)
            num_bad += int((~scored.valid).sum())
            num_unlabelled += int((scored.labels < 0).sum())
    return PredictReport(num_jets, num_bad, num_unlabelled)


def _score_files(
    scorer: Scorer,
    files: JetFiles,
    keep: Sequence[str],
    step_jets: int,
    progress: Progress,
) -> Iterator[tuple[ScoredJets, Columns]]:
    current, row, branches = None, 0, dict[str, ak.Array]()
    for path, jets in files.all_jets(progress, "scoring", step_jets=step_jets):
        if path != current:
            earlier = branches
            branches = read_branches(path, keep, files.layout) if keep else {}
            _refuse_other_types(path, branches, earlier)
            current, row = path, 0
        rows = slice(row, row + len(jets))
        yield scorer.score(jets), {name: branch[rows] for name, branch in branches.items()}
        row += len(jets)


def _refuse_names(keep: Sequence[str], classes: Mapping[str, Sequence[str]]) -> None:
    own = {"label", "valid"} | {f"{kind}_{name}" for kind in ("score", "logit") for name in classes}
    taken = own & set(keep)
    if taken:
        raise InputError(
            f"--keep {min(taken)}: the scores have a column of this name; leave it out"
        )


def _refuse_other_types(
    path: Path, branches: Mapping[str, ak.Array], earlier: Mapping[str, ak.Array]
) -> None:
    for name, before in earlier.items():
        ours, theirs = branches[name].type.content, before.type.content
        if str(ours) != str(theirs):
            raise InputError(
                f"{path}: branch {name} is of type {ours}, in the files before it is {theirs}; "
                "leave it out of --keep, or predict these files on their own"
            )
