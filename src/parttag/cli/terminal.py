"""The terminal, the progress bar, and options that several commands have."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from parttag.api.printable import printable
from parttag.errors import STOPPED_BY_SIGINT

Item = TypeVar("Item")


class _PlainConsole(Console):
    """A terminal at which foreign text can do nothing: no markup, no links, no control characters.

    Whatever is printed passes through here, names of files, classes and columns among it.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield what is to be printed; the cursor's movements, for a progress bar, are left."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


console = _PlainConsole()
errors = _PlainConsole(stderr=True)

_BAR_AFTER_SECONDS = 2.0


def local_path(name: str) -> Path:
    """Return the path that an argument names, which must be of this machine."""
    from parttag.api.names import local_name

    return Path(local_name(name))


local_path.__name__ = "path"  # what --help shows

Files = Annotated[
    list[str], typer.Argument(help="Files of jets, URLs, globs, directories, stores.")
]
Columns = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        help="YAML with a section columns (or data.columns): what branches mean.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse bad jets.")]
Precision = Annotated[
    Literal["fp32", "bf16"], typer.Option(help="bf16 is faster on a GPU; scores to 3 digits.")
]
Report = Annotated[
    bool, typer.Option("--report/--no-report", help="Write report.html, to look at in a browser.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU if any.")]


class ManyValues(TyperCommand):
    """A command whose options of files take several at once, as a shell's glob gives."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each value an option of its own: ``--data A B`` becomes ``--data A --data B``."""
        repeatable = {
            name
            for param in self.params
            if getattr(param, "multiple", False) and param.metavar == "FILES..."
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


class OptionalFile(TyperCommand):
    """A command with options whose YAML file may be left out: then they are given ``DEFAULT``."""

    METAVAR = "[FILE.yaml]"
    DEFAULT = "."

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give the options without a file the default: what follows is a file if it is YAML's."""
        optional = {n for param in self.params if param.metavar == self.METAVAR for n in param.opts}
        given: list[str] = []
        for arg, following in zip(args, [*args[1:], ""], strict=True):
            given.append(arg)
            if arg in optional and not following.endswith((".yaml", ".yml", ".json")):
                given.append(self.DEFAULT)
        return super().parse_args(ctx, given)


def values_of(texts: Iterable[str] | None) -> list[str]:
    """Return what is between the commas of an option that may be given many times."""
    return [value for text in texts or () for value in text.split(",") if value]


def show_progress(items: Iterable[Item], *, total: int | None, description: str) -> Iterator[Item]:
    """Pass items through and draw a bar, if there is a terminal and the work is not short."""
    if not errors.is_terminal:
        yield from items
        return
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=errors)
    task = bar.add_task(escape(printable(description)), total=total)
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


def interrupted() -> typer.Exit:
    """Say that Ctrl-C stopped a command that goes on from there, and return how it exits."""
    errors.print("interrupted: give the same command again, and it continues", highlight=False)
    return typer.Exit(STOPPED_BY_SIGINT)


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def text_table(title: str, headers: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    """Return a table of texts, as they are."""
    table = empty_table(title, headers[0], *headers[1:])
    table.columns[0].overflow = "fold"
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def empty_table(title: str, first: str, *numbers: str) -> Table:
    """Return a table with a first column of names and further ones of numbers, without rows."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
