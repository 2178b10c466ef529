"""``parttag export``: a run as an ONNX model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from parttag.cli.application import app
from parttag.cli.terminal import Overwrite, local_path, say


@app.command()
def export(
    run: Annotated[Path, typer.Argument(parser=local_path, help="Directory of a run.")],
    out: Annotated[
        Path,
        typer.Option(parser=local_path, help="The model to write, .onnx, in a folder of its own."),
    ],
    inputs: Annotated[
        Literal["prepared", "raw"],
        typer.Option(help="Standardized features, or four-momenta and columns."),
    ] = "prepared",
    output: Annotated[
        Literal["softmax", "logits", "embedding"], typer.Option(help="What the model gives.")
    ] = "softmax",
    convention: Annotated[
        Literal["cms", "atlas"], typer.Option(help="Whose names and shapes the model has.")
    ] = "cms",
    names: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="FILE",
            help="YAML: what the reader calls variables, by parttag's names.",
            show_default="JetClass's names",
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="Of weights and arithmetic.")
    ] = "fp32",
    max_difference: Annotated[
        float | None,
        typer.Option(
            help="Refuse a model with a score that is farther from the run's.",
            show_default="1e-5, fp16: 0.02, int8: 0.2",
        ),
    ] = None,
    attention: Annotated[
        Literal["fused", "plain"],
        typer.Option(help="One node of ONNX Runtime's an attention, or nodes of ONNX alone."),
    ] = "fused",
    model_name: Annotated[
        str, typer.Option(help="What Athena's outputs begin with.", show_default="that of the run")
    ] = "",
    checkpoint: Annotated[
        Literal["best", "last"], typer.Option(help="Which epoch's weights to take.")
    ] = "best",
    overwrite: Overwrite = False,
) -> None:
    """Write a trained tagger as an ONNX model, for CMSSW, Athena, C++ or Python without torch.

    Example: parttag export runs/first --out exported/first/model.onnx

    preprocess.json beside it says how the inputs are made. The model is run on toy jets first, and
    nothing is written if its scores are not those of the run.
    """
    from parttag.api import command_line as api

    report = api.load(run, checkpoint).export(
        out,
        inputs=inputs,
        output=output,
        convention=convention,
        precision=precision,
        attention=attention,
        names=names,
        model_name=model_name,
        max_difference=max_difference,
        overwrite=overwrite,
    )
    say(str(report))
    say(f"written: {report.model}")
    if report.preprocess is not None:
        say(f"written: {report.preprocess}")
