"""Files read as a text of ``data.columns`` says."""

from pathlib import Path

import yaml

from parttag.data.readers import read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.jets.arrays import JetArrays, concatenate
from parttag.options import Options, read_options


class _Section(Options):
    columns: ColumnsOptions


def columns(text: str) -> ColumnsOptions:
    """Return the options of a YAML text."""
    return read_options(_Section, {"columns": yaml.safe_load(text)}).columns


def layout(text: str) -> ColumnLayout:
    """Return what the text makes of branches."""
    return ColumnLayout(columns(text))


def read(path: Path, text: str, chunk_jets: int = 10_000) -> JetArrays:
    """Return all jets of a file."""
    return concatenate(list(read_chunks(path, layout=layout(text), chunk_jets=chunk_jets)))
