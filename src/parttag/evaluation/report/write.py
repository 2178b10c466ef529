"""Reports of runs in their directories: ``parttag report``, and at the end of other commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from parttag.errors import InputError
from parttag.evaluation.evaluation import Evaluation
from parttag.evaluation.report.content import ReportedRun, RowTable, read_run
from parttag.evaluation.report.page import REPORT, missing_packages, write_report
from parttag.runs.directory import distinct_names
from parttag.runs.run import Run, load_run
from parttag.system.atomic_files import refuse_existing


def report_runs(
    runs: Sequence[Run],
    out: Path,
    *,
    title: str | None = None,
    table: RowTable | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of runs that were evaluated; see ``write_report``.

    Raises
    ------
    InputError
        If there is no run, packages are missing, a file of a run is damaged, or ``out`` exists or
        cannot be written.
    """
    if not runs:
        raise InputError("there is nothing to report: name one run or more")
    if not overwrite:
        refuse_existing([out])
    alone = len(runs) == 1
    names = distinct_names([run.directory for run in runs])
    read = [read_run(run, name=name, looks=alone) for run, name in zip(runs, names, strict=True)]
    own = f"{names[0]}: {read[0].network}" if alone else f"{len(runs)} runs"
    return write_report(read, out, title=title or own, table=table, overwrite=overwrite)


def report_evaluation(run: Run, evaluation: Evaluation, directory: Path) -> str:
    """Write the report of an evaluation beside its files; return a line that says so, or why not.

    Whatever was there before is replaced, as it is made of what is beside it.
    """
    why = missing_packages()
    if why:
        return f"no report is written: {why}"
    try:
        read: ReportedRun = read_run(run, evaluation)
        title = f"{read.name}: {read.network}"
        out = write_report([read], directory / REPORT, title=title, overwrite=True)
    except InputError as error:
        return f"no report is written: {error.for_shell()}"
    return f"to look at: {out}"


def report_table(runs: Mapping[str, Path], table: RowTable, directory: Path) -> str:
    """Write the report of a table; return a line that says so, or why not.

    Parameters
    ----------
    runs
        A directory for each row that has a run.
    directory
        Of the table, whose earlier report is replaced.
    """
    why = missing_packages()
    if why:
        return f"no report is written: {why}"
    try:
        read = [read_run(load_run(place), name=name, looks=False) for name, place in runs.items()]
        title = directory.resolve().name
        out = write_report(read, directory / REPORT, title=title, table=table, overwrite=True)
    except InputError as error:
        return f"no report is written: {error.for_shell()}"
    return f"to look at: {out}"
