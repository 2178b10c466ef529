"""Functions that only the command line needs: signals, ranks, and targets that are checked first.

In Python, ``Run`` and the functions of ``runs`` are the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parttag.api.run import Run
from parttag.api.runs import Outcome, benchmark, compare, configure, ensemble, load, report
from parttag.data.jet_files import JetFiles
from parttag.evaluation.batches import Precision
from parttag.evaluation.calibrate import calibrate_run
from parttag.evaluation.evaluate import evaluate_run, score_run
from parttag.evaluation.evaluation import Evaluation, check_target
from parttag.evaluation.explain import check_explanation_target
from parttag.evaluation.generation import Comparison as GenerationComparison
from parttag.evaluation.generation import Sampling, generate
from parttag.evaluation.predict import PredictReport
from parttag.evaluation.predict import predict as predict_files
from parttag.evaluation.probe import (
    LabeledJets,
    check_probe_target,
    probe_directory,
    probe_run,
)
from parttag.evaluation.report.write import report_evaluation
from parttag.evaluation.scorer import Scorer
from parttag.evaluation.working_points import asked_points
from parttag.metrics import Estimate, Report
from parttag.progress import Progress, no_progress
from parttag.runs.config import RunConfig, dump_config, run_config_class
from parttag.runs.import_weights import import_weights
from parttag.runs.recipes import list_recipes
from parttag.runs.run import join_folds, load_run
from parttag.runs.sections import parse_classes, parse_priors
from parttag.runs.train import train_run
from parttag.training.distributed import DeviceName, Ranks, first_to_report, join_ranks
from parttag.training.monitor import PreemptionError

__all__ = [
    "Estimate",
    "Evaluation",
    "GenerationComparison",
    "LabeledJets",
    "Outcome",
    "PreemptionError",
    "Ranks",
    "Report",
    "Run",
    "RunConfig",
    "Sampling",
    "benchmark",
    "calibrate_run",
    "check_explanation_target",
    "check_probe_target",
    "check_target",
    "compare",
    "configure",
    "dump_config",
    "ensemble",
    "evaluate_run",
    "first_to_report",
    "generate",
    "import_weights",
    "join_ranks",
    "json_schema",
    "list_recipes",
    "load",
    "load_folds",
    "load_uncalibrated",
    "no_progress",
    "parse_classes",
    "parse_priors",
    "predict",
    "probe_directory",
    "probe_run",
    "report",
    "report_evaluation",
    "score_run",
    "train_run",
]


def load_uncalibrated(directory: str | Path) -> Run:
    """Return the run in a directory, whatever is wrong with its calibration."""
    return Run.of(load_run(directory, calibrated=False))


def load_folds(directories: Sequence[Path]) -> Run:
    """Return the run in a directory, or that of several, which are the runs of all folds."""
    runs = [load(directory) for directory in directories]
    return runs[0] if len(runs) == 1 else Run.of(join_folds(runs))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration, for editors."""
    return run_config_class().model_json_schema()


def predict(
    run: Run,
    files: Sequence[str | Path],
    out: Path,
    *,
    keep: Sequence[str] = (),
    working_points: str | Path | bool = False,
    overwrite: bool = False,
    strict: bool = False,
    precision: Precision = "fp32",
    device: DeviceName = "auto",
    progress: Progress = no_progress,
) -> PredictReport:
    """Write the scores of every jet of files, in their order, without holding all in memory.

    Raises
    ------
    InputError
        If a file cannot be read, the jets do not fit the network, ``out`` cannot be written, or the
        working points are not of this run.
    """
    points = asked_points(run, working_points)
    scorer = Scorer.of_run(
        run, labels_required=False, strict=strict, precision=precision, device=device
    )
    return predict_files(
        scorer,
        JetFiles(
            files,
            run.config.data.columns,
            truth_optional=True,
            wanted=run.config.wanted_columns,
        ),
        out,
        keep=keep,
        working_points=points,
        overwrite=overwrite,
        progress=progress,
    )
