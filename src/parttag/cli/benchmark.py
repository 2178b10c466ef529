"""The command that makes a table of many trainings."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import STOPPED_BY_SIGTERM, console, errors, say, show_progress
from parttag.errors import InputError


@app.command()
def benchmark(
    config: Annotated[Path, typer.Argument(help="The table's configuration, a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the file's."),
    ] = None,
    rows: Annotated[
        str, typer.Option(metavar="NAME,...", help="Only these rows.", show_default="all")
    ] = "",
    seeds: Annotated[
        str, typer.Option(metavar="N,...", help="Only these seeds.", show_default="all")
    ] = "",
    job: Annotated[
        int | None,
        typer.Option(min=0, help="Only this pair of row and seed, counted from 0: for job arrays."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the table.", show_default="runs/CONFIG")
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
    from parttag.benchmark.plan import load_benchmark, make_plan
    from parttag.benchmark.run import run_benchmark
    from parttag.evaluation.tables import text_table
    from parttag.training.watch import PreemptionError

    directory = out or Path("runs") / config.stem
    plan = make_plan(load_benchmark(config, overrides or ()), config.parent, directory)
    names, numbers = [name for name in rows.split(",") if name], _numbers(seeds)
    if job is not None:
        names, numbers = _pair(plan.pairs(), job, names, numbers)
    chosen = plan.jobs(names, numbers)
    try:
        outcome = run_benchmark(
            plan, [] if table_only else chosen, num_processes=jobs, progress=show_progress
        )
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


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",") if number]
    except ValueError:
        raise InputError(f"--seeds: {text!r} is no list of whole numbers, such as 0,1,2") from None


def _pair(
    pairs: list[tuple[str, int]], number: int, names: list[str], seeds: list[int]
) -> tuple[list[str], list[int]]:
    """Return the row and the seed of this number."""
    if names or seeds:
        raise InputError("--job chooses row and seed: give it alone, or --rows and --seeds")
    if number >= len(pairs):
        raise InputError(
            f"--job {number}: there are {len(pairs)} pairs of row and seed, 0 to {len(pairs) - 1}"
        )
    row, seed = pairs[number]
    return [row], [seed]
