"""From the configuration of a table to the runs that it needs, all of them checked beforehand."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parttag.benchmark.options import (
    BenchmarkOptions,
    PretrainingOptions,
    RowOptions,
    directory_name,
)
from parttag.benchmark.toys import toy_files
from parttag.config import (
    RunConfig,
    build_config,
    first_difference,
    load_config,
    merge,
    read_content,
)
from parttag.data.files import refuse_damaged, sha256
from parttag.data.readers import find_files
from parttag.errors import InputError
from parttag.features import feature_names
from parttag.options import read_options

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
    needs: Path | None = None
    """Directory of the job that has to be done before."""
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
    recipe: RunConfig | None = None
    """Its recipe as it is; ``None`` if that is no configuration without the overrides."""

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
    """Jobs that those of the rows need, by their directory."""

    def pairs(self) -> list[tuple[str, int]]:
        """Return all rows and seeds, row by row."""
        return [(row.name, seed) for row in self.rows for seed in row.jobs]

    def jobs(self, rows: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Job]:
        """Return the jobs of some rows and seeds, those that they need first.

        Parameters
        ----------
        rows, seeds
            Those to take; all if none are given.

        Raises
        ------
        InputError
            If a row or a seed is unknown.
        """
        names = [row.name for row in self.rows]
        _refuse_unknown("--rows", rows, names)
        _refuse_unknown("--seeds", seeds, self.options.seeds)
        chosen = [
            job
            for row in self.rows
            if not rows or row.name in rows
            for seed, job in row.jobs.items()
            if not seeds or seed in seeds
        ]
        needed = {job.needs for job in chosen}
        return [job for path, job in self.pretraining.items() if path in needed] + chosen


def load_benchmark(path: Path, overrides: Sequence[str] = ()) -> BenchmarkOptions:
    """Return the configuration of a table in a YAML file, after the overrides.

    Raises
    ------
    InputError
        As ``config.load_config`` does.
    """
    return read_options(BenchmarkOptions, read_content(path, overrides))


def make_plan(options: BenchmarkOptions, recipes: Path, directory: Path) -> Plan:
    """Return the runs of a table, every configuration loaded.

    Parameters
    ----------
    recipes
        The directory that recipes are relative to.
    directory
        Where the runs are.

    Raises
    ------
    InputError
        If a recipe with its overrides is no configuration.
    """
    data = _data(options, directory)
    pretraining: dict[Path, Job] = {}
    rows = []
    for name, row in options.rows.items():
        recipe = _read(recipes / row.recipe, f"rows.{name}.recipe")
        content = {**merge(merge(recipe, options.overrides), row.overrides), "data": data}
        jobs = {}
        for seed in options.seeds:
            needed = _pretraining(options, row.needs, recipes, directory, seed, data)
            if needed is not None:
                pretraining.setdefault(needed.directory, needed)
                init = {**(content.get("init_from") or {}), "path": str(needed.directory)}
                content = {**content, "init_from": init}
            jobs[seed] = Job(
                name=f"{name}, seed {seed}",
                directory=directory / "rows" / directory_name(name) / f"seed-{seed}",
                config=_config(content, seed, f"rows.{name} ({row.recipe})"),
                needs=None if needed is None else needed.directory,
                cost_jets=options.cost_jets,
            )
        rows.append(Row(name, row, jobs, _as_it_is({**recipe, "data": data})))
    return Plan(directory, options, tuple(rows), pretraining)


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
            raise InputError(f"{job.name}: {job.weights_path}: there is no such file of weights")


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
    key = first_difference(load_config(path), job.config)
    if key is not None:
        raise InputError(
            f"{job.directory} holds a run whose {key} is different; give another --out, or delete "
            "that directory to train the row anew"
        )


def _refuse_other_weights(job: Job) -> None:
    """Refuse an import of other weights, or of the same as another network."""
    assert job.weights is not None
    assert job.weights_path is not None
    config = load_config(job.directory / "config.yaml")
    provenance = job.directory / "provenance.json"
    with refuse_damaged(provenance):
        imported = json.loads(provenance.read_text())["imported"]["sha256"]
    same = (
        config.model.name == job.weights.model
        and feature_names(config.features) == feature_names(job.weights.features)
        # Where only the table is gathered, the weights need not be there.
        and (not job.weights_path.is_file() or imported == sha256(job.weights_path))
    )
    if not same:
        raise InputError(
            f"{job.directory} holds other weights than {job.weights_path} as {job.weights.model} "
            "with these features; give another --out, or delete that directory and the rows that "
            "need it"
        )


def _check_files(job: Job, config: RunConfig, plan: Plan) -> None:
    if not config.data.train:
        key = "data.train" if job.is_row else f"{job.name}: overrides.data.train"
        raise InputError(f"{key} is empty: name the files to train on")
    toys = toy_files(plan.directory) if plan.options.jets is not None else ()
    for pattern in (*config.data.train, *config.data.val, *config.data.test):
        if pattern not in toys:  # those are made later
            find_files([pattern])
    if config.init_from is not None and job.needs is None:
        path = Path(config.init_from.path)
        if not path.exists():
            raise InputError(
                f"{job.name}: init_from.path: {path}: there is no such run; train it first, or let "
                "the row say what it needs from the section pretraining"
            )


def _refuse_other_directory(directory: Path) -> None:
    if not directory.exists() or (directory / OPTIONS_FILE).is_file():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(f"{directory} exists and is no benchmark's; give another --out")


def _data(options: BenchmarkOptions, directory: Path) -> dict[str, Any]:
    data: dict[str, Any] = options.data.model_dump(mode="json")
    if options.jets is not None:
        data |= dict(zip(("train", "val", "test"), toy_files(directory), strict=True))
    return data


def _pretraining(
    options: BenchmarkOptions,
    name: str | None,
    recipes: Path,
    directory: Path,
    seed: int,
    data: Mapping[str, Any],
) -> Job | None:
    if name is None:
        return None
    entry = options.pretraining[name]
    place = directory / "pretraining" / directory_name(name)
    label = f"pretraining {name}"
    if entry.weights is not None:
        return Job(label, place, None, entry, Path(entry.weights), is_row=False)
    if entry.per_seed:
        place, label = place / f"seed-{seed}", f"{label}, seed {seed}"
    assert entry.recipe is not None
    content = merge(_read(recipes / entry.recipe, f"pretraining.{name}.recipe"), entry.overrides)
    if entry.same_jets:
        content["data"] = {**data, "test": []}
    config = _config(content, seed if entry.per_seed else None, f"pretraining.{name}")
    return Job(label, place, config, is_row=False)


def _read(recipe: Path, key: str) -> dict[str, Any]:
    if not recipe.is_file():
        raise InputError(f"{key}: {recipe}: there is no such file")
    return read_content(recipe)


def _config(content: Mapping[str, Any], seed: int | None, place: str) -> RunConfig:
    if seed is not None:
        content = merge(content, {"training": {"seed": seed}})
    try:
        return build_config(content)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _as_it_is(recipe: Mapping[str, Any]) -> RunConfig | None:
    try:
        return build_config(recipe)
    except InputError:
        return None


def _refuse_unknown(key: str, wanted: Sequence[object], known: Sequence[object]) -> None:
    for entry in wanted:
        if entry not in known:
            raise InputError(f"{key}: there is no {entry}; there are {', '.join(map(str, known))}")
