"""Networks in Python and for the command line: train, load, predict, evaluate and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import awkward as ak

from parttag.api.arguments import FileNames, file_list, name_list
from parttag.api.run import Jets, Run, in_memory
from parttag.benchmarks.compare import Row, RunComparison
from parttag.benchmarks.plan import Job
from parttag.benchmarks.planning import load_benchmark, make_plan
from parttag.benchmarks.run import Outcome, run_benchmark
from parttag.errors import InputError, option
from parttag.evaluation.evaluation import METRICS, SCORES, Evaluation
from parttag.evaluation.report.page import REPORT
from parttag.evaluation.report.write import report_runs
from parttag.evaluation.scored_jets import ScoredJets, read_scored_jets
from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch, make_batch
from parttag.jets.kinds import MaxParticles
from parttag.metrics import Report
from parttag.models.weaver import ModelName
from parttag.progress import Progress, no_progress
from parttag.runs import run as runs
from parttag.runs.config import RunConfig, build_config, merge, read_config_content
from parttag.runs.directory import distinct_names
from parttag.runs.ensemble import make_ensemble
from parttag.runs.evaluation_section import drop_other_classes
from parttag.runs.import_weights import import_run
from parttag.runs.recipes import find_recipe
from parttag.runs.train import train_run
from parttag.runs.yaml_files import apply_overrides, nested

__all__ = [
    "Outcome",
    "Run",
    "batch",
    "benchmark",
    "compare",
    "configure",
    "ensemble",
    "import_weaver",
    "load",
    "report",
    "train",
]


def batch(jets: JetArrays | ak.Array, max_particles: MaxParticles = None) -> JetBatch:
    """Return jets as a batch in torch, the only thing that is passed to a network.

    Parameters
    ----------
    jets
        Jets, or awkward records as ``from_awkward`` takes them.
    max_particles
        Keep only so many particles of the highest pT; or what a network keeps of each kind, its
        ``max_particles``.

    Examples
    --------
    >>> logits = pt.load("runs/first").model(pt.batch(pt.read("test.h5")))
    >>> tuple(logits.shape)
    (40, 2)
    """
    return make_batch(in_memory(jets), max_particles=max_particles)


def load(directory: str | Path, checkpoint: Literal["best", "last"] = "best") -> Run:
    """Return the run in a directory, with the weights of its best epoch or its last.

    Raises
    ------
    InputError
        If the directory is no run, or its checkpoint is missing, damaged or of another network.

    Examples
    --------
    >>> run = pt.load("runs/first")
    >>> run.classes
    ('top', 'QCD')
    """
    return Run.of(runs.load_run(directory, checkpoint))


def train(
    config: str | Path | Mapping[str, Any] | RunConfig,
    *,
    train: FileNames | None = None,
    val: FileNames | None = None,
    test: FileNames | None = None,
    out: str | Path | None = None,
    epochs: int | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Run:
    """Train what a configuration describes, or continue where a run of it stopped.

    Parameters
    ----------
    config
        A shipped recipe such as ``"toptagging/pfn"``, a YAML file, nested mappings, or a
        configuration.
    train, val, test
        Files of jets, in place of ``data.train``, ``data.val`` and ``data.test``. Nothing is
        evaluated here: ``run.evaluate()`` is.
    out
        Directory of the run; ``runs/NAME`` for a recipe or a file of this name.
    epochs
        In place of ``training.epochs``.
    options
        Values for any other keys: ``{"training.batch_size": 256}``.

    Returns
    -------
    Run
        With the weights of its best epoch.

    Raises
    ------
    InputError
        If a key is unknown, the data cannot be used, a loss is not finite, or ``out`` holds
        something else.
    PreemptionError
        At SIGTERM, after a checkpoint.

    Examples
    --------
    >>> run = pt.train(
    ...     "toptagging/pfn",
    ...     train="train.h5",
    ...     val="val.h5",
    ...     out="runs/second",
    ...     epochs=1,
    ...     options={"training.batch_size": 16},
    ... )
    """
    given = {
        "data.train": None if train is None else _names(train),
        "data.val": None if val is None else _names(val),
        "data.test": None if test is None else _names(test),
        "training.epochs": epochs,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    settings = configure(config, {**(options or {}), **changes})
    if out is None and not isinstance(config, str | Path):
        raise InputError(f"a run needs a directory: give {option('out', '')}")
    directory = Path("runs") / Path(str(config)).stem if out is None else Path(out)
    return load(train_run(settings, directory, progress=progress))


def configure(
    config: str | Path | Mapping[str, Any] | RunConfig,
    changes: Mapping[str, Any] | Sequence[str],
) -> RunConfig:
    """Return a configuration with the values of some keys, such as ``data.train``, replaced.

    Parameters
    ----------
    config
        As of ``train``.
    changes
        Values by key, or ``section.key=value`` each.

    Raises
    ------
    InputError
        If a key is unknown, or a value is of the wrong type or out of range.
    """
    if isinstance(config, RunConfig):
        content = config.model_dump(mode="json")
    elif isinstance(config, Mapping):
        content = dict(config)
    elif isinstance(config, str | Path):
        content = read_config_content(find_recipe(config))
    else:
        raise InputError(
            f"config is a {type(config).__name__}; give the name of a recipe, a YAML file, nested "
            "mappings or a RunConfig"
        )
    if isinstance(changes, Mapping):
        for key, value in changes.items():
            content = merge(content, nested(key, value))
    else:
        apply_overrides(changes, content)
    return build_config(drop_other_classes(content, list(changes)))


def _names(files: FileNames) -> list[str]:
    return [str(name) for name in file_list(files)]


def import_weaver(
    weights: str | Path,
    features: str | Sequence[str] | None,
    out: str | Path,
    *,
    model: ModelName = "particle_transformer",
    classes: Sequence[str] = (),
) -> Run:
    """Return a run of a network that weaver-core trained, which gives the same scores.

    Or of one that its authors' own code trained: LorentzNet, or the Lorentz Group Network.

    Parameters
    ----------
    weights
        The state dict: of weaver-core of any version since 0.4, or of the authors' code.
    features
        What the network was trained with: kin, kinpid, full, or a list of features. None for
        LorentzNet and the Lorentz Group Network, whose weights tell.
    out
        Directory of the run to make.
    model
        The network that the weights belong to.
    classes
        In the order of the logits; not needed for those of JetClass and top tagging, or if the
        weights tell.

    Raises
    ------
    InputError
        If the directory exists, or the weights are not those of this network with these features.

    Examples
    --------
    >>> run = pt.import_weaver("ParT_kin.pt", "kin", "runs/ParT")  # doctest: +SKIP
    """
    return load(import_run(weights, features, out, model=model, classes=classes))


def ensemble(runs: Sequence[Run | str | Path], out: str | Path) -> Run:
    """Return several runs as one, whose probabilities are averaged; a logit is the log of that.

    Parameters
    ----------
    runs
        Finished runs or their directories, which tell the same classes apart and read the same
        columns: trainings with other seeds or folds. Their calibrations go with them.
    out
        Directory of the run to make, with copies of what the members need.

    Raises
    ------
    InputError
        If they do not fit together, or ``out`` exists.

    Examples
    --------
    >>> all_seeds = pt.ensemble(["runs/seed1", "runs/seed2"], "runs/all")  # doctest: +SKIP
    >>> all_seeds.evaluate("test.h5").save("runs/all/evaluation")  # doctest: +SKIP
    """
    if isinstance(runs, Run | str | Path):
        raise InputError("ensemble takes a list of runs or directories; give two or more")
    directories = [run.directory if isinstance(run, Run) else run for run in runs]
    return load(make_ensemble(directories, out))


def compare(
    results: Sequence[Run | Report | str | Path] | Mapping[str, Run | Report | str | Path],
    data: Jets | None = None,
    *,
    progress: Progress = no_progress,
) -> RunComparison:
    """Return finished runs side by side, and their differences from the first on the same jets.

    Differences of accuracy, AUC and ln R have paired errors: those of the jets on which the taggers
    differ. They are of the jets alone, not of what another training would give.

    Parameters
    ----------
    results
        Runs, their directories, or reports; a mapping gives them names.
    data
        Jets to evaluate all runs on; by default each has been evaluated, and what is in its
        directory ``evaluation`` is read. If that is of other jets than the first run's, there is a
        table and no differences.

    Raises
    ------
    InputError
        If a run was never evaluated, or its metrics cannot be read.

    Examples
    --------
    >>> found = pt.compare([pt.load("runs/first")], "test.h5")
    >>> found.headers()[:4]
    ['run', 'parameters', 'accuracy', 'AUC']
    """
    if isinstance(results, Run | Report | str | Path):
        raise InputError("compare takes a list of runs or reports, or a mapping of names to them")
    if not isinstance(results, Mapping):
        results = dict(zip(_distinct(results), results, strict=True))
    rows = [_row(name, one, data, progress) for name, one in results.items()]
    if not rows:
        raise InputError("there is nothing to compare: give two runs or more")
    return RunComparison.of(rows)


def _distinct(results: Sequence[Run | Report | str | Path]) -> list[str]:
    """Return names that tell results apart: of runs the ends of their paths, of reports titles."""
    places = []
    for one in results:
        if isinstance(one, Evaluation):
            places.append(Path(one.name))
        elif isinstance(one, Report):
            places.append(Path(one.title))
        else:
            places.append(Path(one.directory if isinstance(one, Run) else one).resolve())
    return distinct_names(places)


def _row(
    name: str, result: Run | Report | str | Path, data: Jets | None, progress: Progress
) -> Row:
    if isinstance(result, str | Path):
        result = load(result)
    if isinstance(result, Evaluation):
        jets = ScoredJets.of_evaluation(result)
        return Row(name, result, None, jets, result.options)
    if isinstance(result, Report):
        return Row(name, result)
    options = result.config.evaluation
    if data is not None:
        found = result.evaluate(data, progress=progress)
        report: Report = found
        known: ScoredJets | None = ScoredJets.of_evaluation(found)
    else:
        path = result.directory / "evaluation" / METRICS
        if not path.is_file():
            raise InputError(
                f"{result.directory} was not evaluated yet: give {option('data', '')}, or keep an "
                "evaluation there, run.evaluate().save(run.directory / 'evaluation')"
            )
        report = Report.from_json(path)
        scores = path.parent / SCORES
        known = read_scored_jets(scores, result.classes) if scores.is_file() else None
    return Row(name, report, result.num_parameters, known, options)


def report(
    runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path = REPORT,
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one page that shows runs in a browser, without network, and return its path.

    Parameters
    ----------
    runs
        Runs or their directories, which were evaluated: curves of several are drawn together.
    out
        The file.
    title
        Of the page.
    overwrite
        Replace a file that is there.

    Raises
    ------
    InputError
        If a directory is no run, packages of the extra ``report`` are missing, or ``out`` exists or
        cannot be written.

    Examples
    --------
    >>> page = pt.report(["runs/first"], "report.html")
    """
    several = [runs] if isinstance(runs, Run | str | Path) else runs
    loaded = [one if isinstance(one, Run) else load(one) for one in several]
    return report_runs(loaded, Path(out), title=title, overwrite=overwrite)


def benchmark(
    config: str | Path,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    rows: str | Sequence[str] = (),
    seeds: Sequence[int] = (),
    labels: Sequence[int] = (),
    job: int | None = None,
    jobs: int = 1,
    table_only: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Train and evaluate every row of a table with every seed, and write the table.

    Called again, it skips what is done and continues what was interrupted. A row that fails does
    not stop the others: the outcome says why.

    Parameters
    ----------
    config
        A shipped recipe such as ``"benchmarks/smoke"``, or a YAML file.
    out
        Directory of the table; ``runs/NAME`` if not given.
    overrides
        ``KEY=VALUE`` each, in place of the file's.
    rows, seeds, labels
        Only these; all if there are none.
    job
        Only this combination of row, labels and seed, counted from 0.
    jobs
        Trainings at a time.
    table_only
        Train nothing: gather what is there.

    Raises
    ------
    InputError
        If the table cannot be made at all; nothing is trained then.
    PreemptionError
        At SIGTERM, after checkpoints.

    Examples
    --------
    >>> table = pt.benchmark("benchmarks/smoke", out="runs/smoke")  # doctest: +SKIP
    """
    path = find_recipe(config)
    directory = Path("runs") / path.stem if out is None else Path(out)
    plan = make_plan(load_benchmark(path, overrides), path.parent, directory)
    if job is not None and (rows or seeds or labels):
        raise InputError(
            f"{option('job', str(job))} chooses row, labels and seed: give it alone, or the others"
        )
    chosen = plan.row_jobs(name_list(rows), seeds, labels)
    if job is not None:
        chosen = [_numbered(chosen, job)]
    work = [] if table_only else plan.with_needs(chosen)
    return run_benchmark(plan, work, num_processes=jobs, progress=progress)


def _numbered(jobs: Sequence[Job], number: int) -> Job:
    """Return the job of this number."""
    if not 0 <= number < len(jobs):
        raise InputError(
            f"{option('job', str(number))}: there are {len(jobs)} combinations of row, labels and "
            f"seed, 0 to {len(jobs) - 1}"
        )
    return jobs[number]
