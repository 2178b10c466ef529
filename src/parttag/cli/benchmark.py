"""The command that makes a table of many trainings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import STOPPED_BY_SIGTERM, console, errors, local_path, say, show_progress
from parttag.errors import InputError

if TYPE_CHECKING:
    from parttag.benchmark.plan import Job


@app.command()
def benchmark(
    config: Annotated[
        Path, typer.Argument(parser=local_path, help="The table's configuration, a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the file's."),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="Only these rows.", show_default="all"),
    ] = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option(metavar="N,...", help="Only these seeds.", show_default="all"),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="N,...", help="Only these numbers of labels.", show_default="all"),
    ] = None,
    job: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Only this combination of row, labels and seed, counted from 0: for job arrays.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Directory of the table.", show_default="runs/CONFIG"),
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Train nothing: gather what is there.")
    ] = False,
) -> None:
    """Train and evaluate every row of a table with every seed, and write the table.

    Example: parttag benchmark configs/benchmarks/smoke.yaml --rows ParT --seeds 0 --out runs/smoke

    Given again, the command skips what is done and continues what was interrupted. A row that fails
    does not stop the others: the table says why, and the exit code is that of the failure.
    """
    from parttag.benchmark.planning import load_benchmark, make_plan
    from parttag.benchmark.run import run_benchmark
    from parttag.cli.tables import text_table
    from parttag.training.monitor import PreemptionError

    directory = out or Path("runs") / config.stem
    plan = make_plan(load_benchmark(config, overrides or ()), config.parent, directory)
    if job is not None and (rows or seeds or labels):
        raise InputError("--job chooses row, labels and seed: give it alone, or the others")
    chosen = plan.row_jobs(
        _values(rows),
        _numbers("--seeds", seeds, "0,1,2"),
        _numbers("--labels", labels, "1000,10000"),
    )
    if job is not None:
        chosen = [_numbered(chosen, job)]
    work = [] if table_only else plan.with_needs(chosen)
    try:
        outcome = run_benchmark(plan, work, num_processes=jobs, progress=show_progress)
    except PreemptionError as preemption:
        errors.print(str(preemption), highlight=False, soft_wrap=True)
        raise typer.Exit(STOPPED_BY_SIGTERM) from None
    except KeyboardInterrupt:
        errors.print("interrupted: give the same command again, and it continues", highlight=False)
        raise typer.Exit(130) from None
    table = outcome.table
    shown = slice(table.num_metrics)
    lines = [line[shown] for line in table.lines]
    console.print(text_table(str(directory), table.headers[shown], lines))
    for text in (*table.notes, *(f"written: {path}" for path in outcome.files)):
        say(text)
    if outcome.failures:
        is_users = all(failure.is_users for failure in outcome.failures.values())
        raise typer.Exit(2 if is_users else 1)


def _values(texts: list[str] | None) -> list[str]:
    """Return what is between the commas of an option that may be given many times."""
    return [value for text in texts or () for value in text.split(",") if value]


def _numbers(option: str, texts: list[str] | None, example: str) -> list[int]:
    values = _values(texts)
    try:
        return [int(value) for value in values]
    except ValueError:
        raise InputError(
            f"{option}: {','.join(values)!r} is no list of whole numbers, such as {example}"
        ) from None


def _numbered(jobs: list["Job"], number: int) -> "Job":
    """Return the job of this number."""
    if number >= len(jobs):
        raise InputError(
            f"--job {number}: there are {len(jobs)} combinations of row, labels and seed, 0 to "
            f"{len(jobs) - 1}"
        )
    return jobs[number]
