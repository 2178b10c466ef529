"""The command that makes jets with a network: generate."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import (
    Device,
    ManyValues,
    Overwrite,
    console,
    local_path,
    say,
    show_progress,
)


@app.command(cls=ManyValues)
def generate(
    run: Annotated[
        Path,
        typer.Argument(parser=local_path, help="Directory of a run of objective next_particle."),
    ],
    jets: Annotated[int, typer.Option(min=1, help="How many.")],
    out: Annotated[Path, typer.Option(parser=local_path, help="File to write: .root or .parquet.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same jets.")] = 0,
    temperature: Annotated[
        float, typer.Option(help="Below 1, likely particles become likelier.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Draw from so many likeliest tokens.", show_default="all"),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILES...", help="Jets like those of the training, to compare with."),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, metavar="DIR", help="Draw multiplicity, mass and pT into it."
        ),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
) -> None:
    """Generate jets, to a file in JetClass's layout, and a JSON file beside it that says how.

    Example: parttag generate runs/omnijet --jets 1000 --out jets.root --against test.h5
    --plots pictures

    With --against, means and Wasserstein distances of the jets' variables are given, those of the
    tokens alone (jets turned into tokens and back) and those that equal samples have by chance.

    The jets lie at η = φ = 0; pT and mass do not depend on that.
    """
    from parttag.api import command_line as api
    from parttag.cli.tables import generation_table, tokens_sentence

    report = api.generate(
        api.load(run),
        jets,
        out,
        api.Sampling(temperature, top_k, seed),
        against=against or (),
        plots=plots,
        overwrite=overwrite,
        device=device,
        progress=show_progress,
    )
    if report.comparison is not None:
        console.print(generation_table(report.comparison))
        say(tokens_sentence(report.comparison))
    say(
        f"{report.num_jets:,} jets in {report.seconds:.1f} s ({report.jets_per_second:.0f} a "
        f"second); {report.num_cut:,} of them have as many particles as the network writes at most"
    )
    for path in report.written:
        say(f"written: {path}")
