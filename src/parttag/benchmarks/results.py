"""Results of the runs of a table, gathered row by row."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from parttag.benchmarks.footnotes import configuration_notes, why_unpublished
from parttag.benchmarks.jobs import RECORD, Failure, failure_file, is_done
from parttag.benchmarks.options import PUBLISHED, BenchmarkOptions
from parttag.benchmarks.plan import Job, Plan, Row, refuse_other_configuration
from parttag.errors import InputError
from parttag.evaluation.evaluation import METRICS
from parttag.metrics import Estimate, Report
from parttag.metrics.published import Published
from parttag.system.files import refuse_damaged, sha256

Point = tuple[str, float]
"""A working point: the signal class and ε_S."""


@dataclass(frozen=True)
class Quantity:
    """A number over the seeds of a row; ``None`` for what the jets or seeds do not determine."""

    value: float | None
    """The mean over seeds."""
    spread: float | None
    """The standard deviation over seeds."""
    error: float | None
    """The statistical error of one training: of the test jets alone."""
    is_lower_limit: bool = False
    """Whether the value of a seed is a lower limit, which makes the mean one."""

    def to_json(self) -> dict[str, float | bool | None]:
        """Return it as ``table.json`` holds it."""
        fields: dict[str, float | bool | None] = {
            "value": self.value,
            "spread": self.spread,
            "error": self.error,
        }
        return fields | ({"lower_limit": True} if self.is_lower_limit else {})


@dataclass(frozen=True)
class SeedResult:
    """What one run has left."""

    job: Job
    report: Report
    record: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    data: Mapping[str, tuple[str, ...]]
    """Sums of the files of train, val and test."""
    hardware: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in order."""
        assert self.job.config is not None
        return tuple(self.job.config.data.classes)

    def total(self, key: str) -> float:
        """Return the sum of a column of ``metrics.jsonl``."""
        return float(sum(line[key] for line in self.epochs))


@dataclass(frozen=True)
class RowResult:
    """A row of the table: the seeds that are there, and why others are not."""

    row: Row
    seeds: Mapping[int, SeedResult]
    missing: Mapping[int, str]
    published: Published | None = None
    rejection: Mapping[Point, Quantity] = field(default_factory=dict)
    notes: Sequence[str] = ()
    """What its configuration and its jets say that a reader has to know."""

    @property
    def name(self) -> str:
        """The name that the table shows."""
        return self.row.name

    @property
    def labels(self) -> int | None:
        """The number of training jets, if the table has several."""
        return self.row.labels

    @property
    def accuracy(self) -> Quantity:
        """The accuracy over seeds."""
        return _over_seeds(seed.report.accuracy for seed in self.seeds.values())

    @property
    def auc(self) -> Quantity:
        """The AUC over seeds."""
        return _over_seeds(seed.report.auc for seed in self.seeds.values())

    def mean(self, values: Iterable[float]) -> float | None:
        """Return a mean over the seeds, ``None`` if there is none."""
        listed = list(values)
        return float(np.mean(listed)) if listed else None

    @property
    def parameters(self) -> int | None:
        """The number of trained parameters."""
        return next((int(seed.record["parameters"]) for seed in self.seeds.values()), None)

    @property
    def multiply_adds(self) -> float | None:
        """Multiply-adds a jet of one forward pass."""
        return next((float(seed.record["multiply_adds"]) for seed in self.seeds.values()), None)

    @property
    def training_time(self) -> float | None:
        """Seconds of training by the clock, validations not counted."""
        return self.mean(seed.total("seconds") for seed in self.seeds.values())

    @property
    def cpu_time(self) -> float | None:
        """Seconds of the processor in training, all threads together."""
        return self.mean(seed.total("cpu_seconds") for seed in self.seeds.values())

    @property
    def charged_time(self) -> float | None:
        """Seconds that a training costs: by the clock on a GPU, of the processor on a CPU."""
        return self.cpu_time if self.hardware.startswith("CPU") else self.training_time

    @property
    def jets_seen(self) -> float | None:
        """Jets that the training has seen, repeats counted."""
        return self.mean(seed.total("jets") for seed in self.seeds.values())

    @property
    def jets_per_second(self) -> float | None:
        """Jets of training in a second by the clock."""
        return self.mean(s.total("jets") / s.total("seconds") for s in self.seeds.values())

    @property
    def is_cut(self) -> bool:
        """Whether ``training.max_seconds`` has ended one of the trainings."""
        return any("cut" in line for seed in self.seeds.values() for line in seed.epochs)

    @property
    def hardware(self) -> str:
        """What the row was trained on."""
        return ", ".join(sorted({seed.hardware for seed in self.seeds.values()}))


def gather(plan: Plan, failures: Mapping[Path, Failure] | None = None) -> list[RowResult]:
    """Return what is there of each row of a plan.

    The jets of the first run are those of the table: a run of other jets is not taken, and named.
    """
    failures = failures or {}
    reference: SeedResult | None = None
    results = []
    for row in plan.rows:
        seeds: dict[int, SeedResult] = {}
        missing: dict[int, str] = {}
        for seed, job in row.jobs.items():
            try:
                why = _why_missing(job, failures)
                result = None if why else _read(job)
            except InputError as error:
                why, result = str(error), None
            if result is not None and reference is not None:
                why = _other_jets(result, reference)
            if why:
                missing[seed] = why
            elif result is not None:
                seeds[seed] = result
                reference = reference or result
        results.append(gather_row(row, seeds, missing))
    return _noted(results, plan.options, reference)


def gather_row(
    row: Row,
    seeds: Mapping[int, SeedResult],
    missing: Mapping[int, str],
    published: Published | None = None,
) -> RowResult:
    """Return the row of some seeds."""
    return RowResult(row, seeds, missing, published, _rejection(seeds.values()))


def _noted(
    results: Sequence[RowResult], options: BenchmarkOptions, reference: SeedResult | None
) -> list[RowResult]:
    """Return rows with what is to be said of them, and what was published of their kind."""
    simulated = reference is not None and bool(reference.record.get("simulated"))
    why = why_unpublished(options, simulated)
    lines = PUBLISHED[options.published] if options.published and why is None else {}
    noted = []
    for result in results:
        notes = configuration_notes(result.row, options.pretraining)
        notes += [why] if why is not None else []
        published = lines.get(result.row.options.published or "")
        noted.append(replace(result, notes=notes, published=published))
    return noted


def _why_missing(job: Job, failures: Mapping[Path, Failure]) -> str | None:
    if job.directory in failures:
        return f"failed: {failures[job.directory].reason}"
    refuse_other_configuration(job)
    if is_done(job):
        return None
    if failure_file(job).is_file():
        return f"failed: {failure_file(job).read_text(encoding='utf-8')}"
    return "interrupted" if job.directory.exists() else "not run yet"


def _read(job: Job) -> SeedResult:
    evaluation = job.directory / "evaluation"
    if _read_json(evaluation / RECORD)["metrics"] != sha256(evaluation / METRICS):
        raise InputError(
            f"not shown: {evaluation / METRICS} has changed since the benchmark made it; delete "
            f"{evaluation} to evaluate the row again"
        )
    report, record = Report.from_json(evaluation / METRICS), _read_json(evaluation / RECORD)
    provenance = _read_json(job.directory / "provenance.json")
    path = job.directory / "metrics.jsonl"
    with refuse_damaged(path):
        epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    parts = {**provenance["data"], "test": record["test"]}
    data = {part: tuple(source["sha256"] for source in sources) for part, sources in parts.items()}
    hardware = provenance["starts"][-1]["hardware"]
    return SeedResult(job, report, record, epochs, data, _hardware(hardware))


def _read_json(path: Path) -> dict[str, Any]:
    with refuse_damaged(path):
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _hardware(hardware: Mapping[str, Any]) -> str:
    if hardware["gpu"]:
        return f"{hardware['ranks']} × {hardware['gpu']}"
    threads = hardware["threads"] * hardware["ranks"]
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _other_jets(result: SeedResult, reference: SeedResult) -> str | None:
    for part in ("train", "val", "test"):
        if result.data.get(part) != reference.data.get(part):
            return (
                f"not shown: its data.{part} holds other jets than that of {reference.job.name}; "
                f"delete {result.job.directory} to run it anew"
            )
    return None


def _rejection(seeds: Iterable[SeedResult]) -> dict[Point, Quantity]:
    found: dict[Point, list[Estimate]] = {}
    for seed in seeds:
        for signal, points in seed.report.rejection.items():
            for eps_s, estimate in points.items():
                found.setdefault((signal, eps_s), []).append(estimate)
    return {point: _over_seeds(estimates) for point, estimates in found.items()}


def _over_seeds(estimates: Iterable[Estimate]) -> Quantity:
    listed = list(estimates)
    values = [estimate.value for estimate in listed]
    if not values or any(math.isnan(value) for value in values):
        return Quantity(None, None, None)
    errors = [e.error for e in listed if not math.isnan(e.error)]
    is_limit = any(estimate.is_lower_limit for estimate in listed)
    return Quantity(
        value=float(np.mean(values)),
        spread=float(np.std(values, ddof=1)) if len(values) > 1 and not is_limit else None,
        error=float(np.mean(errors)) if errors and not is_limit else None,
        is_lower_limit=is_limit,
    )
