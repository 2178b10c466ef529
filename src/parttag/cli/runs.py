"""The commands that make runs and use them: train, evaluate, predict, import, schema."""

import json
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from parttag.cli.application import app
from parttag.cli.finished import evaluate_training, report_evaluation
from parttag.cli.terminal import (
    Columns,
    Device,
    Files,
    ManyValues,
    OptionalFile,
    Overwrite,
    Precision,
    Report,
    Strict,
    errors,
    local_path,
    say,
    show_progress,
    values_of,
)
from parttag.errors import STOPPED_BY_SIGTERM, InputError


@app.command()
def train(
    config: Annotated[
        str, typer.Argument(help="The configuration: a YAML file, or a recipe of parttag's.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the file's."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Directory of the run.", show_default="runs/CONFIG"),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Train in so many processes: one a GPU, or one a core.")
    ] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse bad jets instead of leaving them out.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole configuration; do not train.")
    ] = False,
    report: Report = True,
) -> None:
    """Train a tagger, or continue an interrupted training; then evaluate it on data.test.

    Example: parttag train configs/toptagging/particle_transformer.yaml data.train=train.h5
    data.val=val.h5 data.test=test.h5 --out runs/first

    The same command continues a run that was interrupted, and does nothing to one that is complete.
    SIGTERM stops it after a checkpoint, with exit code 143. On two CPU cores --processes 2 is
    nearly twice as fast; on several machines: torchrun ... --module parttag.cli train CONFIG ...
    """
    from parttag.api import command_line as api
    from parttag.api.ranks import is_rank, run_ranks

    changes = [*(overrides or ()), *(["data.strict=true"] if strict else [])]
    settings = api.configure(config, changes)
    if print_config:
        typer.echo(api.dump_config(settings), nl=False)
        return
    if processes > 1 and not is_rank():
        raise typer.Exit(run_ranks(processes))
    directory = out or Path("runs") / Path(config).stem
    options = settings.training
    try:
        with api.join_ranks(options.device, options.rank_timeout) as ranks:
            api.train_run(settings, directory, ranks=ranks, progress=show_progress)
            evaluate_training(settings, directory, ranks, report=report)
    except api.PreemptionError as preemption:
        if api.first_to_report():
            errors.print(str(preemption), highlight=False, soft_wrap=True)
        raise typer.Exit(STOPPED_BY_SIGTERM) from None
    except Exception:
        if not api.first_to_report():  # another rank has said what is wrong
            raise typer.Exit(1) from None
        raise


@app.command(cls=ManyValues)
def evaluate(
    run: Annotated[Path, typer.Argument(parser=local_path, help="Directory of a run.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILES...", help="Files to evaluate on.", show_default="data.test"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, help="Directory to write to.", show_default="RUN/evaluation"
        ),
    ] = None,
    probe: Annotated[
        Literal["linear", "untrained", "raw"] | None,
        typer.Option(
            help="Fit a linear classifier to what the network makes of jets, and measure that; or "
            "the same of an untrained network, or of the hardest particles' features."
        ),
    ] = None,
    probe_jets: Annotated[
        int, typer.Option(min=1, help="Fit the probe to at most so many jets.")
    ] = 10_000,
    train_data: Annotated[
        list[str] | None,
        typer.Option(
            "--train", metavar="FILES...", help="Files to fit it to.", show_default="data.train"
        ),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            metavar="YAML",
            help="Classes that it tells apart: '{top: label_top, QCD: label_QCD}'.",
            show_default="data.classes",
        ),
    ] = "",
    background: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS,...",
            help="What the other classes are told apart from.",
            show_default="evaluation.background",
        ),
    ] = None,
    working_points: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EPS_S,...",
            help="Signal efficiencies of the rejections, or by class: '{top: [0.5, 0.3]}'.",
            show_default="evaluation.working_points",
        ),
    ] = None,
    tables: Annotated[
        str,
        typer.Option(
            metavar="YAML",
            help="Tables of thresholds: '{points: {tight: {mistag: 0.01}}, pt: [400, 600, 800]}'.",
            show_default="evaluation.tables",
        ),
    ] = "",
    plan: Annotated[
        float | None,
        typer.Option(
            metavar="ERROR", help="Say how many jets give the rejections this relative error."
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...", help="Of the pictures: png, pdf, svg, eps.", show_default="png"
        ),
    ] = None,
    negative_weights: Annotated[
        Literal["keep", "absolute", "refuse"] | None,
        typer.Option(
            help="What negative jet weights count for: keep their signs, or take them as absolute.",
            show_default="data.negative_weights",
        ),
    ] = None,
    columns: Columns = None,
    report: Report = True,
    overwrite: Overwrite = False,
    strict: Strict = False,
    precision: Precision = "fp32",
    device: Device = "auto",
) -> None:
    """Measure a trained tagger: accuracy, AUC, rejection, scores and pictures.

    Example: parttag evaluate runs/first --data other/test.h5 --out runs/first/on_other

    Bad jets are left out of the metrics, counted, and kept in scores.h5 without scores. With
    --probe linear, a run of any objective can be measured, in RUN/evaluation/probe.
    """
    from parttag.api import command_line as api

    if plan is not None and not plan > 0:
        raise InputError(f"--plan {plan:g} is no relative error; give one such as 0.1 for 10 %")
    if probe is None and (train_data or classes):
        raise InputError("--train and --classes are of a probe; add --probe linear")
    tagger = api.load(run).reading(columns)
    forms = values_of(formats) or ["png"]
    how: dict[str, Any] = {
        "strict": strict,
        "precision": precision,
        "device": device,
        "progress": show_progress,
    }
    if probe is None:
        out = out or run / "evaluation"
        options = tagger.options(
            ",".join(background or ()) or None,
            ",".join(working_points or ()) or None,
            tables or None,
        )
        api.check_target(tagger, out, forms, options=options, overwrite=overwrite)
        found = api.evaluate_run(
            tagger, data, options=options, negative_weights=negative_weights, **how
        )
        title = str(run)
    else:
        out = out or api.probe_directory(run, probe)
        named = api.parse_classes(classes) if classes else None
        labeled = api.LabeledJets(train_data or (), named, probe_jets)
        api.check_probe_target(tagger, probe, labeled, out, overwrite=overwrite)
        found = api.probe_run(tagger, probe, labeled, data, **how)
        assert found.probe is not None
        title = f"{run}: probe ({probe}) fitted to {found.probe.num_jets:,} jets"
    found.save(out, forms, overwrite=overwrite)
    report_evaluation(title, found, out, plan)
    if report and probe is None:
        say(api.report_evaluation(tagger, found, out))


@app.command(cls=OptionalFile)
def predict(
    run: Annotated[
        Path,
        typer.Argument(
            parser=local_path, help="Directory of a run; before FILES, those of more folds of it."
        ),
    ],
    files: Files,
    out: Annotated[
        Path, typer.Option(parser=local_path, help="File to write: .root, .h5 or .parquet.")
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BRANCH,...", help="Branches of the input to pass through.", show_default="none"
        ),
    ] = None,
    working_points: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar=OptionalFile.METAVAR,
            help="Write which working points each jet passes, pass_NAME; without a file those of "
            "RUN/evaluation.",
            show_default="none",
        ),
    ] = None,
    columns: Columns = None,
    overwrite: Overwrite = False,
    strict: Strict = False,
    precision: Precision = "fp32",
    device: Device = "auto",
) -> None:
    """Write the scores of every jet, one row a jet, in the order of the input.

    Example: parttag predict runs/first data/*.root --out scores.root --keep jet_sdmass,label_QCD

    Bad jets are kept as rows of NaN with valid = 0. --working-points takes a file of the name
    working_points.yaml, or none. With a run of data.folds, or the runs of its folds (predict
    runs/A/fold_* FILES), each jet is scored by the network that has not seen it.
    """
    from parttag.api import command_line as api

    more = list(takewhile(lambda name: Path(name, "config.yaml").is_file(), files))
    report = api.predict(
        api.load_folds([run, *map(local_path, more)]).reading(columns),
        files[len(more) :],
        out,
        keep=values_of(keep),
        working_points=_points_file(working_points),
        overwrite=overwrite,
        strict=strict,
        precision=precision,
        device=device,
        progress=show_progress,
    )
    say(
        f"{out}: {report.num_jets:,} jets, {report.num_bad:,} of them bad and without scores, "
        f"{report.num_unlabelled:,} of unknown class"
    )


def _points_file(given: Path | None) -> Path | bool:
    """Return the file that an option names, or whether it is there at all."""
    if given is None:
        return False
    return True if str(given) == OptionalFile.DEFAULT else given


@app.command("import")
def import_weights(
    weights: Annotated[
        Path,
        typer.Argument(
            parser=local_path, help="A state dict that weaver-core or authors' code saved, .pt."
        ),
    ],
    out: Annotated[Path, typer.Option(parser=local_path, help="Directory of the run to make.")],
    features: Annotated[
        list[str] | None,
        typer.Option(
            help="What it was trained with: kin, kinpid, full, or a list with commas.",
            show_default="what the weights tell, of lorentz_net and lgn",
        ),
    ] = None,
    model: Annotated[
        Literal["particle_transformer", "particle_net", "lorentz_net", "lgn"],
        typer.Option(help="The network that it belongs to."),
    ] = "particle_transformer",
    classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Classes in the order of the logits.",
            show_default="those of JetClass if there are 10, top,QCD if there are 2",
        ),
    ] = None,
) -> None:
    """Turn weights of weaver-core, or of authors' code, into a run: evaluate, predict, fine-tune.

    Example: parttag import ParT_kin.pt --model particle_transformer --features kin --out runs/ParT

    Weights of every version since 0.4 give the scores that the version which wrote them gives;
    those of LorentzNet and of the Lorentz Group Network, with the options that are written, the
    scores of their authors' code.
    """
    from parttag.api import command_line as api

    names = values_of(features)
    imported = api.import_weights(
        weights,
        (names[0] if len(names) == 1 else names) if names else None,
        out,
        model=model,
        classes=values_of(classes),
    )
    say(f"recognized: {imported.recognized}")
    for name, value in imported.options.items():
        say(f"model.{name}: {value}")
    say(f"imported: {out}")


@app.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors.

    Example: parttag schema > parttag.schema.json
    """
    from parttag.api import command_line as api

    typer.echo(json.dumps(api.json_schema(), indent=2))


@app.command()
def recipes() -> None:
    """List the configurations that come with parttag: parttag train NAME ... takes each.

    Example: parttag recipes
    """
    from parttag.api import command_line as api

    for one in api.list_recipes():
        # Names come whole, to be copied, whatever the width of the terminal.
        say(f"{one.name}\n    {one.network}, {one.objective}: {one.description}")


@app.command()
def pretrained() -> None:
    """List the trained networks that come with parttag: each name goes wherever a run does.

    Example: parttag pretrained

    They are networks to start from, init_from.path=pretrained/NAME, or to probe, parttag evaluate
    pretrained/NAME --probe linear. PARTTAG_PRETRAINED names folders with more of them.
    """
    from parttag.api.pretrained import pretrained as there

    found = there()
    if not found:
        say("no trained network comes with this parttag")
    for one in found:
        classes = f"{len(one.card.classes)} classes"
        say(
            f"{one.name}\n    {one.card.num_parameters:,} parameters, {classes}: {one.card.summary}"
        )
        for limit in one.card.limits:
            say(f"    limit: {limit}")
