"""What a file is that nothing was said of: the layouts it resembles, its branches, and YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import parttag.data.readers.jetclass as jetclass
from parttag.data.readers import read_schema
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.inspection.contents import Table, contents
from parttag.inspection.suggestion import fitting_layouts, suggested_columns


@dataclass(frozen=True)
class Description:
    """What is in a file of no known layout."""

    path: Path
    tables: tuple[Table, ...]
    layouts: tuple[str, ...]
    """Layouts by name, of which the file has every branch: those of most branches first."""
    columns: str
    """YAML of ``columns`` to begin with."""


def describe_unknown(
    path: Path, layouts: Mapping[str, ColumnsOptions] | None = None
) -> Description | None:
    """Return what is in a file that is not of a public set's own layout; ``None`` if it is.

    ``None`` too of what cannot be read at all, of which a sentence is said where it is read.

    Parameters
    ----------
    layouts
        Layouts by their names, to compare with.
    """
    if path.is_dir():
        return None
    try:
        read_schema(path)
    except InputError:
        pass
    else:
        return None
    try:
        tables = contents(path)
    except InputError:
        return None
    names = {branch.name for table in tables for branch in table.branches}
    if jetclass.leading in names or not names:
        return None  # nearly JetClass: what is missing is the better sentence
    fitting: dict[str, int] = {}
    for table in tables:
        for name, number in fitting_layouts(table, layouts or {}, path).items():
            fitting[name] = max(number, fitting.get(name, 0))
    ordered = tuple(sorted(fitting, key=lambda name: -fitting[name]))
    return Description(path, tables, ordered, suggested_columns(tables))
