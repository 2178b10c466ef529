"""The command that says what a machine is and whether parttag computes the right numbers on it."""

from pathlib import Path
from typing import Annotated

import typer

from parttag.cli.application import app
from parttag.cli.terminal import console, local_path, say, text_table


@app.command()
def check(
    speed: Annotated[bool, typer.Option("--speed", help="Also time every part.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[
        Path | None, typer.Option(parser=local_path, help="Also write the result to this file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Check this machine: attention and pair network, forwards and backwards, against float64.

    Example: parttag check --speed --json check.json

    The exit code is 1 if anything disagrees. On a GPU it compiles Triton's kernels.
    """
    from parttag.api.check import check as check_machine

    result = check_machine(speed=speed, device=device)
    console.print(text_table("machine", ["", ""], [[k, v] for k, v in result.machine.items()]))
    headers = ["part", "path", "precision", "heads of", "relative error", ""]
    lines = []
    for trial in result.trials:
        error = trial.fault or f"{trial.error:.1e} of {trial.tolerance:.0e}"
        line = [trial.part, trial.path, trial.precision, str(trial.head_width), error]
        lines.append([*line, "passed" if trial.passed else "FAILED"])
        if trial.seconds is not None:
            lines[-1].append(f"{1000 * trial.seconds:.1f} ms")
    console.print(text_table("against float64", headers + ["again"] * speed, lines))
    for hint in result.hints:
        say(hint)
    if json is not None:
        result.save(json, overwrite=overwrite)
        say(f"written: {json}")
    if not result.passed:
        raise typer.Exit(1)
