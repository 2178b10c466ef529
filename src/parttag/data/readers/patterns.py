"""Patterns of file names: globs, with alternatives in braces."""

import glob
import re
from fnmatch import fnmatchcase
from pathlib import Path

_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
# Braces multiply: so many alternatives no one writes.
_MOST = 10_000


def matching(pattern: Path) -> list[Path]:
    """Return the paths that a glob matches, sorted; those of the first alternative first."""
    found: dict[str, None] = {}
    for name in alternatives(str(pattern)):
        found |= dict.fromkeys(sorted(glob.glob(name, recursive=True)))  # noqa: PTH207 (takes absolute patterns)
    return [Path(name) for name in found]


def alternatives(pattern: str) -> list[str]:
    """Return the patterns that one with ``{a,b}`` stands for, as in a shell."""
    done: list[str] = []
    waiting = [pattern]
    while waiting and len(done) + len(waiting) <= _MOST:
        first = waiting.pop(0)
        braces = _BRACES.search(first)
        if braces is None:
            done.append(first)
            continue
        start, stop = braces.span()
        waiting[:0] = [first[:start] + part + first[stop:] for part in braces[1].split(",")]
    return done


def matches(path: Path, pattern: str) -> bool:
    """Return whether a file's name matches a pattern; one with a slash is for the whole path."""
    name = str(path) if "/" in pattern else path.name
    return any(fnmatchcase(name, one) for one in alternatives(pattern))
