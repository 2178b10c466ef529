"""The runs that a table is made of, all of them checked before the first is begun."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parttag.benchmarks.options import BenchmarkOptions, PretrainingOptions, RowOptions
from parttag.data.jet_files import JetFiles
from parttag.errors import InputError, option
from parttag.jets.features import feature_names
from parttag.models.shipped import find_pretrained
from parttag.runs.config import HOW_FAST, RunConfig, first_difference
from parttag.runs.plugin_parts import read_config
from parttag.samples.toys import toy_files
from parttag.system.files import refuse_damaged, sha256

OPTIONS_FILE = "benchmark.yaml"


@dataclass(frozen=True)
class Job:
    """A run that has to be there: a row with one seed, or what rows start from."""

    name: str
    directory: Path
    config: RunConfig | None
    """What to train; ``None`` where weights are imported."""
    weights: PretrainingOptions | None = None
    """What to import."""
    weights_path: Path | None = None
    needs: tuple[Path, ...] = ()
    """Directories of the jobs that have to be done before."""
    is_row: bool = True
    """Whether it is evaluated, and counts in the table."""
    cost_jets: int = 64
    """Test jets on which multiply-adds are counted."""


@dataclass(frozen=True)
class Row:
    """A row of the table, and its job for each seed."""

    name: str
    options: RowOptions
    jobs: Mapping[int, Job]
    labels: int | None = None
    """So many training jets; ``None`` where the table has no budgets of labels."""
    recipe: RunConfig | None = None
    """Its recipe as it is; ``None`` if that is no configuration without the overrides."""

    @property
    def title(self) -> str:
        """The name, and what tells rows of the same name apart."""
        return self.name if self.labels is None else f"{self.name}, {self.labels} labels"

    @property
    def config(self) -> RunConfig | None:
        """The configuration of its runs, which differ in their seeds."""
        return next((job.config for job in self.jobs.values()), None)


@dataclass(frozen=True)
class Plan:
    """Everything that a table is made of."""

    directory: Path
    options: BenchmarkOptions
    rows: tuple[Row, ...]
    pretraining: Mapping[Path, Job]
    """Jobs that others need, by their directory, those that they need themselves first."""

    def jobs(
        self, rows: Sequence[str] = (), seeds: Sequence[int] = (), labels: Sequence[int] = ()
    ) -> list[Job]:
        """Return the jobs that ``row_jobs`` returns and, before them, all that they need."""
        return self.with_needs(self.row_jobs(rows, seeds, labels))

    def row_jobs(
        self, rows: Sequence[str] = (), seeds: Sequence[int] = (), labels: Sequence[int] = ()
    ) -> list[Job]:
        """Return the jobs of some rows, seeds and budgets of labels, row by row.

        Parameters
        ----------
        rows, seeds, labels
            Those to take; all if none are given.

        Raises
        ------
        InputError
            If a row, a seed or a budget is unknown.
        """
        _refuse_unknown("rows", rows, self.options.rows)
        _refuse_unknown("seeds", seeds, self.options.seeds)
        _refuse_unknown("labels", labels, self.options.labels)
        return [
            job
            for row in self.rows
            if (not rows or row.name in rows) and (not labels or row.labels in labels)
            for seed, job in row.jobs.items()
            if not seeds or seed in seeds
        ]

    def with_needs(self, jobs: Sequence[Job]) -> list[Job]:
        """Return jobs and, before them, all that they need."""
        needed: set[Path] = set()
        waiting = [path for job in jobs for path in job.needs]
        while waiting:
            path = waiting.pop()
            if path not in needed:
                needed.add(path)
                waiting += self.pretraining[path].needs
        return [job for path, job in self.pretraining.items() if path in needed] + list(jobs)


def check_jobs(plan: Plan, jobs: Sequence[Job]) -> None:
    """Refuse jobs that cannot be done, before anything is trained.

    Raises
    ------
    InputError
        If files are missing, or a directory holds a run of another configuration.
    """
    _refuse_other_directory(plan.directory)
    if not plan.options.data.test and plan.options.jets is None:
        raise InputError("data.test is empty: a table needs test jets, data.test=FILES")
    for job in jobs:
        if job.config is not None:
            _check_files(job, job.config, plan)
            refuse_other_configuration(job)
        elif job.weights_path is not None and not job.weights_path.is_file():
            raise InputError(
                f"{job.name}: {job.weights_path}: there is no such file of weights; name it in "
                f"that section's key weights, or choose {option('rows', '')} that do not need it"
            )


def refuse_other_configuration(job: Job) -> None:
    """Refuse a job whose directory holds a run of another configuration.

    Raises
    ------
    InputError
        If it does, or the configuration there cannot be read.
    """
    path = job.directory / "config.yaml"
    if not path.is_file():
        return
    if job.config is None:
        _refuse_other_weights(job)
        return
    key = first_difference(read_config(path.parent), job.config, except_for=HOW_FAST)
    if key is not None:
        raise InputError(
            f"{job.directory} holds a run whose {key} is different; give another "
            f"{option('out', '')}, or delete "
            "that directory to train the row anew"
        )


def _refuse_other_weights(job: Job) -> None:
    """Refuse an import of other weights, or of the same as another network."""
    assert job.weights is not None
    assert job.weights_path is not None
    config = read_config(job.directory)
    provenance = job.directory / "provenance.json"
    with refuse_damaged(provenance):
        imported = json.loads(provenance.read_text(encoding="utf-8"))["imported"]["sha256"]
    features = job.weights.features
    same = (
        config.model.name == job.weights.model
        and (features is None or config.network_features == feature_names(features))
        # Where only the table is gathered, the weights need not be there.
        and (not job.weights_path.is_file() or imported == sha256(job.weights_path))
    )
    if not same:
        raise InputError(
            f"{job.directory} holds other weights than {job.weights_path} as {job.weights.model} "
            f"with these features; give another {option('out', '')}, or delete that directory "
            "and the rows that "
            "need it"
        )


def _check_files(job: Job, config: RunConfig, plan: Plan) -> None:
    if not config.data.train:
        key = "data.train" if job.is_row else f"{job.name}: overrides.data.train"
        raise InputError(f"{key} is empty: name the files to train on")
    toys = toy_files(plan.directory) if plan.options.jets is not None else ()
    for pattern in (*config.data.train, *config.data.val, *config.data.test):
        if pattern not in toys:  # those are made later
            _ = JetFiles([pattern]).paths
    begins = {
        "init_from.path": config.init_from.path if config.init_from is not None else None,
        "tokenizer_from": config.tokenizer_from,
    }
    for key, path in begins.items():
        if path is None or Path(path) in job.needs or find_pretrained(path) is not None:
            continue
        if not Path(path).exists():
            raise InputError(
                f"{job.name}: {key}: {path}: there is no such run; train it first, or let the row "
                "say what it needs from the section pretraining"
            )


def _refuse_other_directory(directory: Path) -> None:
    if not directory.exists() or (directory / OPTIONS_FILE).is_file():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(
            f"{directory} exists and is no benchmark's; give another {option('out', '')}"
        )


def _refuse_unknown(key: str, wanted: Iterable[object], known: Collection[object]) -> None:
    for entry in wanted:
        if entry not in known:
            there = f"there are {', '.join(map(str, known))}" if known else "the table has none"
            raise InputError(f"{option(key, '')}: there is no {entry}; {there}")
