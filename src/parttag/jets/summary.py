"""What jets show of themselves at a prompt and in a notebook."""

from collections.abc import Mapping, Sequence
from html import escape

# More names than these are cut short.
_NAMES = 12


def in_words(number: int) -> str:
    """Return a number as it is quickly read: 60,000 or 2.9M."""
    for unit, size in (("B", 10**9), ("M", 10**6)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:,}"


def listed(names: Sequence[str]) -> str:
    """Return names in a row, the first ones if there are many."""
    shown = ", ".join(names[:_NAMES])
    if len(names) > _NAMES:
        return f"{shown}, … ({len(names)} in all)"
    return shown or "none"


def as_text(title: str, parts: Mapping[str, str]) -> str:
    """Return a line: what it is, and what it has; an empty key has no name."""
    said = " | ".join(f"{key}: {text}" if key else text for key, text in parts.items())
    return f"{title}: {said}"


def as_html(title: str, parts: Mapping[str, str]) -> str:
    """Return the same as a table."""
    lines = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(text)}</td></tr>" for key, text in parts.items()
    )
    return f"<table><thead><tr><th>{escape(title)}</th><th></th></tr></thead>{lines}</table>"
