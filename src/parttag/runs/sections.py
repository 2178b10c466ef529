"""Single sections of a configuration, from a file or from the text of an option. Needs no torch."""

from pathlib import Path

from pydantic import Field

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.selection.cuts import CutOptions
from parttag.errors import InputError
from parttag.metrics.options import Fraction
from parttag.options import Name, Options, Texts, read_options
from parttag.runs.yaml_files import parse_text, read_content


def load_columns(path: str | Path) -> ColumnsOptions | None:
    """Return the section ``columns`` of a YAML file, or ``data.columns`` of a configuration.

    Returns
    -------
    ColumnsOptions or None
        ``None`` if the section is null: files are in the layouts of the public sets.

    Raises
    ------
    InputError
        As ``read_content``, or if a key is unknown, a value wrong, or there is no such section.
    """
    content = read_content(path)
    data = content.get("data")
    section = content if "columns" in content else data if isinstance(data, dict) else {}
    if "columns" not in section:
        raise InputError(f"{path} has no section columns, nor data.columns")
    return read_options(_Columns, {"columns": section["columns"]}).columns


def parse_cuts(text: str) -> CutOptions:
    """Return the cuts that a YAML text gives, such as ``{jet_pt: [500, 1000]}``.

    Raises
    ------
    InputError
        If it is no YAML of that form, or a quantity is unknown.
    """
    return read_options(_Cuts, {"cuts": parse_text("cuts", text)}).cuts


def parse_classes(text: str) -> dict[str, tuple[str, ...]]:
    """Return the classes that a YAML text gives, such as ``{top: label_top, QCD: label_QCD}``.

    Raises
    ------
    InputError
        If it is no YAML of that form.
    """
    return read_options(_Classes, {"classes": parse_text("--classes", text)}).classes


def parse_priors(text: str) -> dict[str, float]:
    """Return the fractions of classes that a YAML text gives, such as ``{top: 0.01, QCD: 0.99}``.

    Raises
    ------
    InputError
        If it is no YAML of that form.
    """
    return read_options(_Priors, {"priors": parse_text("priors", text)}).priors


class _Columns(Options):
    columns: ColumnsOptions | None


class _Cuts(Options):
    cuts: CutOptions


class _Classes(Options):
    classes: dict[Name, Texts] = Field(min_length=2)


class _Priors(Options):
    priors: dict[str, Fraction]
