"""From the configuration of a table to the runs that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parttag.benchmarks.options import (
    BenchmarkOptions,
    Overrides,
    PretrainingOptions,
    RowOptions,
    directory_name,
)
from parttag.benchmarks.plan import Job, Plan, Row
from parttag.errors import InputError
from parttag.options import read_options
from parttag.runs.config import (
    RunConfig,
    build_config,
    merge,
    read_config_content,
)
from parttag.runs.evaluation_section import drop_other_classes
from parttag.runs.recipes import find_recipe
from parttag.runs.yaml_files import read_content
from parttag.samples.toys import toy_files


def load_benchmark(path: Path, overrides: Sequence[str] = ()) -> BenchmarkOptions:
    """Return the configuration of a table in a YAML file, after the overrides.

    Raises
    ------
    InputError
        As ``config.load_config`` does.
    """
    content = drop_other_classes(read_content(path, overrides), overrides)
    return read_options(BenchmarkOptions, content)


def make_plan(options: BenchmarkOptions, recipes: Path, directory: Path) -> Plan:
    """Return the runs of a table, every configuration loaded.

    Parameters
    ----------
    recipes
        The directory that recipes are relative to; shipped ones are found by name.
    directory
        Where the runs are.

    Raises
    ------
    InputError
        If a recipe with its overrides is no configuration, or that of a row has no classes.
    """
    planner = _Planner(options, recipes, directory)
    budgets: Sequence[tuple[int | None, Overrides]] = [*options.labels.items()] or [(None, {})]
    rows = [
        planner.row(name, row, number, overrides)
        for name, row in options.rows.items()
        for number, overrides in budgets
    ]
    return Plan(directory, options, tuple(rows), planner.pretraining)


@dataclass
class _Planner:
    options: BenchmarkOptions
    recipes: Path
    directory: Path
    pretraining: dict[Path, Job] = field(default_factory=dict)
    """What was found to be needed, each after what it needs itself."""

    def row(self, name: str, row: RowOptions, labels: int | None, overrides: Overrides) -> Row:
        """Return a row with one budget of labels, and remember what it needs."""
        place = f"rows.{name} ({row.recipe})"
        recipe, data = self._read(row.recipe, f"rows.{name}.recipe"), self._data()
        evaluation = self.options.evaluation.model_dump(mode="json")
        directory, title = self.directory / "rows" / directory_name(name), name
        if labels is not None:
            data["num_train_jets"] = labels
            directory, title = directory / f"labels-{labels}", f"{name}, {labels} labels"
        content = merge(merge(recipe, self.options.overrides), overrides)
        content = {**merge(content, row.overrides), "data": data, "evaluation": evaluation}
        jobs = {}
        for seed in self.options.seeds:
            started, needs = self._started(content, row.entries, seed)
            config = _config(started, seed, place)
            if not config.is_classifier:
                raise InputError(
                    f"{place}: its objective is {config.objective.name}, which has no classes to "
                    "evaluate; put it in the section pretraining"
                )
            jobs[seed] = Job(
                name=f"{title}, seed {seed}",
                directory=directory / f"seed-{seed}",
                config=config,
                needs=needs,
                cost_jets=self.options.cost_jets,
            )
        return Row(
            name, row, jobs, labels, _as_it_is({**recipe, "data": data, "evaluation": evaluation})
        )

    def _started(
        self, content: Mapping[str, Any], entries: Mapping[str, str], seed: int
    ) -> tuple[dict[str, Any], tuple[Path, ...]]:
        """Return a configuration that names the runs it starts from, and their directories."""
        places = {option: self._pretrained(entry, seed) for option, entry in entries.items()}
        started = dict(content)
        if "needs" in places:
            init = content.get("init_from") or {}
            started["init_from"] = {**init, "path": str(places["needs"])}
        if "tokenizer" in places:
            started["tokenizer_from"] = str(places["tokenizer"])
        return started, tuple(places.values())

    def _pretrained(self, name: str, seed: int) -> Path:
        """Return the directory of an entry of the section pretraining, and remember its job."""
        entry = self.options.pretraining[name]
        directory = self.directory / "pretraining" / directory_name(name)
        label = f"pretraining {name}"
        if entry.per_seed and entry.weights is None:
            directory, label = directory / f"seed-{seed}", f"{label}, seed {seed}"
        if directory not in self.pretraining:
            self.pretraining[directory] = self._pretraining_job(name, entry, label, directory, seed)
        return directory

    def _pretraining_job(
        self, name: str, entry: PretrainingOptions, label: str, directory: Path, seed: int
    ) -> Job:
        if entry.weights is not None:
            return Job(label, directory, None, entry, Path(entry.weights), is_row=False)
        assert entry.recipe is not None
        recipe = self._read(entry.recipe, f"pretraining.{name}.recipe")
        content = merge(recipe, entry.overrides)
        if entry.same_jets:
            content["data"] = {**self._data(), "test": []}
            content["evaluation"] = self.options.evaluation.model_dump(mode="json")
        content, needs = self._started(content, entry.entries, seed)
        config = _config(content, seed if entry.per_seed else None, f"pretraining.{name}")
        return Job(label, directory, config, needs=needs, is_row=False)

    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.options.data.model_dump(mode="json")
        if self.options.jets is not None:
            files = toy_files(self.directory)
            data |= dict(zip(("train", "val", "test"), files, strict=True))
        return data

    def _read(self, recipe: str, key: str) -> dict[str, Any]:
        try:
            path = find_recipe(recipe, self.recipes)
        except InputError as error:
            raise InputError(f"{key}: {error}") from error
        return read_config_content(path)


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
