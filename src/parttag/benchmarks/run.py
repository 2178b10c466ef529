"""A whole table: make jets if asked for, do the jobs, write table and pictures."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from parttag.benchmarks.differences import compare_rows, reference_row
from parttag.benchmarks.forms import write_tables
from parttag.benchmarks.jobs import Failure, failure_file
from parttag.benchmarks.plan import OPTIONS_FILE, Job, Plan, check_jobs
from parttag.benchmarks.plots import draw_all
from parttag.benchmarks.results import RowResult, gather
from parttag.benchmarks.scheduler import run_jobs
from parttag.benchmarks.table import Table, make_table
from parttag.errors import InputError, option
from parttag.evaluation.report.content import RowTable
from parttag.evaluation.report.write import report_table
from parttag.progress import Progress, no_progress
from parttag.samples.toys import make_toys
from parttag.system.atomic_files import write_file
from parttag.system.files import refuse_unwritable


@dataclass(frozen=True)
class Outcome:
    """What a benchmark has left."""

    directory: Path
    table: Table
    files: tuple[Path, ...]
    failures: Mapping[Path, Failure]
    runs: Mapping[str, Path] = field(default_factory=dict)
    """Of each row that has one, the run of its first seed."""

    def report(self) -> str:
        """Write ``report.html`` beside the table; return a line that says so, or why not."""
        shown = RowTable(self.table.headers, self.table.lines, self.table.notes)
        return report_table(self.runs, shown, self.directory)


def run_benchmark(
    plan: Plan,
    jobs: Sequence[Job],
    *,
    num_processes: int = 1,
    progress: Progress = no_progress,
) -> Outcome:
    """Do some jobs of a plan, then write the table of all that is there.

    Parameters
    ----------
    jobs
        From ``plan.jobs``; none for the table alone.
    num_processes
        How many jobs at a time.

    Raises
    ------
    InputError
        If the plan cannot be carried out; nothing is trained then. What goes wrong with a job is in
        the outcome instead.
    PreemptionError
        At SIGTERM, after checkpoints.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            f"a benchmark is not started by torchrun: give {option('jobs', '')} for several "
            "trainings at a time, or "
            "train a row with `torchrun --module parttag.cli train` into its directory"
        )
    failures: Mapping[Path, Failure] = {}
    if jobs:
        check_jobs(plan, jobs)
        _create(plan)
        failures = run_jobs(jobs, num_processes, progress)
    elif not plan.directory.is_dir():
        raise InputError(f"{plan.directory}: there is no such directory, so no table to gather")
    shown = _shown(gather(plan, failures), jobs)
    results = compare_rows(shown, reference_row(plan.options))
    table = make_table(results)
    files = [*write_tables(plan.directory, table, results), *draw_all(plan.directory, results)]
    runs = {
        _row_name(result): next(iter(result.seeds.values())).job.directory
        for result in results
        if result.seeds
    }
    return Outcome(plan.directory, table, tuple(files), failures, runs)


def _row_name(result: RowResult) -> str:
    return result.name if result.labels is None else f"{result.name}, {result.labels:,} labels"


def _create(plan: Plan) -> None:
    with refuse_unwritable(plan.directory):
        plan.directory.mkdir(parents=True, exist_ok=True)
    values = plan.options.model_dump(mode="json")
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)
    write_file(plan.directory / OPTIONS_FILE, text.encode())
    if plan.options.jets is not None:
        make_toys(plan.directory, plan.options.jets.toy)


def _shown(results: Sequence[RowResult], jobs: Sequence[Job]) -> list[RowResult]:
    """Return the rows that were asked for or begun; all of them if no row was."""
    asked = {job.directory for job in jobs}

    def is_begun(result: RowResult) -> bool:
        places = [job.directory for job in result.row.jobs.values()]
        return any(p in asked or p.exists() for p in places) or any(
            failure_file(job).exists() for job in result.row.jobs.values()
        )

    return [result for result in results if is_begun(result) or not asked]
