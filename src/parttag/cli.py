"""The command line, and the only place that prints."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

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
# What a shell reports of a process that ended at signal 15.
_STOPPED_BY_SIGTERM = 128 + 15


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
def simulate(
    sample: Annotated[Literal["toptagging"], typer.Argument(help="What to simulate.")],
    jets: Annotated[
        int, typer.Option(min=20, max=10_000_000, help="Jets in all: half top, half QCD.")
    ],
    out: Annotated[Path, typer.Option(help="Directory for train/, val/, test/.", file_okay=False)],
    seed: Annotated[int, typer.Option(min=0, max=8999, help="Other seeds share no event.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="As many as there are cores, if not given.")
    ] = None,
    windows: Annotated[
        Literal["demonstration", "study"],
        typer.Option(
            help="Ranges of pTHat: the narrow ones of a demonstration are three times as fast, "
            "but cut off parts of the sample."
        ),
    ] = "study",
    mpi: Annotated[
        bool,
        typer.Option(
            help="Multiparton interactions: with them the jets are like the reference jets, but "
            "take about three times as long."
        ),
    ] = False,
) -> None:
    """Simulate top and QCD jets with Pythia 8 and FastJet, to ROOT files in JetClass's layout.

    The same seed gives the same jets. Given again after an interruption, the command continues.

    Example: parttag simulate toptagging --jets 20000 --out jets --windows demonstration
    """
    from parttag.data.simulation.campaign import simulate as run
    from parttag.data.simulation.shards import SimulationOptions

    del sample  # there is one so far
    options = SimulationOptions(num_jets=jets, seed=seed, windows=windows, mpi=mpi)
    try:
        provenance = run(
            options, out, processes=processes or os.cpu_count() or 1, progress=show_progress
        )
    except KeyboardInterrupt:
        errors.print("interrupted: give the same command again, and it continues", highlight=False)
        raise typer.Exit(130) from None
    console.print(
        f"{jets} jets in {len(provenance['files'])} files of {out}: {provenance['statement']}",
        highlight=False,
        soft_wrap=True,
    )


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


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="The configuration, a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the file's."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the run.", show_default="runs/CONFIG")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse bad jets instead of leaving them out.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole configuration; do not train.")
    ] = False,
) -> None:
    """Train a tagger, or continue an interrupted training; then evaluate it on data.test.

    Example: parttag train configs/toptagging/particle_transformer.yaml data.train=train.h5
    data.val=val.h5 data.test=test.h5 --out runs/first

    The same command continues a run that was interrupted, and does nothing to one that is complete.
    SIGTERM stops it after a checkpoint, with exit code 143. On several GPUs or processes:
    torchrun --nproc-per-node 4 --module parttag.cli train CONFIG ...
    """
    from parttag.config import dump_config, load_config

    settings = load_config(config, [*(overrides or ()), *(["data.strict=true"] if strict else [])])
    if print_config:
        typer.echo(dump_config(settings), nl=False)
        return

    from parttag.runs import train_run
    from parttag.training.distributed import first_to_report
    from parttag.training.watch import PreemptionError

    try:
        directory = train_run(settings, out or Path("runs") / config.stem, progress=show_progress)
    except PreemptionError as preemption:
        if first_to_report():
            errors.print(str(preemption), highlight=False, soft_wrap=True)
        raise typer.Exit(_STOPPED_BY_SIGTERM) from None
    except Exception:
        if not first_to_report():  # another rank has said what is wrong
            raise typer.Exit(1) from None
        raise
    if os.environ.get("RANK", "0") != "0":
        return
    console.print(f"trained: {directory}", highlight=False, soft_wrap=True)
    if settings.data.test and not (directory / "evaluation" / "metrics.json").exists():
        from parttag.evaluation.evaluate import evaluate_run
        from parttag.runs import load_run

        evaluate_run(load_run(directory), progress=show_progress)
        console.print(f"evaluated: {directory / 'evaluation'}", highlight=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors.

    Example: parttag schema > parttag.schema.json
    """
    from parttag.config import RunConfig

    typer.echo(json.dumps(RunConfig.model_json_schema(), indent=2))


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
