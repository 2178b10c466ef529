"""Single sections of a configuration, from a file or from the text of an option. Needs no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from parttag.data.readers.columns import ColumnsOptions
from parttag.data.selection.cuts import CutOptions
from parttag.errors import InputError
from parttag.metrics import EvaluationOptions
from parttag.options import Options, Texts, read_options
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


def parse_evaluation(options: EvaluationOptions, changes: Mapping[str, Any]) -> EvaluationOptions:
    """Return options of an evaluation with some keys replaced.

    A new ``background`` takes with it what the old one's signals had of their own, the
    ``discriminant`` and working points by class, unless they are replaced too.

    Parameters
    ----------
    changes
        By key; also as texts, as the command line gives them: ``QCD,light`` for the background,
        ``0.5,0.3`` or the YAML ``{top: [0.5, 0.3]}`` for the working points.

    Raises
    ------
    InputError
        If a text is no YAML, a key is unknown, or a value is wrong.
    """
    values: dict[str, Any] = options.model_dump()
    if "background" in changes:
        values["discriminant"] = {}
        if isinstance(values["working_points"], dict):
            del values["working_points"]
    for key, value in changes.items():
        values[key] = _parse_list(key, value) if isinstance(value, str) else value
    return read_options(_Evaluation, {"evaluation": values}).evaluation


def _parse_list(key: str, text: str) -> Any:
    """Return what a text means in which the brackets of a list may be left out."""
    if key in ("background", "metrics"):  # names, which are no YAML: a class may be called 1
        return [name.strip() for name in text.strip(" []").split(",") if name.strip()]
    is_bare = not text.lstrip().startswith(("[", "{"))
    return parse_text(f"evaluation.{key}", f"[{text}]" if is_bare else text)


class _Columns(Options):
    columns: ColumnsOptions | None


class _Cuts(Options):
    cuts: CutOptions


class _Classes(Options):
    classes: dict[str, Texts] = Field(min_length=2)


class _Evaluation(Options):
    evaluation: EvaluationOptions
