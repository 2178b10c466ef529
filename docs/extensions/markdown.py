"""Pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence

# Between digits, and what belongs to them: 0.93 ± 0.01, 241 +59 −47, 50 %, 1.3 min.
_PARTED = re.compile(r"(?<=\d) (?=[±%]|[+−]\d|(?:h|min|s|GeV|mm) \|)|(?<=±) (?=\d)")
_JOINED = "\u00a0"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may hold several lines and bars."""
    lines = [_row(header), _row(["---"] * len(header)), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return inline code."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def index(title: str, text: str, pages: Iterable[str]) -> str:
    """Return a page that lists others."""
    listed = "\n".join(pages)
    return f"# {title}\n\n{text}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


def plain(docstring: str) -> str:
    """Return a docstring's reStructuredText literals as Markdown's."""
    return docstring.replace("``", "`")


def keep_numbers_together(_app: object, _page: str, source: list[str]) -> None:
    """Let no line of a table's cell end between a number and its error, or its unit."""
    lines = source[0].split("\n")
    source[0] = "\n".join(
        _PARTED.sub(_JOINED, line) if line.startswith("|") else line for line in lines
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
