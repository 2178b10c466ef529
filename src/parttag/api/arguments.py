"""What functions of Python take for files, columns and cuts, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.selection.cuts import CutOptions
from parttag.errors import InputError
from parttag.options import read_options
from parttag.runs.sections import load_columns, parse_cuts

FileNames = str | Path | Sequence[str | Path]
"""A file, glob, directory, store or URL, or several of them."""

ColumnsLike = str | Path | Mapping[str, Any] | ColumnsOptions | None
"""A YAML file with a section ``columns``, what such a section holds, or its options."""

CutsLike = str | Mapping[str, Any] | CutOptions | None
"""Cuts as ``data.cuts`` has them: ``{"jet_pt": [500, 1000]}``, or the same as YAML."""


def file_list(files: FileNames) -> list[str | Path]:
    """Return one or several file names as a list.

    Raises
    ------
    InputError
        If it is something else, or there is none.
    """
    several = [files] if isinstance(files, str | Path) else files
    if not isinstance(several, Sequence) or not all(isinstance(f, str | Path) for f in several):
        raise InputError(
            f"files are given by a {type(files).__name__}; give a name, a glob, or a list of them"
        )
    if not several:
        raise InputError("no file is named; give a name, a glob, or a list of them")
    return list(several)


def name_list(names: str | Sequence[str]) -> list[str]:
    """Return one name or several as a list; commas separate those of one text."""
    return names.split(",") if isinstance(names, str) else list(names)


def read_columns(columns: ColumnsLike) -> ColumnsOptions | None:
    """Return what branches mean, from whatever says it.

    Raises
    ------
    InputError
        If a file cannot be read, or a key is unknown.
    """
    if isinstance(columns, str | Path):
        return load_columns(columns)
    if isinstance(columns, Mapping):
        return read_options(ColumnsOptions, columns)
    return columns


def read_cuts(cuts: CutsLike) -> CutOptions | None:
    """Return cuts, from whatever says them.

    Raises
    ------
    InputError
        If a text is no YAML, or a quantity is unknown.
    """
    if isinstance(cuts, str):
        return parse_cuts(cuts)
    if isinstance(cuts, Mapping):
        return read_options(CutOptions, cuts)
    return cuts
