"""What a run is worth on jets that it has not seen: metrics, scores and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from parttag.data.files import refuse_damaged, refuse_unwritable
from parttag.data.readers import find_files
from parttag.errors import InputError
from parttag.evaluation import plots
from parttag.evaluation.output import OutputFile, new_files
from parttag.evaluation.reading import read_jets
from parttag.evaluation.score_files import score_rows
from parttag.evaluation.scores import Precision, ScoredJets, Scorer, join
from parttag.metrics import background_class, class_rocs, measure
from parttag.progress import Progress, no_progress
from parttag.runs import Run
from parttag.training.distributed import DeviceName

METRICS = "metrics.json"


def evaluate_run(
    run: Run,
    data: Sequence[str | Path] | None = None,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Score jets, and write metrics, scores and pictures of a trained tagger.

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
    patterns = data if data is not None else run.config.data.test
    if not patterns:
        raise InputError(
            f"{run.directory}: the run has no data.test; name the files to evaluate on with --data"
        )
    sources = find_files(patterns)
    scorer = Scorer.of_run(
        run, labels_required=True, strict=strict, precision=precision, device=device
    )
    epochs = _read_epochs(run.directory / "metrics.jsonl")
    names = _file_names(run.classes, epochs)
    with _made(directory), new_files([directory / n for n in names], overwrite=overwrite) as opened:
        files = dict(zip(names, opened, strict=True))
        scored = join(
            [scorer.score(jets) for _, jets in read_jets(sources, progress, "evaluating")]
        )
        result = _measure(scored, sources)
        _draw(files, scored, run.directory.name, epochs)
        with score_rows(files["scores.h5"], directory / "scores.h5") as append:
            append(scored.columns())
        files[METRICS].write(json.dumps(result, indent=2, allow_nan=False).encode() + b"\n")
    return result


def _file_names(classes: Sequence[str], epochs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return what an evaluation writes; where ``metrics.json`` is, the others are."""
    return [
        "scores.h5",
        "scores.png",
        *(["roc.png"] if background_class(classes) else []),
        *(["training.png"] if epochs else []),
        METRICS,
    ]


def _measure(scored: ScoredJets, sources: Sequence[Path]) -> dict[str, Any]:
    used = _used(scored)
    if not used.any():
        raise InputError(
            f"{sources[0]}: there is no good jet of a class in data.classes; give other files"
        )
    metrics = measure(
        scored.logits[used], scored.labels[used], scored.classes, scored.jet_weights[used]
    )
    left_out = {"bad": ~scored.valid, "no_class": scored.valid & ~used}
    return {
        **metrics.to_json(),
        "num_left_out": {reason: int(jets.sum()) for reason, jets in left_out.items()},
        "data": [str(path) for path in sources],
    }


def _draw(
    files: Mapping[str, OutputFile],
    scored: ScoredJets,
    name: str,
    epochs: Sequence[Mapping[str, float]],
) -> None:
    used = _used(scored)
    jets = scored.logits[used], scored.labels[used]
    jet_weights = scored.jet_weights[used]
    rocs = class_rocs(*jets, scored.classes, jet_weights)
    plots.plot_scores(files["scores.png"], *jets, jet_weights, scored.classes, rocs)
    if "roc.png" in files:
        plots.plot_roc(files["roc.png"], rocs, scored.classes, name)
    if "training.png" in files:
        plots.plot_training(files["training.png"], epochs)


def _used(scored: ScoredJets) -> Bool[np.ndarray, " jets"]:
    return scored.valid & (scored.labels >= 0)


def _read_epochs(path: Path) -> list[dict[str, float]]:
    """Return the lines of a ``metrics.jsonl``; none for a run that was not trained here."""
    if not path.exists():
        return []
    with refuse_damaged(path):
        epochs = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: float(value) for name, value in epoch.items()} for epoch in epochs]


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Make a directory, and remove it if the block raises before anything is in it."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    with refuse_unwritable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            path.rmdir()
        raise
