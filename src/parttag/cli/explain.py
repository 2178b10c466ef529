"""The commands that show what a tagger does: explain, report."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import (
    Columns,
    Device,
    Files,
    Overwrite,
    Strict,
    console,
    local_path,
    say,
    show_progress,
    text_table,
    values_of,
)


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(parser=local_path, help="Directory of a run.")],
    files: Files,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, help="Directory to write to.", show_default="RUN/explanation"
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="The class whose log-odds the gradients explain.",
            show_default="that of the highest score",
        ),
    ] = None,
    num_jets: Annotated[
        int, typer.Option("--num-jets", min=1, help="So many jets, taken at random.")
    ] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Of the integrated gradients.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the choice of jets, and of the exchanges.")] = 0,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...", help="Of the pictures: png, pdf, svg.", show_default="png"
        ),
    ] = None,
    columns: Columns = None,
    overwrite: Overwrite = False,
    strict: Strict = False,
    device: Device = "auto",
) -> None:
    """Say what a tagger goes by: gradients, attention, and what each input is worth.

    Example: parttag explain runs/first test.h5 --num-jets 1000

    Importance is what becomes worse once the values of an input are exchanged among particles.
    particles.h5 has the gradients and the attention of every particle.
    """
    from parttag.api import command_line as api

    forms = values_of(formats) or ["png"]
    out = out or run / "explanation"
    api.check_explanation_target(out, forms, overwrite=overwrite)
    found = api.load(run).explain(
        files,
        target=target,
        num_jets=num_jets,
        steps=steps,
        seed=seed,
        columns=columns,
        strict=strict,
        device=device,
        progress=show_progress,
    )
    found.save(out, forms, overwrite=overwrite)
    console.print(text_table(str(run), found.headers(), found.lines()))
    for sentence in found.sentences():
        say(sentence)
    say(f"written to {out}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(parser=local_path, help="Directories of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="The page to write.", show_default="report.html"),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Of the page.", show_default="what is in it")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one page that shows runs in a browser, without network.

    Example: parttag report runs/particle_net runs/part --out report.html

    It has what is in RUN/evaluation: metrics, curves of all runs on top of each other, scores,
    training; of a single run some jets as well, if their files are still where they were.
    """
    from parttag.api import command_line as api

    out = out or Path("report.html")
    say(f"written: {api.report(runs, out, title=title, overwrite=overwrite)}")
