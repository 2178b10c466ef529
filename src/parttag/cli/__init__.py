"""The command line, and the only place that prints; one file a group of commands."""

import logging
import sys
import warnings

from rich.text import Text

from parttag.api.printable import PrintableFormatter
from parttag.cli.application import app
from parttag.cli.benchmark import benchmark
from parttag.cli.calibrate import calibrate, ensemble
from parttag.cli.check import check
from parttag.cli.compare import compare
from parttag.cli.convert import convert
from parttag.cli.encoding import spell_out_what_cannot_be_encoded
from parttag.cli.explain import explain, report
from parttag.cli.export import export
from parttag.cli.generate import generate
from parttag.cli.jets import inspect, layouts, prepare, simulate
from parttag.cli.runs import evaluate, import_weights, predict, schema, train
from parttag.cli.terminal import errors
from parttag.errors import InputError

__all__ = [
    "app",
    "benchmark",
    "calibrate",
    "check",
    "compare",
    "convert",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "generate",
    "import_weights",
    "inspect",
    "layouts",
    "main",
    "predict",
    "prepare",
    "report",
    "schema",
    "simulate",
    "train",
]


def main() -> None:
    """Run the command line: exit code 0, 2 for a user's error, 1 for a fault of ours."""
    spell_out_what_cannot_be_encoded()
    warnings.formatwarning = _one_line
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        app(prog_name="parttag")
    except InputError as error:
        sentence = Text.assemble(("error:", "bold red"), " ", error.for_shell())
        errors.print(sentence, highlight=False, soft_wrap=True)
        sys.exit(2)


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning without the place in the code, which says nothing to who types commands."""
    return f"warning: {message}\n"
