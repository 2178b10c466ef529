"""The command that compares trained taggers on the same jets."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import (
    ManyValues,
    Overwrite,
    console,
    local_path,
    say,
    show_progress,
    text_table,
)
from parttag.errors import InputError


@app.command(cls=ManyValues)
def compare(
    runs: Annotated[
        list[Path], typer.Argument(parser=local_path, help="Directories of runs, reference first.")
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILES...",
            help="Files to measure all of them on.",
            show_default="the jets of their evaluations",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Directory for compare.json and compare.png."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare taggers on the same jets: differences from the first with paired errors.

    Example: parttag compare runs/particle_net runs/part --out runs/compared

    A difference is given with its error and the number of standard deviations, of accuracy, AUC and
    ln R at the working points; then how far the scores go together, and about which jets the
    taggers disagree. Errors are of the jets alone: another training would give other numbers.
    """
    from parttag.api import command_line as api

    if len(runs) < 2:
        raise InputError("one run cannot be compared; give the directories of two or more")
    found = api.compare(list(runs), data, progress=show_progress)
    if found.why_unpaired:
        raise InputError(f"{found.why_unpaired}: add --data FILES")
    console.print(text_table("runs", found.headers(), found.lines()))
    headers, lines = found.differences()
    console.print(text_table(f"differences from {found.rows[0].name}", headers, lines))
    for sentence in found.sentences():
        say(sentence)
    for path in found.save(out, overwrite=overwrite) if out is not None else ():
        say(f"written: {path}")
