"""The command that makes a table of many trainings."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import (
    Report,
    console,
    errors,
    interrupted,
    local_path,
    say,
    show_progress,
    text_table,
    values_of,
)
from parttag.errors import STOPPED_BY_SIGTERM, InputError


@app.command()
def benchmark(
    config: Annotated[
        str, typer.Argument(help="The table's configuration: a YAML file, or one of parttag's.")
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
    report: Report = True,
) -> None:
    """Train and evaluate every row of a table with every seed, and write the table.

    Example: parttag benchmark configs/benchmarks/smoke.yaml --rows ParT --seeds 0 --out runs/smoke

    Given again, the command skips what is done and continues what was interrupted. A row that fails
    does not stop the others: the table says why, and the exit code is that of the failure.
    """
    from parttag.api import command_line as api

    try:
        outcome = api.benchmark(
            config,
            out=out,
            overrides=overrides or (),
            rows=values_of(rows),
            seeds=_numbers("--seeds", seeds, "0,1,2"),
            labels=_numbers("--labels", labels, "1000,10000"),
            job=job,
            jobs=jobs,
            table_only=table_only,
            progress=show_progress,
        )
    except api.PreemptionError as preemption:
        errors.print(str(preemption), highlight=False, soft_wrap=True)
        raise typer.Exit(STOPPED_BY_SIGTERM) from None
    except KeyboardInterrupt:
        raise interrupted() from None
    table = outcome.table
    shown = slice(table.num_metrics)
    lines = [line[shown] for line in table.lines]
    console.print(text_table(str(outcome.directory), table.headers[shown], lines))
    for text in (*table.notes, *(f"written: {path}" for path in outcome.files)):
        say(text)
    if report:
        say(outcome.report())
    if outcome.failures:
        is_users = all(failure.is_users for failure in outcome.failures.values())
        raise typer.Exit(2 if is_users else 1)


def _numbers(option: str, texts: list[str] | None, example: str) -> list[int]:
    values = values_of(texts)
    try:
        return [int(value) for value in values]
    except ValueError:
        raise InputError(
            f"{option}: {','.join(values)!r} is no list of whole numbers, such as {example}"
        ) from None
