"""The application that every command belongs to."""

import typer

from parttag.cli.terminal import console

app = typer.Typer(
    name="parttag",
    help="Jet tagging with the Particle Transformer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
