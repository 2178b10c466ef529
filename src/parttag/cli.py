"""The command line, and the only place that prints."""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand

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


class _ManyValues(TyperCommand):
    """A command whose repeatable options take several values at once, as a shell's glob gives."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each value an option of its own: ``--data A B`` becomes ``--data A --data B``."""
        repeatable = {
            name
            for param in self.params
            if getattr(param, "multiple", False)
            for name in param.opts
        }
        spread: list[str] = []
        option = None
        for arg in args:
            if arg.startswith("-"):
                option = arg if arg in repeatable else None
            elif option is not None and spread[-1] != option:
                spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


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
        evaluate(directory, strict=settings.data.strict)


_Files = Annotated[
    list[str], typer.Argument(help="ROOT, HDF5 or parquet files, globs, directories, stores.")
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Refuse bad jets.")]
_Precision = Annotated[
    Literal["fp32", "bf16"], typer.Option(help="bf16 is faster on a GPU; scores to 3 digits.")
]
_Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU if any.")]


@app.command(cls=_ManyValues)
def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILES...", help="Files to evaluate on.", show_default="data.test"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write to.", show_default="RUN/evaluation")
    ] = None,
    overwrite: _Overwrite = False,
    strict: _Strict = False,
    precision: _Precision = "fp32",
    device: _Device = "auto",
) -> None:
    """Measure a trained tagger: accuracy, AUC, rejection, scores and pictures.

    Example: parttag evaluate runs/first --data other/test.h5 --out runs/first/on_other

    Bad jets are left out of the metrics, counted, and kept in scores.h5 without scores.
    """
    from parttag.evaluation.evaluate import evaluate_run
    from parttag.evaluation.tables import jets_sentence, metrics_table
    from parttag.runs import load_run

    metrics = evaluate_run(
        load_run(run),
        data,
        out,
        overwrite=overwrite,
        strict=strict,
        precision=precision,
        device=device,
        progress=show_progress,
    )
    console.print(metrics_table(str(run), metrics))
    _say(jets_sentence(metrics))
    _say(f"written to {out or run / 'evaluation'}")


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    files: _Files,
    out: Annotated[Path, typer.Option(help="File to write: .root, .h5 or .parquet.")],
    keep: Annotated[
        str, typer.Option(metavar="BRANCH,...", help="Branches of the input to pass through.")
    ] = "",
    overwrite: _Overwrite = False,
    strict: _Strict = False,
    precision: _Precision = "fp32",
    device: _Device = "auto",
) -> None:
    """Write the scores of every jet, one row a jet, in the order of the input.

    Example: parttag predict runs/first data/*.root --out scores.root --keep jet_sdmass,label_QCD

    Bad jets are kept as rows of NaN with valid = 0.
    """
    from parttag.data.readers import find_files
    from parttag.evaluation.predict import predict as predict_files
    from parttag.evaluation.scores import Scorer
    from parttag.runs import load_run

    scorer = Scorer.of_run(
        load_run(run), labels_required=False, strict=strict, precision=precision, device=device
    )
    report = predict_files(
        scorer,
        find_files(files),
        out,
        keep=[name for name in keep.split(",") if name],
        overwrite=overwrite,
        progress=show_progress,
    )
    _say(
        f"{out}: {report.num_jets:,} jets, {report.num_bad:,} of them bad and without scores, "
        f"{report.num_unlabelled:,} of unknown class"
    )


@app.command(cls=_ManyValues)
def inspect(
    files: _Files,
    against: Annotated[
        list[str] | None, typer.Option(metavar="FILES...", help="A reference to compare with.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw multiplicity, mass and pT into it.")
    ] = None,
    overwrite: _Overwrite = False,
) -> None:
    """Look into files: counts, classes, ranges, bad and repeated jets; or compare two samples.

    Example: parttag inspect simulated/*.root --against reference/test.h5 --plots pictures

    With --against, every variable's distance from the reference is given by class, and the AUC of
    a classifier that tells the two samples apart: 0.5 where they are alike.
    """
    from parttag.data.readers import find_files
    from parttag.evaluation import tables
    from parttag.evaluation.compare import compare
    from parttag.evaluation.inspect import draw, inspect_files, num_common, picture_paths
    from parttag.evaluation.output import refuse_existing

    pictures = picture_paths(plots).values() if plots is not None else ()
    if not overwrite:
        refuse_existing(pictures)
    inspections = {"sample": inspect_files(find_files(files), progress=show_progress)}
    if against:
        inspections["reference"] = inspect_files(find_files(against), progress=show_progress)
    for name, inspection in inspections.items():
        console.print(tables.counts_table(name, inspection))
        console.print(tables.ranges_table(name, inspection))
    if against:
        first, reference = inspections.values()
        _say(f"jets of the files that are in the reference too: {num_common(first, reference):,}")
        for comparison in compare(first.sample, reference.sample):
            console.print(tables.comparison_table(comparison))
    if plots is not None:
        draw(plots, inspections, overwrite=overwrite)
    for path in pictures:
        _say(f"drawn: {path}")


@app.command("import")
def import_weights(
    weights: Annotated[Path, typer.Argument(help="A state dict that weaver-core saved, .pt.")],
    features: Annotated[
        str,
        typer.Option(help="What it was trained with: kin, kinpid, full, or a list with commas."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the run to make.")],
    model: Annotated[
        Literal["particle_transformer"], typer.Option(help="The network that it belongs to.")
    ] = "particle_transformer",
    classes: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Classes in the order of the logits.",
            show_default="those of JetClass if there are 10, top,QCD if there are 2",
        ),
    ] = "",
) -> None:
    """Turn weights of weaver-core into a run, for evaluate, predict and fine-tuning.

    Example: parttag import ParT_kin.pt --model particle_transformer --features kin --out runs/ParT

    Weights of every version since 0.4 give the scores that the version which wrote them gives.
    """
    from parttag.runs import import_run

    del model  # there is one so far
    names = features.split(",") if "," in features else features
    import_run(weights, names, out, classes=[name for name in classes.split(",") if name])
    console.print(f"imported: {out}", highlight=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors.

    Example: parttag schema > parttag.schema.json
    """
    from parttag.config import RunConfig

    typer.echo(json.dumps(RunConfig.model_json_schema(), indent=2))


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line: exit code 0, 2 for a user's error, 1 for a fault of ours."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app(prog_name="parttag")
    except InputError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
