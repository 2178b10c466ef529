"""The command line, and the only place that prints."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from parttag.errors import InputError

Item = TypeVar("Item")

app = typer.Typer(
    name="parttag",
    help="Jet tagging with the Particle Transformer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)

_BAR_AFTER_SECONDS = 2.0


def show_progress(items: Iterable[Item], *, total: int | None, description: str) -> Iterator[Item]:
    """Pass items through and draw a bar, if there is a terminal and the work is not short."""
    if not errors.is_terminal:
        yield from items
        return
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=errors)
    task = bar.add_task(description, total=total)
    began, drawn = time.monotonic(), False
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not drawn and time.monotonic() - began > _BAR_AFTER_SECONDS:
                drawn = True
                bar.start()
    finally:
        if drawn:
            bar.stop()


def _print_version(wanted: bool) -> bool:
    if wanted:
        from parttag import __version__

        console.print(f"parttag {__version__}", highlight=False)
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del version


@app.command()
def prepare(
    files: Annotated[
        list[str], typer.Argument(help="ROOT, HDF5 or parquet files, globs, directories, stores.")
    ],
    out: Annotated[Path, typer.Option(help="Directory to make.")],
    strict: Annotated[bool, typer.Option("--strict", help="Refuse bad jets.")] = False,
) -> None:
    """Turn files into a JetStore, which training maps into memory instead of reading it.

    Example: parttag prepare data/train_*.root --out stores/train
    """
    from parttag.data import prepare as prepare_store

    report = prepare_store(files, out, strict=strict, progress=show_progress)
    if report.existed:
        console.print(f"{out} was made from these files before: nothing to do", highlight=False)
    console.print(str(report.counts), highlight=False)
    size = report.num_bytes / 1e6
    console.print(f"{out}: {size:,.1f} MB, shards: {report.num_shards}", highlight=False)


def main() -> None:
    """Run the command line: exit code 0, 2 for a user's error, 1 for a fault of ours."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app(prog_name="parttag")
    except InputError as error:
        errors.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
