"""A page a command, from what the command line says of itself."""

import inspect
from collections.abc import Iterator, Mapping

import typer
from markdown import code, index, plain, table
from typer.core import TyperCommand, TyperGroup

from parttag.cli import app

__all__ = ["commands", "pages"]


def commands() -> Mapping[str, TyperCommand]:
    """Return every command by name."""
    group = typer.main.get_command(app)
    return dict(_leaves(group, ""))


def pages() -> Mapping[str, str]:
    """Return the pages of the commands, and the one that lists them."""
    found = commands()
    made = {f"commands/{name.replace(' ', '-')}": _page(name, of) for name, of in found.items()}
    made["commands/index"] = index(
        "Commands",
        "Each has `--help`. A mistake in a file, branch or key is answered with one sentence and "
        "exit code 2.",
        (name.replace(" ", "-") for name in sorted(found)),
    )
    return made


def _leaves(group: TyperGroup, before: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield before + name, command


def _page(name: str, command: TyperCommand) -> str:
    context = typer.Context(command, info_name=f"parttag {name}")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [(code(record[0]), plain(record[1])) for record in records if record]
    text = plain(inspect.cleandoc(command.help or ""))
    paragraphs = [_paragraph(part) for part in text.split("\n\n")]
    return "\n\n".join(
        [
            f"# parttag {name}",
            *paragraphs,
            f"```text\n{usage}\n```",
            table(("argument or option", "is"), rows),
        ]
    )


def _paragraph(text: str) -> str:
    """Return a paragraph of help; an example is a line that can be copied."""
    for word in ("Example: ", "Examples: "):
        if text.startswith(word):
            return f"```bash\n{' '.join(text.removeprefix(word).split())}\n```"
    return text
