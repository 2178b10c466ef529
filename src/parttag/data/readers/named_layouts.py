"""Layouts of public files that ``columns.layout`` names: YAML that ships in ``data/layouts``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parents[1] / "layouts"
# One way out of several is chosen in these: what is said of another does not go with it.
_WHOLE = ("labels", "of_jet", "relative_to_jet")


@dataclass(frozen=True)
class NamedLayout:
    """What the branches of the files of one public set, or of one program, mean."""

    name: str
    description: str
    """One line: what the files are, and where they come from."""
    text: str
    """The section ``columns``, as YAML to copy."""

    @property
    def content(self) -> dict[str, Any]:
        """The section as nested mappings."""
        content: dict[str, Any] = yaml.safe_load(self.text)
        return content


@cache
def named_layouts() -> dict[str, NamedLayout]:
    """Return the layouts that ship with parttag, by name."""
    return {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.yaml"))}


def complete(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section ``columns`` with what its ``layout`` says; what is beside that wins.

    Mappings are merged key by key, and a key that is given as ``null`` is left out. Everything else
    replaces what the layout has: texts, numbers and lists, and whole ``labels``, ``of_jet`` and
    ``relative_to_jet``.

    Raises
    ------
    ValueError
        If there is no such layout.
    """
    own = dict(section)
    name = own.pop("layout", None)
    if name is None:
        return own
    known = named_layouts()
    if name not in known:
        raise ValueError(f"there is no layout {name}; known are {', '.join(known)}")
    return _merged(known[name].content, own)


def _read(path: Path) -> NamedLayout:
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    return NamedLayout(path.stem, first.removeprefix("# "), text)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        elif key not in _WHOLE and isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = _merged(below, value)
        else:
            result[key] = value
    return result
