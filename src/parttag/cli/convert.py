"""The command that turns configurations of other packages into parttag's."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from parttag.cli.application import app
from parttag.cli.terminal import ManyValues, Overwrite, console, local_path, say, text_table
from parttag.errors import InputError


@app.command(cls=ManyValues, context_settings={"ignore_unknown_options": True})
def convert(
    source: Annotated[Literal["weaver"], typer.Argument(help="The other package.")],
    data: Annotated[str, typer.Argument(metavar="DATA.yaml", help="A data configuration.")],
    out: Annotated[Path, typer.Option(parser=local_path, help="Configuration to write.")],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[FLAGS...]", help="The command line of weaver.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="A network of parttag's, or the file of one of weaver's."),
    ] = None,
    network_options: Annotated[
        str, typer.Option(metavar="TEXT", help="Names and values: 'num_layers 6 num_heads 4'.")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what parttag cannot say.")
    ] = False,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILES...",
            help="Read some jets of these with weaver-core too, and compare the tensors.",
        ),
    ] = None,
    peer_python: Annotated[
        str,
        typer.Option(
            metavar="PYTHON",
            help="An interpreter that has weaver-core, for --check; it runs the formulas as code.",
        ),
    ] = "",
    overwrite: Overwrite = False,
) -> None:
    """Turn a data configuration of weaver-core, and its command line, into a configuration.

    Example: parttag convert weaver data.yaml --num-epochs 50 --use-amp --out config.yaml

    All flags of weaver can follow. What has no counterpart is listed, and stands in the first
    lines of what is written. Nothing of the files runs as code. With --check the exit code is 1 if
    a tensor differs by more than 1e-6, or a weight by more than 1e-5.
    """
    import shlex

    from parttag.api.convert import check_weaver, convert_weaver

    del source  # there is one
    if data.startswith("-"):
        raise InputError(f"name the data configuration before {data}")
    if bool(check) != bool(peer_python):
        raise InputError("give --check and --peer-python together")
    conversion = convert_weaver(
        data,
        network=network,
        network_options=shlex.split(network_options),
        flags=flags or (),
        out=out,
        strict=strict,
        overwrite=overwrite,
    )
    for remark in conversion.remarks:
        say(str(remark))
    if conversion.keep:
        say(f"keep: parttag predict RUN FILES --keep {','.join(conversion.keep)}")
    say(f"written: {out}")
    if not check:
        return
    found = check_weaver(conversion, data, check, peer_python)
    lines = [[one.what, f"{one.difference:.1e}", one.where] for one in found]
    console.print(text_table("largest differences to weaver-core", ["what", "", "jet"], lines))
    if any(not one.agrees for one in found):
        raise typer.Exit(1)
