"""The commands between training and use: calibrate, ensemble."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import (
    Columns,
    Device,
    ManyValues,
    Overwrite,
    Strict,
    local_path,
    say,
    show_progress,
)


@app.command(cls=ManyValues)
def calibrate(
    run: Annotated[Path, typer.Argument(parser=local_path, help="Directory of a run.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILES...", help="Labelled jets to fit to.", show_default="data.val"),
    ] = None,
    priors: Annotated[
        str,
        typer.Option(
            metavar="YAML",
            help="Class fractions that scores are to be right for: '{top: 0.1, QCD: 0.9}'.",
            show_default="evaluation.priors, or those of the jets",
        ),
    ] = "",
    columns: Columns = None,
    overwrite: Overwrite = False,
    strict: Strict = False,
    device: Device = "auto",
) -> None:
    """Make scores mean what they say: divide logits by a temperature fitted to labelled jets.

    Example: parttag calibrate runs/first --priors '{top: 0.05, QCD: 0.95}'

    It is kept in RUN/calibration.json, and whatever uses the run has its scores and logits; without
    that file they are the network's own. Working points of before do not hold any more.
    """
    from parttag.api import command_line as api

    found = api.calibrate_run(
        api.load_uncalibrated(run).reading(columns),
        data,
        priors=api.parse_priors(priors) if priors else None,
        strict=strict,
        overwrite=overwrite,
        device=device,
        progress=show_progress,
    )
    say(f"temperature {found.temperature:.4f} ± {found.temperature_error:.4f}")
    say(
        f"calibration error {found.before.value:.4f} ± {found.before.error:.4f} before, "
        f"{found.after.value:.4f} ± {found.after.error:.4f} after, on the {found.num_jets:,} jets "
        "that it was fitted to"
    )
    classes = ", ".join(f"{name} {value:.3g}" for name, value in found.target.items())
    say(f"scores are for class fractions {classes}")
    say(f"written: {run / 'calibration.json'}")


@app.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(parser=local_path, help="Directories of runs.")],
    out: Annotated[Path, typer.Option(parser=local_path, help="Directory of the run to make.")],
) -> None:
    """Make one run of several, whose probabilities are averaged; a logit is the log of that.

    Example: parttag ensemble runs/particle_net runs/part --out runs/both

    Members have the same classes and read the same columns. What they need is copied, calibrations
    too; evaluate, predict, compare and calibrate take the directory as that of any run.
    """
    from parttag.api import command_line as api

    made = api.ensemble(runs, out)
    say(f"{made}")
