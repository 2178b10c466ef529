"""Pieces of Markdown."""

from collections.abc import Iterable, Sequence


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


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
